#include "guest/job.h"

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX's
#include <unistd.h>

#include <array>
#include <cerrno>

namespace mvr::guest {
namespace {

// Only our end: the program expects blocking descriptors.
Result<void> set_nonblocking(const Fd& pipe) {
  if (::fcntl(pipe.get(), F_SETFL, O_NONBLOCK) == 0) return {};
  return fail_errno(errno, "set a pipe to non-blocking");
}

}  // namespace

Result<Job> Job::start(const SpawnSpec& spec, bool with_input) {
  Job job;
  Pipe input;
  if (with_input) {
    TRY_ASSIGN(input, make_pipe());
    TRY(set_nonblocking(input.write));
    job.input_ = std::move(input.write);
  }
  TRY_ASSIGN(Pipe output, make_pipe());
  TRY_ASSIGN(Pipe error, make_pipe());
  TRY(set_nonblocking(output.read));
  TRY(set_nonblocking(error.read));
  TRY_ASSIGN(job.pid_, spawn(spec, Stdio{input.read.get(), output.write.get(), error.write.get()}));
  job.output_ = std::move(output.read);
  job.error_ = std::move(error.read);
  return job;
}

std::string Job::read_from(Fd& pipe) {
  std::array<char, 32'768> buffer{};
  const ssize_t got = ::read(pipe.get(), buffer.data(), buffer.size());
  if (got > 0) return {buffer.data(), static_cast<std::size_t>(got)};
  if (got == 0 || (errno != EAGAIN && errno != EINTR)) pipe = Fd();
  return {};
}

Result<void> Job::add_input(std::string_view data, bool end) {
  if (!input_ || input_ends_) return {};  // the program has closed it, or the host said its end
  if (pending_.size() + data.size() > kMaxInput) {
    return fail(Errc::too_large, "the command does not read its input: 16 MiB wait");
  }
  pending_.append(data);
  input_ends_ = end;
  if (input_ends_ && pending_.empty()) input_ = Fd();
  return {};
}

void Job::write_input() {
  const ssize_t written = ::write(input_.get(), pending_.data(), pending_.size());
  if (written < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (written < 0) {  // EPIPE: nobody reads any more
    input_ = Fd();
    pending_.clear();
    return;
  }
  pending_.erase(0, static_cast<std::size_t>(written));
  if (pending_.empty() && input_ends_) input_ = Fd();
}

void Job::interrupt(bool with_children) const {
  if (!exit_code_) ::kill(with_children ? -pid_ : pid_, SIGINT);
}

void Job::kill() const {
  if (!exit_code_) ::kill(-pid_, SIGKILL);
}

}  // namespace mvr::guest
