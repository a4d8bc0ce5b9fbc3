#include "guest/words.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace mvr::guest {
namespace {

constexpr std::size_t kMaxDrives = 16;

Result<in_addr> parse_address(std::string_view word, std::string_view text) {
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) == 1) return address;
  return fail(Errc::invalid,
              "kernel command line: " + std::string(word) + " must be an IPv4 address");
}

Result<void> parse_ip(std::string_view value, NetworkWords& network) {
  const std::size_t slash = value.find('/');
  const bool has_prefix = slash != std::string_view::npos;
  const auto prefix = parse_u64(has_prefix ? value.substr(slash + 1) : std::string_view());
  if (!prefix || *prefix == 0 || *prefix > 31) {
    return fail(Errc::invalid, "kernel command line: mvr.ip must end with a prefix from /1 to /31");
  }
  network.prefix = static_cast<unsigned>(*prefix);
  TRY_ASSIGN(network.address, parse_address("mvr.ip", value.substr(0, slash)));
  return {};
}

Result<void> check_mirror(std::string_view value) {
  const std::size_t colon = std::min(value.find(':'), value.size());
  TRY(parse_address("the first part of mvr.mirror", value.substr(0, colon)).map([](in_addr) {}));
  const auto port = parse_u64(value.substr(std::min(colon + 1, value.size())));
  if (port && *port > 0 && *port <= 65535) return {};
  return fail(Errc::invalid, "kernel command line: mvr.mirror must end with a port");
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

constexpr std::array<std::pair<std::string_view, EngineMode>, 3> kEngineModes{
    {{"boot", EngineMode::boot}, {"demand", EngineMode::demand}, {"off", EngineMode::off}}};

std::optional<EngineMode> find_engine_mode(std::string_view text) {
  for (const auto& [name, mode] : kEngineModes) {
    if (name == text) return mode;
  }
  return std::nullopt;
}

Result<std::vector<std::string>> parse_drives(std::string_view value) {
  std::vector<std::string> drives;
  for (const std::string_view name : split(value, ',')) {
    if (is_plain_name(name, 20) && drives.size() < kMaxDrives) {
      drives.emplace_back(name);
      continue;
    }
    return fail(Errc::invalid, "kernel command line: mvr.drives must be names, at most " +
                                   std::to_string(kMaxDrives));
  }
  return drives;
}

// What was read so far.
struct Words {
  std::string hostname;
  EngineMode engine = EngineMode::boot;
  NetworkWords network;
  std::string mirror;
  std::vector<std::string> drives;
  bool waits = false;
  bool has_ip = false;
  bool needs_ip = false;
};

Result<void> parse_word(std::string_view word, Words& words) {
  if (word == "mvr.waits") {
    words.waits = true;
    return {};
  }
  const std::size_t equals = std::min(word.find('='), word.size() - 1);
  const std::string_view name = word.substr(0, equals);
  const std::string_view value = word.substr(equals + 1);
  if (name == "mvr.hostname" && is_plain_name(value, 63)) {
    words.hostname = value;
    return {};
  }
  if (name == "mvr.ip") {
    words.has_ip = true;
    return parse_ip(value, words.network);
  }
  if (name == "mvr.gw" || name == "mvr.dns") {
    TRY_ASSIGN(const in_addr address, parse_address(name, value));
    words.needs_ip = true;
    if (name == "mvr.gw") {
      words.network.gateway = address;
    } else {
      words.network.dns = value;
    }
    return {};
  }
  if (const auto mode = find_engine_mode(value); mode && name == "mvr.engine") {
    words.engine = *mode;
    return {};
  }
  if (name == "mvr.mirror") {
    TRY(check_mirror(value));
    words.needs_ip = true;
    words.mirror = value;
    return {};
  }
  if (name == "mvr.drives") {
    TRY_ASSIGN(words.drives, parse_drives(value));
    return {};
  }
  return fail(Errc::invalid, "kernel command line: bad word '" + printable(word, 80) + "'");
}

}  // namespace

Result<BootWords> parse_command_line(std::string_view line) {
  Words words;
  const std::size_t end = line.find_last_not_of('\n');
  for (const std::string_view word : split(line.substr(0, end + 1), ' ')) {
    if (word.substr(0, 4) == "mvr.") TRY(parse_word(word, words));
  }
  if (words.needs_ip && !words.has_ip) {
    return fail(Errc::invalid, "kernel command line: mvr.gw, mvr.dns and mvr.mirror need mvr.ip");
  }
  BootWords result;
  if (!words.hostname.empty()) result.hostname = words.hostname;
  result.engine = words.engine;
  if (words.has_ip) result.network = words.network;
  result.mirror = words.mirror;
  result.waits = words.waits;
  result.drives = words.drives;
  return result;
}

std::map<std::string, std::string> parse_environment(std::string_view text) {
  std::map<std::string, std::string> variables;
  constexpr std::string_view kExport = "export ";
  for (const std::string_view raw : split(text, '\n')) {
    std::string_view line = trimmed(raw);
    if (line.substr(0, kExport.size()) == kExport) line = trimmed(line.substr(kExport.size()));
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos || !is_name(line.substr(0, equals))) continue;
    std::string_view value = line.substr(equals + 1);
    const bool quoted = value.size() >= 2 && value.front() == value.back() &&
                        (value.front() == '"' || value.front() == '\'');
    if (quoted) value = value.substr(1, value.size() - 2);
    if (value.find('\0') != std::string_view::npos) continue;
    variables[std::string(line.substr(0, equals))] = value;
  }
  return variables;
}

}  // namespace mvr::guest
