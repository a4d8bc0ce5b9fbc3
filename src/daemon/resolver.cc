#include "daemon/resolver.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/text.h"
#include "core/backoff.h"
#include "core/names.h"
#include "daemon/journal.h"
#include "daemon/network.h"

namespace mvr::daemon {
namespace {
constexpr Duration kStopLimit{2'000};
constexpr unsigned kNobody = 65534;
constexpr std::size_t kLongestLine = 4096;
constexpr std::size_t kMostSaid = 300;
}  // namespace

std::vector<std::string> resolver_arguments(const core::Config& config) {
  const core::HostNames names = core::host_names(config);
  return {
      "dnsmasq",
      "--keep-in-foreground",
      "--conf-file=/dev/null",
      "--pid-file=",
      "--no-hosts",
      "--bind-interfaces",
      "--except-interface=lo",
      "--listen-address=" + names.uplink_host.to_text(),
      "--port=" + std::to_string(kResolverPort),
      "--resolv-file=" + config.network.resolv_conf,
      "--cache-size=2000",
      "--log-facility=/dev/null",  // it still says on stderr why it dies
  };
}

Result<std::unique_ptr<Resolver>> Resolver::start(sys::Loop& loop, ResolverSpec spec) {
  std::unique_ptr<Resolver> resolver(new Resolver(loop, std::move(spec)));
  TRY(context(resolver->spawn(), "dnsmasq (Debian package dnsmasq-base)"));
  return resolver;
}

Resolver::~Resolver() {
  watch_ = {};
  if (!process_) return;
  (void)process_.signal(SIGTERM);  // it dies with us anyway
  (void)process_.wait(kStopLimit);
}

Result<void> Resolver::spawn() {
  sys::SpawnOptions options;
  options.argv = spec_.arguments;
  options.netns_fd = spec_.netns_fd;
  // Of that namespace, which is ours and holds the VMs' sets.
  if (spec_.netns_fd >= 0) options.capabilities = 1ULL << CAP_NET_ADMIN;
  // Unprivileged from the start: a change of user of its own would clear die_with_parent.
  options.uid = kNobody;
  options.gid = kNobody;
  options.die_with_parent = true;
  options.fds = {{STDERR_FILENO, STDERR_FILENO}};
  Fd writer;
  if (spec_.line) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
    lines_ = Fd(ends[0]);
    writer = Fd(ends[1]);
    if (::fcntl(lines_.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "pipe");
    options.fds = {{writer.get(), STDERR_FILENO}};
    partial_.clear();
    TRY_ASSIGN(lines_watch_,
               loop_.watch(lines_.get(), EPOLLIN, [this](std::uint32_t) { read_lines(); }));
  }
  TRY_ASSIGN(process_, sys::Process::spawn(options));
  TRY_ASSIGN(watch_, loop_.watch(process_.pidfd(), EPOLLIN, [this](std::uint32_t) { on_exit(); }));
  return {};
}

// A guest decides how much there is: one read at a time, and what is too long for a line goes.
void Resolver::read_lines() {
  std::array<char, 16'384> buffer{};
  const ssize_t got = ::read(lines_.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    lines_watch_ = {};
    return;
  }
  partial_.append(buffer.data(), static_cast<std::size_t>(got));
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = partial_.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    const std::string_view line = std::string_view(partial_).substr(begin, end - begin);
    last_ = line;
    spec_.line(line);
  }
  partial_.erase(0, begin);
  if (partial_.size() > kLongestLine) partial_.clear();
}

void Resolver::on_exit() {
  watch_ = {};
  if (lines_) read_lines();
  auto exit = process_.reap();
  ++failures_;
  const Duration delay = core::backoff_delay(core::kApiBackoff, failures_, "dnsmasq");
  log(Level::error, "resolver_ended",
      {{"how", exit && *exit ? (*exit)->to_text() : "unknown"},
       {"said", printable(last_, kMostSaid)},
       {"retry_ms", std::to_string(delay.count())}});
  retry_ = loop_.call_at(loop_.now() + delay, [this] { retry(); });
}

void Resolver::retry() {
  auto started = spawn();
  if (started) return;
  ++failures_;
  log(Level::error, "resolver_failed", {{"error", started.error().what}});
  retry_ = loop_.call_at(loop_.now() + core::backoff_delay(core::kApiBackoff, failures_, "dnsmasq"),
                         [this] { retry(); });
}

}  // namespace mvr::daemon
