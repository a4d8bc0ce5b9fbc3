// Tar streams, one over the other, straight into an ext4 file: no root, no loop device, no
// temporary tree. File data goes to its place while it is read; only names and attributes are kept
// in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "image/progress.h"

namespace mvr::image {

struct Ext4Options {
  std::string label;     // at most 16 bytes are kept
  Bytes size{};          // apparent; 0: what the content needs and a little more
  bool journal = false;  // bases are mounted read-only and need none
  // A VM's root: owners, modes, attributes and device nodes are kept, and the changes that every
  // root needs are made (rootfs_fixups.h). Otherwise someone's download: plain files, directories
  // and links only, all owned by root, and no path may lead through a link.
  bool rootfs = true;
  // Where set, a file of this path must be there and executable for everyone: "bin/run".
  std::string program{};
  Bar bar{};         // how much of the layers is read, where their sizes are known
  Bytes expected{};  // of all layers as read, for the bar; 0: their files' sizes
};

// A tar stream, plain or compressed (gzip, bzip2, xz, zstd), read to its end.
struct TarLayer {
  int fd = -1;
  std::string what;  // names it in errors
  // "sha256:<hex>"; where given, what is read must match, else Err.
  std::string digest{};   // of the bytes as they are read
  std::string diff_id{};  // of the tar inside
  // ".wh.NAME" and ".wh..wh..opq" hide what lower layers have; false: they are names like others.
  bool whiteouts = true;
};

struct Ext4Report {
  Bytes size;       // apparent
  Bytes allocated;  // on the host's disk
  std::uint64_t entries = 0;
  std::string digest;  // "sha256:<hex>" of the tree: names, attributes, contents
};

// The same layers give the same bytes: the filesystem's UUID, hash seed and times come from the
// content. On Err (Err invalid names the entry that is refused) there is no `output`; a process
// killed half-way leaves none either where the host's filesystem has O_TMPFILE. An `output` that
// exists is replaced.
Result<Ext4Report> write_ext4_image(const std::vector<TarLayer>& layers, const std::string& output,
                                    const Ext4Options& options);

// e2fsck -fn: nothing is changed; Err has what it found.
Result<void> check_ext4(const std::string& path);

}  // namespace mvr::image
