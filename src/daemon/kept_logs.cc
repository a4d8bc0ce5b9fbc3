#include "daemon/kept_logs.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "daemon/fail_point.h"
#include "sys/files.h"

namespace mvr::daemon {
namespace {

struct Kept {
  std::string path;
  std::uint64_t size = 0;
  timespec written{};
};

std::vector<Kept> newest_first(const std::string& directory) {
  std::vector<Kept> kept;
  const auto names = sys::list_directory(directory);
  if (!names) return kept;
  for (const auto& name : *names) {
    struct stat info {};
    const std::string path = directory + "/" + name;
    if (::stat(path.c_str(), &info) != 0) continue;
    kept.push_back(Kept{path, static_cast<std::uint64_t>(info.st_size), info.st_mtim});
  }
  std::sort(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) {
    return std::pair(a.written.tv_sec, a.written.tv_nsec) >
           std::pair(b.written.tv_sec, b.written.tv_nsec);
  });
  return kept;
}

// When there is more than the budget, what does not fit into nine tenths of it goes, the newest
// being put in first; returns what is left.
Result<std::uint64_t> make_room(const std::string& directory, Bytes budget) {
  const std::vector<Kept> logs = newest_first(directory);
  std::uint64_t all = 0;
  for (const Kept& log : logs) all += log.size;
  if (all <= budget.value) return all;
  const std::uint64_t most = budget.value - budget.value / 10;
  std::uint64_t kept = 0;
  for (const Kept& log : logs) {
    if (kept + log.size > most) {
      TRY(sys::remove_file(log.path));
    } else {
      kept += log.size;
    }
  }
  return kept;
}

}  // namespace

std::string kept_log_path(const core::Config& config, const std::string& vm,
                          const std::string& which) {
  return config.state_dir + "/logs/" + vm + "." + which + ".log";
}

Result<void> KeptLogs::keep(const core::Config& config, const core::SlotNames& names,
                            const std::string& vm) {
  const std::string directory = config.state_dir + "/logs";
  TRY(sys::make_directories(directory, 0700));
  for (const std::string which : {"console", "agent", "runner"}) {
    const std::string from = names.directory + "/" + which + ".log";
    const std::string to = kept_log_path(config, vm, which);
    if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT)
      return fail_errno(errno, "keep " + from);
    struct stat info {};
    if (total_ && ::stat(to.c_str(), &info) == 0) {
      *total_ += static_cast<std::uint64_t>(info.st_size);
    }
    fail_point("log kept", which);
  }
  if (total_ && *total_ <= config.history.logs_max_size.value) return {};
  TRY_ASSIGN(total_, make_room(directory, config.history.logs_max_size));
  return {};
}

}  // namespace mvr::daemon
