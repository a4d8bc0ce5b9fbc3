#include "vmm/probe.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/text.h"
#include "channel/message.h"
#include "sys/files.h"
#include "sys/host.h"
#include "sys/loop.h"
#include "sys/unix_socket.h"
#include "vmm/accel_cache.h"

namespace mvr::vmm {
namespace {

MachineSpec probe_spec(const ProbeInput& input) {
  MachineSpec spec;
  spec.name = "mvr-probe";
  spec.directory = input.work_dir;
  spec.kernel = input.kernel;
  spec.initramfs = input.initramfs;
  spec.memory = mib(256);
  spec.console = input.work_dir + "/console.log";
  spec.console_limit = mib(1);
  spec.agent_socket = input.work_dir + "/agent.sock";
  spec.monitor_socket = input.work_dir + "/monitor.sock";
  spec.uid = input.uid;
  spec.accel = Accel::kvm;
  return spec;
}

// What the VMM or the guest's kernel said last, for people.
std::string last_line(const std::string& console) {
  const auto text = sys::read_file(console, mib(1).value);
  if (!text) return {};
  std::string last;
  for (const std::string_view line : split(*text, '\n')) {
    const auto start = line.find_first_not_of(" \t\r");
    if (start != std::string_view::npos) last = printable(line.substr(start), 300);
  }
  return last;
}

// One boot of the agent. Whatever ends it, the process ends with the object.
class ProbeBoot {
 public:
  ProbeBoot(const ProbeInput& input, sys::Loop& loop)
      : loop_(loop), deadline_(input.deadline), spec_(probe_spec(input)) {}
  ProbeBoot(const ProbeBoot&) = delete;
  ProbeBoot& operator=(const ProbeBoot&) = delete;
  ~ProbeBoot() {
    if (!process_) return;
    (void)process_.signal(SIGKILL);
    (void)process_.wait(Duration(5'000));  // only a kernel bug keeps a killed process
  }

  // Why KVM is not to be used; empty: the agent said hello.
  Result<std::string> run(Backend& backend) {
    const bool listens = backend.channel_style() == ChannelStyle::listen;
    if (listens) TRY(await_agent());
    auto process = backend.launch(spec_);
    if (!process) return process.error().what;
    process_ = std::move(*process);
    TRY_ASSIGN(process_watch_,
               loop_.watch(process_.pidfd(), EPOLLIN, [this](std::uint32_t) { on_exit(); }));
    // Refused when the process has ended already: its end tells why.
    if (!listens) {
      if (auto socket = sys::connect_unix(spec_.agent_socket)) TRY(listen_to(std::move(*socket)));
    }
    const sys::Timer timer = loop_.call_at(loop_.now() + deadline_, [this] { on_deadline(); });
    while (!outcome_) TRY(loop_.run_once());
    return *outcome_;
  }

 private:
  Result<void> await_agent() {
    TRY_ASSIGN(listener_, sys::listen_unix(spec_.agent_socket, 0600));
    TRY_ASSIGN(listener_watch_,
               loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_agent(); }));
    return {};
  }

  void on_agent() {
    auto accepted = sys::accept_unix(listener_);
    if (!accepted || !*accepted) return;
    listener_watch_ = {};
    if (auto listening = listen_to(std::move(**accepted)); !listening) {
      decide("the channel failed: " + listening.error().what);
    }
  }

  Result<void> listen_to(Fd socket) {
    socket_ = std::move(socket);
    TRY(sys::set_nonblocking(socket_, true));
    TRY_ASSIGN(socket_watch_,
               loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { receive(); }));
    return {};
  }

  void decide(std::string why) {
    if (!outcome_) outcome_ = std::move(why);
  }

  // With what the console has to say about it.
  void decide_failed(std::string why) {
    const std::string last = last_line(spec_.console);
    if (!last.empty()) why += ": " + last;
    decide(std::move(why));
  }

  void on_deadline() {
    decide_failed("the agent did not say hello within " + format_duration(deadline_));
  }

  void on_exit() {
    process_watch_ = {};
    const auto exit = process_.reap();
    decide_failed("the VMM ended (" + (exit && *exit ? (*exit)->to_text() : "unknown") + ")");
  }

  void receive() {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) {
      socket_watch_ = {};  // the end of the process follows, and tells more
      return;
    }
    const auto pushed = deframer_.push({buffer.data(), static_cast<std::size_t>(got)});
    if (!pushed) return decide("the channel failed: " + pushed.error().what);
    while (const auto record = deframer_.pop()) take(*record);
  }

  void take(const std::string& record) {
    const auto message = channel::decode_from_agent(record);
    if (!message) return decide("the channel failed: " + message.error().what);
    if (std::holds_alternative<channel::Hello>(*message)) return decide("");
    if (const auto* failed = std::get_if<channel::Failed>(&*message)) {
      decide("the agent failed: " + printable(failed->what, 300));
    }
  }

  sys::Loop& loop_;
  Duration deadline_;
  MachineSpec spec_;
  sys::Process process_;
  Fd listener_;  // where the agent comes to us
  Fd socket_;
  sys::Watch process_watch_;
  sys::Watch listener_watch_;
  sys::Watch socket_watch_;
  channel::Deframer deframer_;
  std::optional<std::string> outcome_;
};

Result<std::string> boot_once(const ProbeInput& input) {
  TRY_ASSIGN(const auto loop, sys::Loop::create());
  ProbeBoot boot(input, *loop);
  return boot.run(*input.backend);
}

Result<std::string> why_not_kvm(const ProbeInput& input) {
  for (const std::string& file : {input.kernel, input.initramfs}) {
    if (!sys::exists(file)) return fail(Errc::not_found, file + " does not exist");
  }
  TRY(sys::remove_tree(input.work_dir));
  TRY(sys::make_directories(input.work_dir, 0711));
  auto reason = boot_once(input);
  auto removed = sys::remove_tree(input.work_dir);
  if (!reason) return reason;
  TRY(std::move(removed));
  return reason;
}

}  // namespace

Result<ProbeResult> probe_accel(const ProbeInput& input) {
  const Fd device(::open(input.kvm_device.c_str(), O_RDWR | O_CLOEXEC));
  if (!device) return ProbeResult{Accel::tcg, os_error(errno, input.kvm_device).what, false};

  TRY_ASSIGN(const sys::HostFacts host, sys::host_facts());
  const std::string cpuinfo = sys::read_file("/proc/cpuinfo", mib(8).value).value_or("");
  const std::string key = accel_key(input, host.kernel, cpu_model(cpuinfo));
  const std::string boot = sys::boot_id();
  if (auto known = cached_accel(input.cache_dir, key, boot)) return *std::move(known);

  TRY_ASSIGN(std::string reason, context(why_not_kvm(input), "probe KVM"));
  ProbeResult result{reason.empty() ? Accel::kvm : Accel::tcg, std::move(reason), false};
  // Without a cache the next start asks again; that is no reason not to start.
  (void)remember_accel(input.cache_dir, key, boot, result);
  return result;
}

}  // namespace mvr::vmm
