#include "guest/service.h"

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX's
#include <unistd.h>

#include <array>
#include <cerrno>

#include "guest/files.h"
#include "guest/ready.h"

namespace mvr::guest {
namespace {

constexpr int kMostStarts = 5;
constexpr int kMostReads = 8;  // at once
constexpr short kReadable = POLLIN | POLLHUP | POLLERR;

}  // namespace

std::optional<std::chrono::seconds> restart_delay(int ended) {
  if (ended >= kMostStarts) return std::nullopt;
  return std::chrono::seconds(1 << (ended - 1));
}

Service::Service(std::string name, SpawnSpec spec, std::string log_directory)
    : name_(std::move(name)),
      spec_(std::move(spec)),
      log_directory_(std::move(log_directory)),
      log_(log_directory_ + "/" + name_ + ".log") {}

Result<void> Service::spawn_with_log() {
  TRY(make_directory(log_directory_));
  TRY_ASSIGN(Pipe log, make_pipe());
  if (::fcntl(log.read.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "set up a pipe");
  TRY_ASSIGN(pid_, spawn(spec_, Stdio{-1, log.write.get(), log.write.get()}));
  output_ = std::move(log.read);
  return {};
}

std::string Service::start(Time now) {
  start_at_.reset();
  const auto started = spawn_with_log();
  return started ? std::string() : plan_restart("cannot be started: " + started.error().what, now);
}

std::string Service::plan_restart(const std::string& why, Time now) {
  const std::string text = name_ + " " + why;
  const auto delay = restart_delay(++ended_);
  if (delay) {
    start_at_ = now + *delay;
    return text + "; it is started again in " + std::to_string(delay->count()) + " s";
  }
  has_failed_ = true;
  return text + "; this was the last of " + std::to_string(kMostStarts) + " starts, see " +
         log_.path();
}

std::string Service::reaped(pid_t pid, int wait_status, Time now) {
  if (pid != pid_) return {};
  pid_ = -1;
  read_log();
  if (is_stopping_) return {};
  std::string why = "ended with " + std::to_string(exit_code(wait_status));
  if (!log_.last_line().empty()) why += " (" + log_.last_line() + ")";
  return plan_restart(why, now);
}

std::string Service::handle_due(Time now) {
  return start_at_ && *start_at_ <= now ? start(now) : std::string();
}

void Service::stop() {
  is_stopping_ = true;
  start_at_.reset();
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

void Service::add_to(std::vector<pollfd>& entries) const {
  if (output_) entries.push_back({output_.get(), POLLIN, 0});
}

void Service::serve(const std::vector<pollfd>& entries) {
  if (is_ready(entries, output_.get(), kReadable)) read_log();
}

void Service::read_log() {
  // More than a pipe holds: what was written before an end is all read.
  std::array<char, 16'384> buffer{};
  for (int n = 0; n < kMostReads && output_; ++n) {
    const ssize_t got = ::read(output_.get(), buffer.data(), buffer.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      output_ = Fd();
    } else {
      log_.append({buffer.data(), static_cast<std::size_t>(got)});
    }
  }
}

}  // namespace mvr::guest
