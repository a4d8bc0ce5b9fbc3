// remove_tree of files.h.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "sys/files.h"
#include "sys/open_below.h"

namespace mvr::sys {
namespace {

// One descriptor is open per level; nothing of ours nests deeper.
constexpr unsigned kDeepest = 512;

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

Result<void> remove_children(Fd fd, const std::string& shown, unsigned depth);

Result<void> remove_entry(int parent, const char* name, const std::string& shown, unsigned depth) {
  if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return {};
  // Linux says EISDIR where POSIX has EPERM.
  if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "remove " + shown);
  const int first_error = errno;
  auto child = open_below(parent, name, shown);
  if (!child) {
    if (child.error().code == Errc::busy) return fail(std::move(child).error());
    return fail_errno(first_error, "remove " + shown);
  }
  TRY(remove_children(std::move(*child), shown, depth + 1));
  if (::unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  return fail_errno(errno, "remove " + shown);
}

Result<void> remove_children(Fd fd, const std::string& shown, unsigned depth) {
  if (depth > kDeepest) return fail(Errc::too_large, shown + " is nested too deeply to remove");
  const Directory directory(::fdopendir(fd.get()), &::closedir);
  if (!directory) return fail_errno(errno, "list " + shown);
  const int number = fd.release();  // the DIR owns it now
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name(&entry->d_name[0]);
    if (name == "." || name == "..") continue;
    TRY(remove_entry(number, &entry->d_name[0], shown + "/" + std::string(name), depth));
  }
  if (errno != 0) return fail_errno(errno, "list " + shown);
  return {};
}

}  // namespace

Result<void> remove_tree(const std::string& path) {
  std::string clean = path;
  while (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  const std::size_t slash = clean.find_last_of('/');
  const std::string name = clean.substr(slash == std::string::npos ? 0 : slash + 1);
  if (name.empty() || name == "." || name == "..") {
    return fail(Errc::invalid, "remove '" + path + "': it names no entry of a directory");
  }
  std::string parent = slash == std::string::npos ? "." : clean.substr(0, slash);
  if (parent.empty()) parent = "/";
  Fd fd(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return {};
  if (!fd) return fail_errno(errno, "open " + parent);
  return remove_entry(fd.get(), name.c_str(), clean, 0);
}

}  // namespace mvr::sys
