// An image of the store as one file: a tar of its manifest and its filesystem, without the holes.
#pragma once

#include <string>

#include "base/result.h"
#include "image/progress.h"
#include "image/store.h"

namespace mvr::image {

// Writes `ref` to `file`, which appears whole or not at all; "-" is standard output. Compressed
// with zstd, unless the name ends in ".tar" or this libarchive cannot.
Result<void> export_image(const ImageStore& store, const std::string& ref, const std::string& file,
                          const Bar& bar = {});

// True for what export_image() wrote; anything else that can be read is another kind of archive.
Result<bool> is_exported_image(const std::string& file);

// Takes such a file in, without a tag; the digest and the id must be what it says. On any Err
// nothing of it is left.
Result<Manifest> import_exported(const ImageStore& store, const std::string& file,
                                 const Bar& bar = {});

}  // namespace mvr::image
