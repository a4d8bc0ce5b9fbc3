#include "sys/nft.h"

#include <memory>
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

// The context holds a netlink socket of the namespace it was made in: one context per call.
Result<std::string> run_here(const std::string& script) {
  const std::unique_ptr<nft_ctx, void (*)(nft_ctx*)> context(nft_ctx_new(NFT_CTX_DEFAULT),
                                                             &nft_ctx_free);
  if (!context) return fail(Errc::io, "libnftables gave no context");
  if (nft_ctx_buffer_output(context.get()) != 0 || nft_ctx_buffer_error(context.get()) != 0) {
    return fail(Errc::io, "libnftables gave no buffers");
  }
  if (nft_run_cmd_from_buffer(context.get(), script.c_str()) != 0) {
    const std::string text = first_error(nft_ctx_get_error_buffer(context.get()));
    return fail(code_of_nft(text), "nft: " + text);
  }
  const char* output = nft_ctx_get_output_buffer(context.get());
  return std::string(output != nullptr ? output : "");
}

Result<std::string> run_in(const Fd* netns, const std::string& script) {
  if (netns == nullptr) return run_here(script);
  std::string output;
  TRY(in_netns(*netns, [&]() -> Result<void> {
    TRY_ASSIGN(output, run_here(script));
    return {};
  }));
  return output;
}

}  // namespace

Result<void> nft_apply(const Fd* netns, const std::string& script) {
  TRY(run_in(netns, script));
  return {};
}

Result<std::string> nft_list(const Fd* netns, const std::string& command) {
  return run_in(netns, command);
}

}  // namespace mvr::sys
