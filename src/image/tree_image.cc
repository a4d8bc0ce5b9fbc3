#include "image/tree_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "base/fd.h"
#include "image/program.h"
#include "sys/process.h"

namespace mvr::image {
namespace {

constexpr Duration kTarLimit = std::chrono::minutes(1);  // after it has closed its output

}  // namespace

Result<Ext4Report> write_tree_image(const std::string& directory, const std::string& output,
                                    const Ext4Options& options) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    return fail(Errc::not_found, directory + " is not a directory");
  }
  const std::string from = std::filesystem::absolute(directory, error).string();
  if (error) return fail_errno(error.value(), directory);
  TRY_ASSIGN(const std::string program, find_program("tar", "tar"));
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  Fd read(ends[0]);
  Fd write(ends[1]);
  sys::SpawnOptions spawn;
  spawn.argv = {program,
                "--create",
                "--file=-",
                "--format=posix",
                "--sort=name",
                "--acls",
                "--xattrs",
                "--xattrs-include=*",
                "--numeric-owner",
                "--sparse",
                "--directory=" + from,
                "."};
  // Times of reading would differ between two runs; they are not kept anyway.
  spawn.argv.insert(spawn.argv.begin() + 4, "--pax-option=delete=atime,delete=ctime");
  spawn.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  spawn.fds = {{write.get(), STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  spawn.die_with_parent = true;
  TRY_ASSIGN(sys::Process process, sys::Process::spawn(spawn));
  TRY(write.close());
  TarLayer layer;
  layer.fd = read.get();
  layer.what = directory;
  layer.whiteouts = false;
  auto report = write_ext4_image({layer}, output, options);
  // A closed pipe ends tar where the writer gave up.
  TRY(read.close());
  auto exit = process.wait(kTarLimit);
  if (!report) return report;
  if (!exit || !exit->ok()) {
    (void)::unlink(output.c_str());  // the error to tell is tar's
    if (!exit) return fail(with_context(exit.error(), "tar of " + directory));
    return fail(Errc::io, "tar of " + directory + ": " + exit->to_text());
  }
  return report;
}

}  // namespace mvr::image
