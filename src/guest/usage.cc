#include "guest/usage.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/text.h"
#include "guest/files.h"

namespace mvr::guest {
namespace {

constexpr std::size_t kMaxVictim = 64;
constexpr std::size_t kMaxTrouble = 300;
constexpr std::uint64_t kFull = std::uint64_t{1} << 20;  // less room than this is none
constexpr std::uint64_t kTick = 10;                      // milliseconds in a unit of /proc/stat
constexpr int kMostRecords = 256;                        // of the kernel's log at once

// The next number of the text, which it is taken from; 0 when there is none.
std::uint64_t take_number(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view digits = text.substr(0, text.find_first_of(" \n"));
  text.remove_prefix(digits.size());
  return parse_u64(digits).value_or(0);
}

}  // namespace

std::string oom_victim_of(std::string_view kernel_line) {
  constexpr std::string_view kKilled = "Out of memory: Killed process ";
  const std::size_t at = kernel_line.find(kKilled);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = kernel_line.substr(at + kKilled.size());
  const std::size_t open = rest.find('(');
  const std::size_t close = rest.find(") ", open);
  if (open == std::string_view::npos || close == std::string_view::npos) return "a process";
  return printable(rest.substr(open + 1, close - open - 1), kMaxVictim);
}

std::uint64_t memory_field(std::string_view meminfo, std::string_view name) {
  const std::size_t at = meminfo.find(name);
  if (at == std::string_view::npos) return 0;
  std::string_view rest = meminfo.substr(at + name.size());
  return take_number(rest) * 1024;
}

std::uint64_t busy_milliseconds(std::string_view stat) {
  std::string_view line = stat.substr(0, stat.find('\n'));
  if (line.substr(0, 4) != "cpu ") return 0;
  line.remove_prefix(4);
  // user nice system idle iowait irq softirq: proc(5)
  std::array<std::uint64_t, 7> fields{};
  for (auto& field : fields) field = take_number(line);
  return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6]) * kTick;
}

UsageMeter::UsageMeter() : kernel_log_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
  if (kernel_log_) (void)::lseek(kernel_log_.get(), 0, SEEK_END);
}

void UsageMeter::begin() {
  usage_ = {};
  cpu_before_ms_ = busy_milliseconds(read_file("/proc/stat").value_or(std::string()));
}

bool UsageMeter::sample() {
  const std::string meminfo = read_file("/proc/meminfo").value_or(std::string());
  usage_.memory_total = memory_field(meminfo, "MemTotal:");
  const std::uint64_t available = memory_field(meminfo, "MemAvailable:");
  usage_.memory = usage_.memory_total - std::min(available, usage_.memory_total);
  usage_.memory_peak = std::max(usage_.memory_peak, usage_.memory);
  const std::uint64_t cpu = busy_milliseconds(read_file("/proc/stat").value_or(std::string()));
  usage_.cpu_ms = cpu - std::min(cpu, cpu_before_ms_);
  struct statvfs disk {};
  if (::statvfs("/", &disk) != 0) return false;
  const std::uint64_t block = disk.f_frsize;
  usage_.disk_total = disk.f_blocks * block;
  usage_.disk = (disk.f_blocks - disk.f_bfree) * block;
  usage_.disk_peak = std::max(usage_.disk_peak, usage_.disk);
  const bool is_full = disk.f_bavail * block < kFull;
  return is_full && !std::exchange(usage_.disk_full, true);
}

bool UsageMeter::read_kernel_log() {
  bool changed = false;
  std::array<char, 8192> record{};
  for (int n = 0; n < kMostRecords; ++n) {
    const ssize_t got = ::read(kernel_log_.get(), record.data(), record.size());
    if (got < 0 && errno == EPIPE) continue;  // some were overwritten before we came
    if (got <= 0) break;
    const std::string victim =
        oom_victim_of(std::string_view(record.data(), static_cast<std::size_t>(got)));
    if (victim.empty()) continue;
    changed = true;
    ++usage_.oom_kills;
    if (usage_.oom_victim.empty()) usage_.oom_victim = victim;
  }
  return changed;
}

bool UsageMeter::set_network_trouble(std::string_view text) {
  std::string shown = printable(text, kMaxTrouble);
  if (shown == usage_.network_trouble) return false;
  usage_.network_trouble = std::move(shown);
  return true;
}

}  // namespace mvr::guest
