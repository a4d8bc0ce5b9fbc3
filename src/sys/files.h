// Files and directories: atomic replacement, bounded reading, sparse copies, locks, removal.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::sys {

Result<Fd> open_read(const std::string& path);
// Err too_large when the file is longer than `max`.
Result<std::string> read_file(const std::string& path, std::size_t max = 1 << 20);
// Writes a temporary file beside, fsyncs, renames, fsyncs the directory.
// `mode` is exact, whatever the umask.
Result<void> write_file_atomic(const std::string& path, std::string_view data, mode_t mode = 0644);
// The same without fsync: whole after a crash of this process, not after one of the host. For
// state that a boot of the host makes worthless.
Result<void> replace_file(const std::string& path, std::string_view data, mode_t mode = 0644);
// Replaces the contents in place (not atomic); follows no link at the last component.
Result<void> write_file(const std::string& path, std::string_view data, mode_t mode = 0644);
// Parents too; the umask applies to the mode of what is made.
Result<void> make_directories(const std::string& path, mode_t mode = 0755);
Result<void> change_owner(const std::string& path, uid_t uid, gid_t gid);
bool exists(const std::string& path);
Result<std::vector<std::string>> list_directory(const std::string& path);  // sorted names
// Removes a tree without following links or crossing mounts; absent is ok.
Result<void> remove_tree(const std::string& path);
Result<void> remove_file(const std::string& path);  // absent is ok
Result<void> rename_durably(const std::string& from, const std::string& to);
Result<void> fsync_path(const std::string& path);

// Copies only the data of a sparse file (FICLONE, else SEEK_DATA + copy_file_range, else
// read/write) and truncates to its length; created with O_EXCL and `mode`.
Result<void> copy_sparse(const std::string& from, const std::string& to, mode_t mode);
// The same from an open file to an empty one, which becomes as long.
Result<void> copy_sparse(int from, int to);

// flock(2). shared or exclusive; Err busy when held otherwise. The lock lives as long as the Fd.
Result<Fd> lock_file(const std::string& path, bool exclusive);

struct DiskSpace {
  Bytes total;
  Bytes free;
};  // free: for an unprivileged user
Result<DiskSpace> disk_space(const std::string& path);
Bytes allocated_size(const std::string& path);  // st_blocks; 0 when absent
// The SHA-256 of the contents in hex, as sha256sum prints it (holes cost no reading); "" on error.
std::string sha256_file(const std::string& path);
std::string sha256_text(std::string_view text);

}  // namespace mvr::sys
