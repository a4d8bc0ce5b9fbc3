#include "image/tree_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <utility>

#include "base/fd.h"
#include "image/program.h"
#include "sys/files.h"
#include "sys/process.h"

namespace mvr::image {
namespace {

constexpr Duration kEndLimit = std::chrono::minutes(10);  // after it has closed its output
constexpr std::size_t kMostSaid = 1U << 20U;
constexpr int kPipe = 1 << 20;

class TreeStream {
 public:
  static Result<TreeStream> start(const TreeCommand& command) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
    Fd read(ends[0]);
    Fd write(ends[1]);
    // Fewer changes between writer and reader; the default will do as well.
    (void)::fcntl(write.get(), F_SETPIPE_SZ, kPipe);
    const Fd log(::open(command.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!log) return fail_errno(errno, command.log);
    sys::SpawnOptions spawn;
    spawn.argv = command.argv;
    spawn.env = command.environment;
    spawn.fds = {{write.get(), STDOUT_FILENO}, {log.get(), STDERR_FILENO}};
    spawn.die_with_parent = true;
    TRY_ASSIGN(sys::Process process, sys::Process::spawn(spawn));
    TRY(write.close());
    return TreeStream(std::move(read), std::move(process));
  }

  [[nodiscard]] int fd() const { return read_.get(); }

  // How the command ended. A reader that gave up has closed the pipe on it: that is no failure of
  // the command's.
  Result<sys::Exit> finish(bool reader_is_content) {
    if (reader_is_content) {
      // Reads on to the end, so that what pads the archive does not meet a closed pipe.
      std::array<char, 4096> rest{};
      ssize_t got = 1;
      while (got > 0 || (got < 0 && errno == EINTR)) got = ::read(read_.get(), rest.data(), 4096);
    }
    TRY(read_.close());
    TRY_ASSIGN(sys::Exit exit, process_.wait(kEndLimit));
    const bool is_hung_up = exit.signal == SIGPIPE || exit.code == 128 + SIGPIPE;
    return !reader_is_content && is_hung_up ? sys::Exit{} : exit;
  }

 private:
  TreeStream(Fd read, sys::Process process)
      : read_(std::move(read)), process_(std::move(process)) {}
  Fd read_;
  sys::Process process_;
};

}  // namespace

Result<Ext4Report> write_command_image(const TreeCommand& command, const std::string& output,
                                       const Ext4Options& options) {
  TRY_ASSIGN(TreeStream tree, TreeStream::start(command));
  TarLayer layer;
  layer.fd = tree.fd();
  layer.what = command.what;
  layer.whiteouts = false;
  auto report = write_ext4_image({layer}, output, options);
  const auto exit = tree.finish(report.has_value());
  if (exit && exit->ok()) return report;
  if (report) (void)sys::remove_file(output);  // it may be cut short
  if (!exit) return fail(with_context(exit.error(), "reading " + command.what));
  const auto said = sys::read_file(command.log, kMostSaid);
  return fail(Errc::unavailable, "reading " + command.what + ": " + exit->to_text() + ": " +
                                     last_words(said ? *said : ""));
}

Result<Ext4Report> write_tree_image(const std::string& directory, const std::string& output,
                                    const Ext4Options& options) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    return fail(Errc::not_found, directory + " is not a directory");
  }
  const std::string from = std::filesystem::absolute(directory, error).string();
  if (error) return fail_errno(error.value(), directory);
  TRY_ASSIGN(const std::string program, find_program("tar", "tar"));
  TreeCommand tar;
  // Times of reading would differ between two runs; they are not kept anyway.
  tar.argv = {program,
              "--create",
              "--file=-",
              "--blocking-factor=512",
              "--format=posix",
              "--pax-option=delete=atime,delete=ctime",
              "--sort=name",
              "--acls",
              "--xattrs",
              "--xattrs-include=*",
              "--numeric-owner",
              "--sparse",
              "--directory=" + from,
              "."};
  // Nothing of this process's own: TAR_OPTIONS would change what is written.
  tar.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  tar.what = directory;
  tar.log = output + ".log";
  auto report = write_command_image(tar, output, options);
  (void)sys::remove_file(tar.log);
  return report;
}

}  // namespace mvr::image
