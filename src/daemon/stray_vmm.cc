#include "daemon/stray_vmm.h"

#include <climits>
#include <csignal>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/text.h"
#include "sys/files.h"
#include "sys/process.h"

namespace mvr::daemon {
namespace {

// "Uid:\t<real>\t<effective>\t<saved>\t<file system>": all four are the VM's.
bool runs_as(const std::string& process, std::uint32_t uid) {
  const auto status = sys::read_file(process + "/status", 1U << 16U);
  const std::string id = "\t" + std::to_string(uid);
  return status && status->find("\nUid:" + id + id + id + id + "\n") != std::string::npos;
}

bool is_started_as_vmm(const std::string& process) {
  using namespace std::string_view_literals;
  const auto words = sys::read_file(process + "/cmdline", 1U << 18U);
  // QEMU's, and Firecracker's (also of its jailer before it becomes the VMM).
  return words && (words->find("\0-name\0guest="sv) != std::string::npos ||
                   words->find("\0--api-sock\0/run/api.sock\0"sv) != std::string::npos);
}

bool has_file_open_in(const std::string& process, const std::string& directory) {
  const auto numbers = sys::list_directory(process + "/fd");
  if (!numbers) return false;  // it has ended
  for (const auto& number : *numbers) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(process + "/fd/" + number, gone);
    if (!gone && target.string().starts_with(directory + "/")) return true;
  }
  return false;
}

}  // namespace

Result<bool> kill_stray_vmm(const core::SlotNames& names) {
  bool found = false;
  TRY_ASSIGN(const auto entries, sys::list_directory("/proc"));
  for (const auto& entry : entries) {
    const auto pid = parse_u64(entry);
    if (!pid || *pid > INT_MAX) continue;
    const std::string path = "/proc/" + entry;
    if (!runs_as(path, names.uid)) continue;  // most processes end here
    const auto started = sys::process_start_time(static_cast<pid_t>(*pid));
    if (!started) continue;
    // Held by a pidfd before it is looked at: what is killed is what was seen.
    const auto process = sys::Process::adopt(static_cast<pid_t>(*pid), *started);
    if (!process || !runs_as(path, names.uid) || !is_started_as_vmm(path)) continue;
    if (!has_file_open_in(path, names.directory)) continue;
    TRY(process->signal(SIGKILL));
    found = true;
  }
  return found;
}

}  // namespace mvr::daemon
