#include "config/values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "core/egress.h"
#include "core/match.h"
#include "core/names.h"

namespace mvr::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_alnum(char c) { return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z'); }
bool is_visible(char c) { return c > ' ' && c <= '~'; }

bool all_of(std::string_view text, bool (*accepts)(char)) {
  return std::ranges::all_of(text, accepts);
}

// Letters, digits and some of `more`, beginning with a letter or digit, at most `max`.
bool is_word(std::string_view text, std::string_view more, std::size_t max) {
  if (text.empty() || text.size() > max || !is_alnum(text.front())) return false;
  return std::ranges::all_of(
      text, [more](char c) { return is_alnum(c) || more.find(c) != std::string_view::npos; });
}

bool is_lower_case(std::string_view text) { return ascii_lower(text) == text; }

bool accepts_plain_name(std::string_view text) { return is_plain_name(text, 20); }

bool accepts_instance(std::string_view text) {
  return !text.empty() && text.size() <= 8 &&
         all_of(text, [](char c) { return is_lower(c) || is_digit(c); });
}

bool accepts_file(std::string_view text) {
  return text.size() > 1 && text.size() <= 4095 && text.front() == '/' && text.back() != '/' &&
         std::ranges::none_of(
             text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool accepts_optional_file(std::string_view text) { return text.empty() || accepts_file(text); }

// <state_dir>/vms/999/monitor.sock has to fit into the 107 bytes of a unix socket's address.
bool accepts_directory(std::string_view text) {
  if (!accepts_file(text) || text.size() > 80) return false;
  const std::vector<std::string_view> parts = split(text.substr(1), '/');
  return std::ranges::none_of(
      parts, [](std::string_view part) { return part.empty() || part == "." || part == ".."; });
}

bool accepts_program(std::string_view text) {
  return is_word(text, "._+-", 64) || accepts_file(text);
}

bool accepts_group(std::string_view text) {
  if (text.empty() || text.size() > 32 || !(is_lower(text.front()) || text.front() == '_')) {
    return false;
  }
  return all_of(text, [](char c) { return is_lower(c) || is_digit(c) || c == '_' || c == '-'; });
}

bool accepts_store_name(std::string_view text) {
  return is_word(text, "._-", 64) && is_lower_case(text);
}

bool accepts_optional_store_name(std::string_view text) {
  return text.empty() || accepts_store_name(text);
}

bool accepts_kernel_name(std::string_view text) { return is_word(text, "._+~-", 64); }

bool accepts_label(std::string_view text) {
  return !text.empty() && text.size() <= 100 &&
         all_of(text, [](char c) { return is_visible(c) && c != ','; });
}

// Behind a place holder a digit would be taken for part of the number.
bool accepts_pattern(std::string_view label) {
  if (!core::is_pattern_label(label)) return false;
  for (std::size_t i = 1; i < label.size(); ++i) {
    if (label[i - 1] == '}' && is_digit(label[i])) return false;
  }
  return true;
}

bool accepts_port(std::string_view text) {
  const Result<std::uint64_t> port = parse_u64(text);
  return port && *port >= 1 && *port <= 65535;
}

// Scheme, host and port only: the API's address is made from it.
bool accepts_web_address(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return false;
  }
  const std::size_t colon = rest.find(':');
  if (colon != std::string_view::npos && !accepts_port(rest.substr(colon + 1))) return false;
  return is_word(rest.substr(0, colon), ".-", 253);
}

bool accepts_app_id(std::string_view text) { return is_word(text, "._-", 64); }

// systemd takes more; it becomes a file's name, so that this much is enough.
bool accepts_optional_credential(std::string_view text) {
  return text.empty() || is_word(text, "._-", 255);
}

bool accepts_owner(std::string_view text) { return is_word(text, "-_", 39); }

bool accepts_repository_name(std::string_view text) {
  if (text.empty() || text.size() > 100 || text == "." || text == "..") return false;
  return all_of(text, [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; });
}

bool accepts_repository_pattern(std::string_view text) {
  return !text.empty() && text.size() <= 100 && all_of(text, [](char c) {
    return is_alnum(c) || c == '.' || c == '_' || c == '-' || c == '*';
  });
}

bool accepts_enterprise(std::string_view text) { return is_word(text, "-_", 100); }

bool accepts_repository(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && accepts_owner(text.substr(0, slash)) &&
         accepts_repository_name(text.substr(slash + 1));
}

bool accepts_runner_group(std::string_view text) {
  return text.size() <= 128 && std::ranges::none_of(text, [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

bool accepts_egress(std::string_view text) {
  if (text.find('/') != std::string_view::npos) return core::parse_subnet(text).has_value();
  const std::size_t colon = text.find(':');
  return colon != std::string_view::npos && core::parse_ipv4(text.substr(0, colon)) &&
         accepts_port(text.substr(colon + 1));
}

bool accepts_listen(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !accepts_port(text.substr(colon + 1))) return false;
  const std::string host(text.substr(0, colon));
  if (!host.starts_with('[') || !host.ends_with(']')) return core::parse_ipv4(host).has_value();
  in6_addr address{};
  return ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &address) == 1;
}

bool accepts_optional_listen(std::string_view text) { return text.empty() || accepts_listen(text); }

bool accepts_kernel_args(std::string_view text) {
  return text.size() <= 512 && all_of(text, [](char c) { return c >= ' ' && c <= '~'; }) &&
         text.find("mvr.") == std::string_view::npos;
}

bool accepts_subnet(std::string_view text) {
  const Result<core::Subnet> subnet = core::parse_subnet(text);
  if (!subnet || subnet->prefix < 16 || subnet->prefix > 24) return false;
  const std::uint32_t address = subnet->base.value;
  return (address >> 24U) == 10 || (address >> 20U) == 0xac1 || (address >> 16U) == 0xc0a8;
}

}  // namespace

// Shown in messages as they stand.
const Text kPlainName{accepts_plain_name,
                      "a plain name: a-z, 0-9 and inner hyphens, at most 20 characters"};
const Text kInstance{accepts_instance, "1 to 8 characters of a-z and 0-9"};
const Text kDirectory{accepts_directory,
                      "an absolute path without \".\", \"..\" and a final slash, at most 80 bytes"};
const Text kFile{accepts_file, "an absolute path of a file"};
const Text kOptionalFile{accepts_optional_file, "an absolute path of a file (or \"\" for none)"};
const Text kProgram{accepts_program, "a program's name or its absolute path"};
const Text kGroup{accepts_group, "a group's name: a-z, 0-9, _ and -, at most 32 characters"};
const Text kStoreName{accepts_store_name,
                      "a name in the store: a-z, 0-9 and inner . _ -, at most 64 characters"};
const Text kKernelName{accepts_kernel_name, "\"default\" or a kernel release like 6.1.0-39-amd64"};
const Text kOptionalStoreName{accepts_optional_store_name,
                              "a name in the store: a-z, 0-9 and inner . _ - (or \"\" for none)"};
const Text kWebAddress{accepts_web_address,
                       "a web address like https://github.com, without a path"};
const Text kOwner{accepts_owner, "the name of an organization or user at GitHub"};
const Text kAppId{accepts_app_id, "the client id of a GitHub App, or its App id"};
const Text kOptionalCredential{
    accepts_optional_credential,
    "a credential's name: letters, digits, . _ and - (or \"\" for none)"};
const Text kRepositoryName{accepts_repository_name, "the name of a repository, without its owner"};
const Text kRepositoryPattern{
    accepts_repository_pattern,
    "the name of a repository, without its owner, or a pattern of such names with *"};
const Text kEnterprise{accepts_enterprise,
                       "an enterprise's short name, as in github.com/enterprises/NAME"};
const Text kRepository{accepts_repository, "a repository as owner/name"};
const Text kRunnerGroup{accepts_runner_group, "a runner group's name, at most 128 bytes"};
const Text kEgress{accepts_egress, "an address like 10.0.0.0/8 or 10.1.2.3:443"};
const Text kOptionalListen{accepts_optional_listen,
                           "an address and port like 127.0.0.1:9840 or [::1]:9840 (or \"\" for "
                           "none)"};
const Text kKernelArgs{accepts_kernel_args,
                       "printable ASCII of at most 512 characters without \"mvr.\""};
const Text kCurrency{[](std::string_view text) {
                       return !text.empty() && text.size() <= 8 &&
                              std::ranges::all_of(text, [](char c) {
                                return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
                              });
                     },
                     "a currency's letters like USD, at most 8"};
const Text kBuildArgument{[](std::string_view text) {
                            const auto is_letter = [](char c) {
                              return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
                            };
                            return !text.empty() && text.size() <= 100 && is_letter(text.front()) &&
                                   std::ranges::all_of(text, [&](char c) {
                                     return is_letter(c) || (c >= '0' && c <= '9');
                                   });
                          },
                          "the name of an ARG: letters, digits and _"};
const Text kLine{[](std::string_view text) {
                   return text.size() <= 4096 && is_valid_utf8(text) &&
                          std::ranges::all_of(text, [](char c) {
                            return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
                          });
                 },
                 "one line of text"};
const Text kSubnet{accepts_subnet,
                   "a private IPv4 network from /16 to /24 like 10.231.0.0/16 (inside 10.0.0.0/8, "
                   "172.16.0.0/12 or 192.168.0.0/16, host bits zero)"};

std::optional<std::string> EgressName::operator()(std::string_view text) const {
  std::string name = ascii_lower(std::string(text));
  if (name.starts_with("*.")) name.erase(0, 2);
  return core::is_egress_name(name) ? std::optional(std::move(name)) : std::nullopt;
}

std::optional<std::uint32_t> Whole::operator()(std::string_view text) const {
  const Result<std::uint64_t> value = parse_u64(text);
  if (!value || *value < least || *value > most) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

std::string Whole::allowed() const {
  return "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
}

std::optional<std::int64_t> Id::operator()(std::string_view text) const {
  const Result<std::int64_t> value = parse_i64(text);
  if (!value || *value < 1) return std::nullopt;
  return *value;
}

std::optional<std::int32_t> Signed::operator()(std::string_view text) const {
  const Result<std::int64_t> value = parse_i64(text);
  if (!value || *value < least || *value > most) return std::nullopt;
  return static_cast<std::int32_t>(*value);
}

std::string Signed::allowed() const {
  return "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
}

std::optional<double> Fraction::operator()(std::string_view text) const {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc{} || stop != end || !std::isfinite(value)) return std::nullopt;
  if (value < least || value > most) return std::nullopt;
  return value;
}

std::string Fraction::allowed() const {
  const auto shown = [](double value) {
    std::string text = std::to_string(value);  // always six decimals
    text.erase(text.find_last_not_of('0') + 1);
    return text.ends_with('.') ? text + "0" : text;
  };
  return "a number from " + shown(least) + " to " + shown(most);
}

std::optional<Bytes> Size::operator()(std::string_view text) const {
  const Result<Bytes> value = parse_bytes(text);
  if (!value || *value < least || *value > most) return std::nullopt;
  return *value;
}

std::string Size::allowed() const {
  return "a size from " + format_bytes(least) + " to " + format_bytes(most) +
         ", like 512MiB or 4GiB";
}

std::optional<Duration> Span::operator()(std::string_view text) const {
  const Result<Duration> value = parse_duration(text);
  if (!value || *value < least || *value > most) return std::nullopt;
  return *value;
}

std::string Span::allowed() const {
  return "a duration from " + format_duration(least) + " to " + format_duration(most) +
         ", like 90s, 15m or 6h";
}

std::optional<bool> Flag::operator()(std::string_view text) const {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::optional<bool> Switch::operator()(std::string_view text) const {
  if (text == "on") return true;
  if (text == "off") return false;
  return Flag{}(text);
}

std::optional<std::string> Choice::operator()(std::string_view text) const {
  if (std::ranges::find(words, text) == words.end()) return std::nullopt;
  return std::string(text);
}

std::string Choice::allowed() const {
  std::string text = "one of ";
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += ", ";
    text += words[i];
  }
  return text;
}

std::optional<std::string> Label::operator()(std::string_view text) const {
  if (!accepts_label(text)) return std::nullopt;
  std::string label = ascii_lower(text);
  const bool has_braces = label.find_first_of("{}") != std::string::npos;
  if (has_braces && !(may_be_pattern && accepts_pattern(label))) return std::nullopt;
  return label;
}

std::string Label::allowed() const {
  if (!may_be_pattern) {
    return "a label: visible ASCII without spaces, commas and braces, at most 100 characters";
  }
  return "a label: visible ASCII without spaces and commas, at most 100 characters; braces only in "
         "one {cpus} and one {memory}, apart, without a digit behind them";
}

std::optional<std::string> Text::operator()(std::string_view text) const {
  if (!accepts(text)) return std::nullopt;
  return std::string(text);
}

}  // namespace mvr::config
