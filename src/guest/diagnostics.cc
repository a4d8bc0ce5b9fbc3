#include "guest/diagnostics.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"
#include "base/text.h"
#include "guest/files.h"

namespace mvr::guest {
namespace {

constexpr std::size_t kMostFiles = 64;  // one of the listener, one of the worker, and some to spare

bool is_log(const std::string& name) {
  return name.size() > 4 && name.substr(name.size() - 4) == ".log";
}

}  // namespace

std::string Diagnostics::read_file_from(const std::string& name, std::size_t most) {
  std::size_t& at = read_[name];
  // The job may put anything there.
  const Fd file(
      ::open((directory_ + "/" + name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  std::string text(most, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), static_cast<off_t>(at));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  at += text.size();
  return text;
}

std::string Diagnostics::read_new(std::size_t most) {
  std::string text;
  if (directory_.empty()) return text;
  for (const std::string& name : list_directory(directory_)) {
    const std::size_t room = std::min(most - std::min(most, text.size()), kMaxBytes - total_);
    if (room == 0) break;
    if (!is_log(name) || (read_.size() >= kMostFiles && !read_.contains(name))) continue;
    const std::string part = read_file_from(name, room);
    if (part.empty()) continue;
    total_ += part.size();
    if (name != latest_) text += "==> " + printable(name, 128) + "\n";
    latest_ = name;
    text += part;
  }
  return text;
}

}  // namespace mvr::guest
