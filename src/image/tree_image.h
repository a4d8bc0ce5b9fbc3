// A directory of the host as an image, by way of tar(1).
#pragma once

#include <string>

#include "base/result.h"
#include "image/ext4_image.h"

namespace mvr::image {

// As write_ext4_image() of one layer. The directory is only read.
Result<Ext4Report> write_tree_image(const std::string& directory, const std::string& output,
                                    const Ext4Options& options);

}  // namespace mvr::image
