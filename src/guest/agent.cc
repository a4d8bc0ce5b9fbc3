#include "guest/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigprocmask and kill are POSIX's
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <thread>

#include "base/text.h"
#include "guest/boot.h"
#include "guest/command.h"
#include "guest/files.h"
#include "guest/network.h"
#include "guest/runner.h"
#include "guest/system.h"

namespace mvr::guest {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPortWait{10};
constexpr milliseconds kHostPoll{100};   // while the host is away, should SIGIO be missed
constexpr seconds kLateOutput{2};        // of children that outlive the job
constexpr seconds kShutdownWait{30};     // after the job
constexpr seconds kDeadline{2};          // for processes that were killed
constexpr seconds kLastWords{5};         // for a failure to reach the host
constexpr seconds kGoodbye{1};           // for the rest to reach the host
constexpr milliseconds kHostReads{100};  // the VMM's turn between our write and the reset
constexpr std::size_t kBackedUp = Outbox::kMaxBytes / 4;

Result<Fd> make_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  ::sigaddset(&set, SIGIO);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  (void)::signal(SIGPIPE, SIG_IGN);
  Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return fail_errno(errno, "create a signalfd");
  return signals;
}

// The console is the last resort: who reads it looks for why a VM did not come.
void tell_console(const Error& error) {
  (void)std::fprintf(stderr, "mvrunner-agent: %s\n", printable(error.what).c_str());
}

}  // namespace

void run() {
  const Result<void> mounted = mount_kernel_filesystems();
  Result<Fd> signals = make_signals();
  // The host waits for hello: what only the rest of the boot needs is loaded after it.
  Modules modules;
  while (!Port::is_present() && modules.load_next()) {
  }
  Result<Port> port = signals ? Port::open(kPortWait) : Result<Port>(fail(signals.error()));
  if (!port) {
    if (!mounted) tell_console(mounted.error());
    if (!modules.outcome()) tell_console(modules.outcome().error());
    tell_console(port.error());
    std::this_thread::sleep_for(seconds(1));
    restart_machine();
  }
  Agent agent(std::move(*port), std::move(*signals));
  agent.say_hello();
  while (modules.load_next()) {
  }
  for (const Result<void>& step : {mounted, modules.outcome(), agent.set_up()}) {
    if (!step) agent.give_up(step.error());
  }
  agent.serve();
}

Agent::Agent(Port port, Fd signals) : port_(std::move(port)), signals_(std::move(signals)) {}

void Agent::say_hello() {
  send(channel::Hello{MVR_VERSION, kernel_release(), boot_milliseconds()});
  flush();
}

Result<void> Agent::set_up() {
  TRY_ASSIGN(const std::string line, read_file("/proc/cmdline"));
  TRY_ASSIGN(words_, parse_command_line(line));
  TRY_ASSIGN(root_, enter_root());
  if (!root_.mounted) return {};
  TRY(set_up_system());
  TRY(set_hostname(words_.hostname));
  return set_up_network(words_);
}

void Agent::serve() {
  for (;;) {
    flush();
    wait_and_handle();
    handle_due();
  }
}

void Agent::give_up(const Error& error) {
  tell_console(error);
  refuse(error);
  leave(kLastWords);
}

void Agent::refuse(const Error& error) { send(channel::Failed{printable(error.what)}); }

void Agent::flush() {
  port_.refresh(outbox_);
  const auto sent = port_.send(outbox_);
  if (!sent) tell_console(sent.error());
}

void Agent::leave(milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  flush();
  while (!outbox_.empty() && Clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(5));
    flush();
  }
  std::this_thread::sleep_for(kHostReads);
  // No sync: the scratch is thrown away with the VM.
  restart_machine();
}

// A command's output must be complete, so it waits for the host; the listener must not be held
// up by a daemon that does not read, so its oldest output goes.
bool Agent::is_backed_up() const { return is_command_ && outbox_.size() > kBackedUp; }

// Somebody with a valid key may be looking at what the job left.
bool Agent::must_stay() const { return !shutting_down_ && ssh_.next_expiry().has_value(); }

int Agent::wait_milliseconds() const {
  std::optional<Clock::time_point> due = ssh_.next_expiry();
  for (const auto& other : {kill_at_, finish_at_, must_stay() ? std::nullopt : leave_at_}) {
    if (other && (!due || *other < *due)) due = other;
  }
  const auto limit = port_.is_connected() ? milliseconds::max() : milliseconds(kHostPoll);
  if (!due && port_.is_connected()) return -1;
  if (!due) return static_cast<int>(limit.count());
  const auto left = std::chrono::ceil<milliseconds>(*due - Clock::now());
  const auto bounded = std::clamp(left, milliseconds(0), milliseconds(60'000));
  return static_cast<int>(std::min(bounded, limit).count());
}

void Agent::wait_and_handle() {
  const bool reads = job_ && !is_backed_up();
  const auto port_events = static_cast<short>(outbox_.empty() ? POLLIN : POLLIN | POLLOUT);
  std::array<pollfd, 6> entries{{
      {signals_.get(), POLLIN, 0},
      {port_.is_connected() ? port_.descriptor() : -1, port_events, 0},
      {reads ? job_->output() : -1, POLLIN, 0},
      {reads ? job_->error() : -1, POLLIN, 0},
      {job_ ? job_->input() : -1, POLLOUT, 0},
      {ssh_.listener(), POLLIN, 0},
  }};
  const int ready = ::poll(entries.data(), entries.size(), wait_milliseconds());
  // What the host sent before it left can still be read.
  if (!port_.is_connected()) handle_port();
  if (ready <= 0) return;
  if (entries[2].revents != 0) forward(1, job_->read_output());
  if (entries[3].revents != 0) forward(2, job_->read_error());
  if (entries[4].revents != 0) job_->write_input();
  if (entries[0].revents != 0) handle_signals();
  if (entries[5].revents != 0) ssh_.accept();
  if ((entries[1].revents & (POLLIN | POLLERR)) != 0) handle_port();
}

void Agent::handle_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) > 0) {
  }
  // Signals of one kind are merged, and every orphan of the guest is ours: reap all there are.
  int status = 0;
  for (pid_t pid = ::waitpid(-1, &status, WNOHANG); pid > 0;
       pid = ::waitpid(-1, &status, WNOHANG)) {
    if (!job_ || pid != job_->pid()) continue;
    job_->reaped(status);
    finish_at_ = Clock::now() + kLateOutput;
  }
}

