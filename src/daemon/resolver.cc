#include "daemon/resolver.h"

#include <sys/epoll.h>

#include <csignal>

#include "core/backoff.h"
#include "core/names.h"
#include "daemon/journal.h"
#include "daemon/network.h"

namespace mvr::daemon {
namespace {
constexpr Duration kStopLimit{2'000};
constexpr unsigned kNobody = 65534;
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

Result<std::unique_ptr<Resolver>> Resolver::start(sys::Loop& loop, const core::Config& config) {
  std::unique_ptr<Resolver> resolver(new Resolver(loop));
  resolver->arguments_ = resolver_arguments(config);
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
  options.argv = arguments_;
  // Unprivileged from the start: a change of user of its own would clear die_with_parent.
  options.uid = kNobody;
  options.gid = kNobody;
  options.die_with_parent = true;
  options.fds = {{2, 2}};
  TRY_ASSIGN(process_, sys::Process::spawn(options));
  TRY_ASSIGN(watch_, loop_.watch(process_.pidfd(), EPOLLIN, [this](std::uint32_t) { on_exit(); }));
  return {};
}

void Resolver::on_exit() {
  watch_ = {};
  auto exit = process_.reap();
  ++failures_;
  const Duration delay = core::backoff_delay(core::kApiBackoff, failures_, "dnsmasq");
  log(Level::error, "resolver_ended",
      {{"how", exit && *exit ? (*exit)->to_text() : "unknown"},
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
