// How the stores change files: private names, locks on what is in use, renames that are whole.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "image/store.h"

namespace mvr::image {

// How often a name may change hands under us before we give up.
inline constexpr int kAttempts = 8;
// Beginnings of names below a store that are no entries of it: where a build works, and what lost
// its name but may still be in use.
inline constexpr const char* kWorkPrefix = ".work-";
inline constexpr const char* kOldPrefix = ".old-";

// A name of this process below a store, so that two builds never meet.
std::string private_name(const char* prefix);

// flock(2) without waiting on an existing file or directory. Err not_found: nothing there; Err
// busy: held by another, or replaced while we looked.
Result<Fd> lock_existing(const std::string& path, int operation);

// renameat2(2) with its flags.
Result<void> rename_with(const std::string& from, const std::string& to, unsigned flags);

// Moves `path` to a name below `root` that no reader looks at; returns it.
Result<std::string> set_aside(const std::string& root, const std::string& path);

// A work directory below `root`, which exists.
Result<WorkDirectory> open_work_directory(const std::string& root);
// Removes one whose process is gone. Err busy: it is not.
Result<void> sweep_work_directory(const std::string& path);
// Removes what was set aside, unless its data file is in use.
Result<void> sweep_old(const std::string& path, const std::string& data_file);

// Makes the data file read-only, writes the manifest beside it, and all of it to the disk.
Result<void> finish_entry(const std::string& entry, const std::string& data_file,
                          const Manifest& manifest);

}  // namespace mvr::image
