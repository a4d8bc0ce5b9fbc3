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
#include <type_traits>

#include "base/text.h"
#include "guest/boot.h"
#include "guest/command.h"
#include "guest/files.h"
#include "guest/identity.h"
#include "guest/mirror.h"
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
constexpr seconds kTick{1};          // between looks at what the work uses
constexpr seconds kUsageReport{10};  // between reports of it, when nothing special is up
constexpr std::size_t kDiagnosticsPerTick = 64 * 1024;

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

Result<BootWords> read_boot_words() {
  TRY_ASSIGN(const std::string line, read_file("/proc/cmdline"));
  return parse_command_line(line);
}

// The console is the last resort: who reads it looks for why a VM did not come.
void tell_console(const Error& error) {
  (void)std::fprintf(stderr, "mvrunner-agent: %s\n", printable(error.what).c_str());
}

}  // namespace

void run() {
  const Result<void> mounted = mount_kernel_filesystems();
  Result<Fd> signals = make_signals();
  const Result<BootWords> words = read_boot_words();
  const bool waits = words && words->waits;
  // The host waits for hello: what only the rest of the boot needs is loaded after it. But it may
  // save a VM that waits for its identity, and what was loaded by then is loaded once for all.
  Modules modules(kBootModules);
  while ((waits || !Port::is_present()) && modules.load_next()) {
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
  if (!waits) agent.say_hello();
  while (modules.load_next()) {
  }
  for (const Result<void>& step : {mounted, modules.outcome(), words.map([](const auto&) {})}) {
    if (!step) agent.give_up(step.error());
  }
  if (waits) {
    agent.await_identity(*words);
  } else if (const auto done = agent.set_up(*words); !done) {
    agent.give_up(done.error());
  }
  agent.serve();
}

Agent::Agent(Port port, Fd signals)
    : port_(std::move(port)),
      signals_(std::move(signals)),
      streams_([this](const channel::FromAgent& message) { send(message); }),
      engine_([this](const std::string& text) { notify(text); }) {}

void Agent::say_hello() {
  send(channel::Hello{MVR_VERSION, kernel_release(), boot_milliseconds()});
  flush();
}

Result<void> Agent::set_up(const BootWords& words) {
  words_ = words;
  TRY_ASSIGN(root_, enter_root(words_.drives));
  if (!root_.mounted) return {};
  TRY(set_up_system());
  TRY(set_machine_id());
  TRY(set_hostname(words_.hostname));
  TRY(set_up_network(words_));
  notify_of(wire_mirror(words_.mirror));
  notify_of(root_.action_archives);
  const std::string modules = root_.engine_modules ? path_of(root_.engine_modules) : "";
  engine_.set_up(words_.engine, modules, Clock::now());
  return {};
}

void Agent::await_identity(const BootWords& booted) {
  words_ = booted;
  state_.runner = channel::RunnerState::waiting;
  say_hello();
}

bool Agent::is_waiting() const { return state_.runner == channel::RunnerState::waiting; }

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

void Agent::notify(const std::string& text) {
  // Best effort: the job that is told may also have filled the disk.
  (void)append_file(std::string(kRunDirectory) + "/notices", text + "\n");
  send(channel::Output{2, "mvrunner: " + text + "\n"});
}

void Agent::notify_of(const Result<void>& done) {
  if (!done) notify(printable(done.error().what));
}

void Agent::flush() {
  port_.refresh(outbox_);
  const auto sent = port_.send(outbox_);
  if (!sent) tell_console(sent.error());
}

void Agent::leave(milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  engine_.stop();
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
  for (const auto& other : {kill_at_, finish_at_, tick_at_, streams_.next_due(), engine_.next_due(),
                            must_stay() ? std::nullopt : leave_at_}) {
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
  std::vector<pollfd> entries{
      {signals_.get(), POLLIN, 0},
      {port_.is_connected() ? port_.descriptor() : -1, port_events, 0},
      {reads ? job_->output() : -1, POLLIN, 0},
      {reads ? job_->error() : -1, POLLIN, 0},
      {job_ ? job_->input() : -1, POLLOUT, 0},
      {meter_.kernel_log(), POLLIN, 0},
  };
  streams_.add_to(entries);
  engine_.add_to(entries);
  const int ready = ::poll(entries.data(), entries.size(), wait_milliseconds());
  // What the host sent before it left can still be read.
  if (!port_.is_connected()) handle_port();
  if (ready <= 0) return;
  if (entries[2].revents != 0) forward(1, job_->read_output());
  if (entries[3].revents != 0) forward(2, job_->read_error());
  if (entries[4].revents != 0) job_->write_input();
  streams_.serve(entries);
  engine_.serve(entries, Clock::now());
  if (entries[0].revents != 0) handle_signals();
  if (entries[5].revents != 0 && meter_.read_kernel_log()) report_usage();
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
    streams_.reaped(pid, status, Clock::now());
    engine_.reaped(pid, status, Clock::now());
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
    std::visit([this](auto& kind) { receive(kind); }, *message);
  }
}

// Before its identity a VM does nothing but what leaves no trace in a state that is saved of it.
template <class Message>
void Agent::receive(Message& message) {
  constexpr bool is_early = std::is_same_v<Message, channel::Identity> ||
                            std::is_same_v<Message, channel::Sync> ||
                            std::is_same_v<Message, channel::Shutdown>;
  if (!is_early && is_waiting()) {
    return refuse(Error{Errc::unavailable, "this VM waits for its identity"});
  }
  handle(message);
}

void Agent::handle_due() {
  const auto now = Clock::now();
  ssh_.expire(now);
  streams_.expire(now);
  engine_.handle_due(now);
  if (tick_at_ && *tick_at_ <= now) tick(now);
  const bool drained = job_ && job_->result() && !job_->has_open_output();
  if (finish_at_ && (drained || *finish_at_ <= now)) finish_job();
  if (kill_at_ && *kill_at_ <= now) {
    // Everything but us. What does not even die of this is not waited for a second time.
    engine_.stop();
    ::kill(-1, SIGKILL);
    kill_at_.reset();
    leave_at_ = now + kDeadline;
  }
  if (leave_at_ && *leave_at_ <= now && !must_stay()) leave(kGoodbye);
}

void Agent::forward(int stream, std::string bytes) {
  if (bytes.empty()) return;
  const bool changed = stream == 1 && !is_command_ && lines_.feed(bytes, state_);
  if (!is_command_) connection_.feed(stream, bytes);
  send(channel::Output{stream, std::move(bytes)});
  if (changed) send(state_);
  if (meter_.set_network_trouble(connection_.trouble())) report_usage();
}

void Agent::report_usage() {
  if (!configured_) return;
  usage_at_ = Clock::now() + kUsageReport;
  send(meter_.usage());
}

void Agent::forward_diagnostics(std::size_t most) {
  for (std::size_t sent = 0; sent < most && outbox_.size() < kBackedUp;) {
    std::string text = diagnostics_.read_new(kDiagnosticsPerTick / 2);
    if (text.empty()) return;
    sent += text.size();
    std::vector<ActionRef> used = actions_.feed(text);
    send(channel::Output{3, std::move(text)});
    if (!used.empty()) send(channel::Actions{std::move(used)});
  }
}

void Agent::tick(Clock::time_point now) {
  tick_at_ = job_ ? std::optional(now + kTick) : std::nullopt;
  const bool is_news = meter_.sample();
  if (is_news || usage_at_ <= now) report_usage();
  forward_diagnostics(kDiagnosticsPerTick);
}

void Agent::finish_job() {
  finish_at_.reset();
  state_.runner = channel::RunnerState::exited;
  state_.exit_code = job_->result();
  job_.reset();
  tick_at_.reset();
  (void)meter_.sample();
  if (meter_.kernel_log() >= 0) (void)meter_.read_kernel_log();
  report_usage();  // before the exit: it explains it
  forward_diagnostics(Diagnostics::kMaxBytes);
  send(state_);
  if (shutting_down_) leave(kGoodbye);
  leave_at_ = Clock::now() + kShutdownWait;
}

void Agent::handle(const channel::Identity& message) {
  if (!is_waiting()) return refuse(Error{Errc::exists, "this VM has its identity already"});
  const auto words = take_identity(message, words_);
  if (!words) give_up(with_context(words.error(), "identity"));
  state_.runner = channel::RunnerState::idle;
  const auto done = set_up(*words);
  if (!done) give_up(done.error());
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
  notify_of(wire_buildx(words_.mirror, user));
  is_command_ = message.jit_config.empty();
  env_ = message.env;
  SpawnSpec spec;
  if (is_command_) {
    TRY(give_runner(user, root_));  // it may be what the command tries
    spec = command_spec(message, user);
  } else {
    TRY_ASSIGN(spec, runner_spec(message, user, root_));
    diagnostics_.follow(spec.directory + "/_diag");
  }
  meter_.begin();
  tick_at_ = Clock::now();
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

// Whoever was at the other end of the streams has lost them.
void Agent::handle(const channel::Sync& /*message*/) {
  streams_.close_all();
  say_hello();
  report_usage();
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
  if (!root_.mounted) return refuse(Error{Errc::unsupported, "ssh: this VM has no base drive"});
  auto answer = ssh_.authorize(message, Clock::now());
  if (!answer) return refuse(answer.error());
  send(*answer);
}

void Agent::handle(const channel::Open& message) {
  const auto opened = open_stream(message);
  if (opened) return;
  send(channel::StreamData{message.stream, "mvrunner: " + opened.error().what + "\n", true});
  send(channel::Close{message.stream, exit_code_of_failed_start(opened.error())});
}

Result<void> Agent::open_stream(const channel::Open& message) {
  if (!root_.mounted) return fail(Errc::unsupported, "this VM has no base drive");
  if (message.argv.empty()) {
    TRY_ASSIGN(const SpawnSpec server, ssh_.server());
    return streams_.open(message.stream, server, true);
  }
  TRY_ASSIGN(const User user, load_user(message.user));
  channel::Configure command;
  command.env = env_;
  command.argv = message.argv;
  return streams_.open(message.stream, command_spec(command, user), false);
}

void Agent::handle(const channel::Hold& message) {
  leave_at_ = Clock::now() + seconds(message.time_s) + kShutdownWait;
}

void Agent::handle(const channel::Notice& message) { notify(message.text); }

void Agent::handle(const channel::Input& message) {
  if (!job_ || !is_command_) return;
  const auto added = job_->add_input(message.data, message.end);
  if (added) return;
  refuse(added.error());
  job_->kill();  // rather than let it work on a part of its input
}

}  // namespace mvr::guest
