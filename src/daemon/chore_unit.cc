#include "daemon/chore_unit.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"

namespace mvr::daemon {
namespace {

constexpr std::string_view kSpecial = "\"\\`$";  // between double quotes

bool is_name(std::string_view name) {
  const auto is_part = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9') &&
         std::all_of(name.begin(), name.end(), is_part);
}

bool is_one_line(std::string_view value) {
  return std::none_of(value.begin(), value.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace

bool is_service() {
  const char* pid = std::getenv("SYSTEMD_EXEC_PID");
  return pid != nullptr && std::to_string(::getpid()) == pid;
}

std::string service_of(const std::string& cgroups) {
  constexpr std::string_view kEnd = ".service";
  for (const std::string_view line : split(cgroups, '\n')) {
    // Of "0::/system.slice/mvrunner.service"; of version 1 every hierarchy may do.
    const std::string_view last = line.substr(line.rfind('/') + 1);
    if (last.size() > kEnd.size() && last.ends_with(kEnd)) return std::string(last);
  }
  return {};
}

std::vector<std::string> chore_unit_words(const ChoreUnit& unit) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(unit.longest).count();
  std::vector<std::string> words{"systemd-run",
                                 "--quiet",
                                 "--wait",
                                 "--pipe",
                                 "--collect",
                                 "--unit=mvrunner-chore",
                                 "--description=Chore of mvrunner",
                                 "--property=EnvironmentFile=" + unit.environment_file,
                                 "--property=RuntimeMaxSec=" + std::to_string(seconds),
                                 "--property=Nice=19",
                                 "--property=IOSchedulingClass=idle"};
  if (!unit.service.empty()) words.push_back("--property=BindsTo=" + unit.service);
  words.emplace_back("--");
  return words;
}

std::string environment_file_text(const std::vector<std::string>& environment) {
  std::string text;
  for (const std::string& each : environment) {
    const std::size_t equals = each.find('=');
    if (equals == std::string::npos) continue;
    const std::string_view name = std::string_view(each).substr(0, equals);
    const std::string_view value = std::string_view(each).substr(equals + 1);
    if (!is_name(name) || !is_one_line(value)) continue;
    text.append(name).append("=\"");
    for (const char c : value) {
      if (kSpecial.find(c) != std::string_view::npos) text += '\\';
      text += c;
    }
    text += "\"\n";
  }
  return text;
}

}  // namespace mvr::daemon
