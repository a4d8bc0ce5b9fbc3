// A tree as tar(1) or another program writes it to a pipe, made into an image.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "image/ext4_image.h"

namespace mvr::image {

// A command that writes a tree to its stdout, as tar.
struct TreeCommand {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // all of it, "NAME=VALUE"
  std::string what;                      // names the tree in errors
  std::string log;                       // a file for its stderr, made anew
};

// As write_ext4_image() of one layer. The command's own failure, with what it said, is told before
// that of a tree it cut short.
Result<Ext4Report> write_command_image(const TreeCommand& command, const std::string& output,
                                       const Ext4Options& options);
// The same of a directory, which is only read.
Result<Ext4Report> write_tree_image(const std::string& directory, const std::string& output,
                                    const Ext4Options& options);

}  // namespace mvr::image