void Agent::handle_port() {
  const auto records = port_.receive();
  if (!records) return refuse(records.error());
  for (const std::string& record : *records) {
    auto message = channel::decode_to_agent(record);
    if (!message) {
      refuse(message.error());
      continue;
    }
    std::visit([this](auto& kind) { handle(kind); }, *message);
  }
}

void Agent::handle_due() {
  const auto now = Clock::now();
  ssh_.expire(now);
  const bool drained = job_ && job_->result() && !job_->has_open_output();
  if (finish_at_ && (drained || *finish_at_ <= now)) finish_job();
  if (kill_at_ && *kill_at_ <= now) {
    // Everything but us. What does not even die of this is not waited for a second time.
    ::kill(-1, SIGKILL);
    kill_at_.reset();
    leave_at_ = now + kDeadline;
  }
  if (leave_at_ && *leave_at_ <= now && !must_stay()) leave(kGoodbye);
}

void Agent::forward(int stream, std::string bytes) {
  if (bytes.empty()) return;
  const bool changed = stream == 1 && !is_command_ && lines_.feed(bytes, state_);
  send(channel::Output{stream, std::move(bytes)});
  if (changed) send(state_);
}

void Agent::finish_job() {
  finish_at_.reset();
  state_.runner = channel::RunnerState::exited;
  state_.exit_code = job_->result();
  job_.reset();
  send(state_);
  if (shutting_down_) leave(kGoodbye);
  leave_at_ = Clock::now() + kShutdownWait;
}

void Agent::handle(channel::Configure& message) {
  if (configured_) return refuse(Error{Errc::exists, "this VM has been configured already"});
  configured_ = true;
  const auto started = start(message);
  if (!started) give_up(with_context(started.error(), "configure"));
  send(state_);
}

Result<void> Agent::start(channel::Configure& message) {
  if (!root_.mounted) return fail(Errc::unsupported, "this VM has no base drive");
  step_clock(message.wall_ms);
  TRY(set_hostname(message.hostname));
  TRY_ASSIGN(const User user, load_user(message.user));
  is_command_ = message.jit_config.empty();
  SpawnSpec spec;
  if (is_command_) {
    spec = command_spec(message, user);
  } else {
    TRY_ASSIGN(spec, runner_spec(message, user, root_));
  }
  auto job = Job::start(spec, is_command_);
  if (!job && is_command_) {
    forward(2, "mvrunner: " + job.error().what + "\n");
    state_.runner = channel::RunnerState::exited;
    state_.exit_code = exit_code_of_failed_start(job.error());
    leave_at_ = Clock::now() + kShutdownWait;
    return {};
  }
  if (!job) return fail(std::move(job).error());
  job_ = std::move(*job);
  state_.runner = is_command_ ? channel::RunnerState::running : channel::RunnerState::starting;
  return {};
}

void Agent::handle(const channel::Sync& /*message*/) {
  say_hello();
  send(state_);
}

void Agent::handle(const channel::Shutdown& message) {
  shutting_down_ = true;
  if (!job_) leave(kGoodbye);
  kill_at_ = Clock::now() + milliseconds(message.grace_ms);
  // The listener tells its workers itself, and expects them to live on for a while.
  if (message.grace_ms > 0) job_->interrupt(is_command_);
}

void Agent::handle(const channel::AuthorizeKey& message) {
  const auto address =
      words_.network ? std::optional<in_addr>(words_.network->address) : std::nullopt;
  auto answer = ssh_.authorize(message, root_.mounted ? address : std::nullopt, Clock::now());
  if (!answer) return refuse(answer.error());
  send(*answer);
}

void Agent::handle(const channel::Notice& message) {
  // Best effort: the job that is told may also have filled the disk.
  (void)append_file(std::string(kRunDirectory) + "/notices", message.text + "\n");
  send(channel::Output{2, "mvrunner: " + message.text + "\n"});
}

void Agent::handle(const channel::Input& message) {
  if (!job_ || !is_command_) return;
  const auto added = job_->add_input(message.data, message.end);
  if (added) return;
  refuse(added.error());
  job_->kill();  // rather than let it work on a part of its input
}

}  // namespace mvr::guest
