#include "sys/nft.h"

#include <string_view>

#include <nftables/libnftables.h>

#include "base/text.h"
#include "sys/net.h"

namespace mvr::sys {
namespace {

Errc code_of_nft(std::string_view text) {
  const auto has = [&](std::string_view part) { return text.find(part) != text.npos; };
  if (has("No such file or directory")) return Errc::not_found;
  if (has("File exists")) return Errc::exists;
  if (has("Operation not permitted")) return Errc::denied;
  if (has("resource busy")) return Errc::busy;
  return Errc::invalid;
}

// The first line that says something; the lines after it repeat the script with carets below.
std::string first_error(const char* buffer) {
  const std::string_view text = buffer != nullptr ? buffer : "";
  for (const std::string_view line : split(text, '\n')) {
    if (!line.empty()) return printable(line, 400);
  }
  return "nft failed and said nothing";
}

}  // namespace

void Nft::Close::operator()(nft_ctx* context) const { nft_ctx_free(context); }

// The context holds a netlink socket of the namespace it is made in, and keeps to it.
Result<Nft> Nft::open(const Fd* netns) {
  Nft nft;
  const auto make = [&]() -> Result<void> {
    nft.context_.reset(nft_ctx_new(NFT_CTX_DEFAULT));
    if (!nft.context_) return fail(Errc::io, "libnftables gave no context");
    return {};
  };
  TRY(netns == nullptr ? make() : in_netns(*netns, make));
  nft_ctx* const context = nft.context_.get();
  if (nft_ctx_buffer_output(context) != 0 || nft_ctx_buffer_error(context) != 0) {
    return fail(Errc::io, "libnftables gave no buffers");
  }
  return nft;
}

Result<std::string> Nft::run(const std::string& script) {
  const int code = nft_run_cmd_from_buffer(context_.get(), script.c_str());
  // Both are empty afterwards.
  const char* output = nft_ctx_get_output_buffer(context_.get());
  const char* error = nft_ctx_get_error_buffer(context_.get());
  if (code == 0) return std::string(output != nullptr ? output : "");
  const std::string text = first_error(error);
  return fail(code_of_nft(text), "nft: " + text);
}

Result<void> Nft::apply(const std::string& script) {
  TRY(run(script));
  return {};
}

Result<std::string> Nft::list(const std::string& command) { return run(command); }

Result<void> nft_apply(const Fd* netns, const std::string& script) {
  TRY_ASSIGN(Nft nft, Nft::open(netns));
  return nft.apply(script);
}

Result<std::string> nft_list(const Fd* netns, const std::string& command) {
  TRY_ASSIGN(Nft nft, Nft::open(netns));
  return nft.list(command);
}

}  // namespace mvr::sys
