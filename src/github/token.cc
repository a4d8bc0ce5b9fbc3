#include "github/token.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/text.h"
#include "github/client.h"
#include "sys/files.h"

namespace mvr::github {
namespace {

constexpr std::size_t kMaxTokenFile = 64U << 10U;
constexpr std::string_view kKey = "GITHUB_TOKEN";

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string_view unquote(std::string_view text) {
  const bool is_quoted = text.size() >= 2 && text.front() == text.back() &&
                         (text.front() == '"' || text.front() == '\'');
  return is_quoted ? text.substr(1, text.size() - 2) : text;
}

Result<Secret> checked(std::string_view token) {
  if (token.empty()) return fail(Errc::invalid, "the token is empty");
  if (!std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < '\x7f'; })) {
    return fail(Errc::invalid, "the token holds characters that no token of GitHub has");
  }
  return Secret(std::string(token));
}

// A token others can read is no secret any more; saying so beats using it.
Result<void> check_mode(const Fd& fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return fail_errno(errno, "stat of the token file " + path);
  if (!S_ISREG(info.st_mode)) {
    return fail(Errc::invalid, "the token file " + path + " is not a regular file");
  }
  if ((info.st_mode & 0077U) != 0) {
    return fail(Errc::denied,
                "the token file " + path + " is open to other users; run: chmod 600 " + path);
  }
  return {};
}

Result<Secret> read_all(const Fd& fd, const std::string& path) {
  std::string text(kMaxTokenFile + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "reading the token file " + path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  if (size > kMaxTokenFile) {
    return fail(Errc::too_large, "the token file " + path + " is longer than 64 KiB");
  }
  return Secret(std::move(text));
}

}  // namespace

Result<Secret> parse_token(std::string_view text) {
  return checked(trim(text.substr(0, text.find('\n'))));
}

Result<Secret> parse_token_environment(std::string_view text) {
  std::optional<std::string_view> value;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    const auto equals = line.find('=');
    if (equals == std::string_view::npos || line.substr(0, equals) != kKey) continue;
    value = unquote(trim(line.substr(equals + 1)));
  }
  if (!value) return fail(Errc::not_found, "no line GITHUB_TOKEN=...");
  return checked(*value);
}

Result<Secret> load_token(const core::GithubSettings& settings) {
  const bool is_environment = settings.token_file.empty();
  const std::string& path = is_environment ? settings.token_env_file : settings.token_file;
  if (path.empty()) {
    return fail(Errc::invalid, "no token: set github.token_file or github.token_env_file");
  }
  TRY_ASSIGN(const Fd fd, sys::open_read(path));
  TRY(check_mode(fd, path));
  TRY_ASSIGN(const Secret text, read_all(fd, path));
  return context(
      is_environment ? parse_token_environment(text.expose()) : parse_token(text.expose()),
      "the token file " + path);
}

}  // namespace mvr::github
