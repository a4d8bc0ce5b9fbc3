#include "daemon/registry_mirror.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/text.h"
#include "core/backoff.h"
#include "core/names.h"
#include "daemon/journal.h"
#include "daemon/network.h"
#include "github/keyring.h"
#include "sys/files.h"
#include "sys/memory_file.h"

namespace mvr::daemon {
namespace {

constexpr Duration kStopLimit{2'000};
constexpr Duration kTend{5'000};
constexpr Duration kSoon{500};  // until it answers for the first time
constexpr Duration kAnswer{4'000};
constexpr Duration kLookLimit{10};
constexpr Duration kQuotaEvery{3'600'000};
constexpr std::uint32_t kMostSilent = 12;  // a minute; then it hangs
constexpr std::size_t kMaxWords = 16U << 10U;
constexpr std::size_t kMaxAnswer = 4U << 20U;
constexpr int kConfigurationFd = 3;
constexpr const char* kHub = "https://registry-1.docker.io";
constexpr std::uint64_t kLowQuota = 10;  // of a hundred

Result<MirrorLogin> load_login(const core::MirrorSettings& settings) {
  if (settings.login_file.empty() && settings.login_credential.empty()) return MirrorLogin{};
  TRY_ASSIGN(const Secret text,
             github::read_secret(settings.login_file, settings.login_credential));
  return context(parse_mirror_login(text.expose()),
                 settings.login_file.empty() ? "the systemd credential " + settings.login_credential
                                             : settings.login_file);
}

std::string url_of(const core::Config& config, unsigned port) {
  return "http://" + core::host_names(config).uplink_host.to_text() + ":" + std::to_string(port);
}

bool is_low(const HubQuota& quota) { return quota.remaining * 100 < quota.limit * kLowQuota; }

}  // namespace

RegistryMirror::RegistryMirror(sys::Loop& loop, const core::Config& config)
    : loop_(loop),
      directory_(core::mirror_names(config).directory),
      uid_(core::mirror_names(config).uid),
      url_(url_of(config, kMirrorPort)),
      debug_url_(url_of(config, kMirrorDebugPort)),
      store_(directory_, config.registry_mirror.max_size) {
  state_.max_size = config.registry_mirror.max_size;
}

Result<std::unique_ptr<RegistryMirror>> RegistryMirror::start(sys::Loop& loop,
                                                              const core::Config& config) {
  std::unique_ptr<RegistryMirror> mirror(new RegistryMirror(loop, config));
  TRY(context(mirror->prepare(config), "registry_mirror"));
  mirror->begin();
  mirror->tend();
  return mirror;
}

RegistryMirror::~RegistryMirror() {
  watch_ = {};
  if (!process_) return;
  (void)process_.signal(SIGTERM);  // it dies with us anyway
  (void)process_.wait(kStopLimit);
}

Result<void> RegistryMirror::prepare(const core::Config& config) {
  TRY_ASSIGN(MirrorLogin login, load_login(config.registry_mirror));
  configuration_ = mirror_configuration(config, login);
  TRY_ASSIGN(client_, sys::HttpClient::create(loop_, std::string("mvrunner/") + MVR_VERSION));
  if (config.registry_mirror.upstream == kHub) {
    hub_ = std::make_unique<HubQuotaWatch>(*client_, std::move(login));
  }
  TRY(sys::make_directories(directory_, 0700));
  return sys::change_owner(directory_, uid_, uid_);
}

MirrorState RegistryMirror::state() const {
  MirrorState state = state_;
  state.counts = state.counts + current_;
  return state;
}

void RegistryMirror::begin() {
  if (auto started = spawn(); !started) {
    log(Level::error, "mirror_failed",
        {{"error", started.error().what},
         {"effect", "VMs pull from the registry itself"},
         {"remedy", "apt install docker-registry"}});
    again_later();
  }
}

Result<void> RegistryMirror::spawn() {
  TRY_ASSIGN(const Fd configuration,
             sys::make_memory_file("registry.json", configuration_.expose()));
  TRY_ASSIGN(const Fd said, open_words());
  sys::SpawnOptions options;
  options.argv = {"docker-registry", "serve", "/proc/self/fd/" + std::to_string(kConfigurationFd)};
  options.uid = uid_;
  options.gid = uid_;
  options.die_with_parent = true;
  options.fds = {{said.get(), 2}, {configuration.get(), kConfigurationFd}};
  TRY_ASSIGN(process_, sys::Process::spawn(options));
  TRY_ASSIGN(watch_, loop_.watch(process_.pidfd(), EPOLLIN, [this](std::uint32_t) { on_exit(); }));
  silent_ = 0;
  return {};
}

// What it says goes into a buffer, not into the log: a VM can make it say much.
Result<Fd> RegistryMirror::open_words() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "make a pipe");
  words_watch_ = {};
  words_ = Fd(ends[0]);
  Fd said(ends[1]);
  last_words_.clear();
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): fcntl
  if (::fcntl(words_.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "set up a pipe");
  TRY_ASSIGN(words_watch_, loop_.watch(words_.get(), EPOLLIN, [this](std::uint32_t) { hear(); }));
  return said;
}

void RegistryMirror::hear() {
  std::array<char, 4096> buffer{};
  const ssize_t count = ::read(words_.get(), buffer.data(), buffer.size());
  if (count == 0) words_watch_ = {};
  if (count <= 0) return;
  last_words_.append(buffer.data(), static_cast<std::size_t>(count));
  // A panic is short and comes last; what went before may go.
  if (last_words_.size() > kMaxWords) last_words_.erase(0, last_words_.size() - kMaxWords);
}

void RegistryMirror::on_exit() {
  watch_ = {};
  const auto exit = process_.reap();
  process_ = {};
  for (int n = 0; n < 4 && words_watch_; ++n) hear();
  const bool was_up = state_.up;
  state_.up = false;
  state_.counts = state_.counts + current_;
  current_ = {};
  health_call_.reset();
  counts_call_.reset();
  ++state_.restarts;
  log(was_up ? Level::error : Level::warn, "mirror_ended",
      {{"how", exit && *exit ? (*exit)->to_text() : "unknown"},
       {"said", last_words(last_words_)},
       {"effect", "VMs pull from the registry itself until it runs again"}});
  again_later();
}

void RegistryMirror::again_later() {
  ++failures_;
  const Duration delay = core::backoff_delay(core::kApiBackoff, failures_, "docker-registry");
  retry_ = loop_.call_at(loop_.now() + delay, [this] { begin(); });
}

void RegistryMirror::tend() {
  tend_ =
      loop_.call_at(loop_.now() + (state_.up || failures_ > 0 ? kTend : kSoon), [this] { tend(); });
  if (process_) ask_health();
  look_at_store();
  if (state_.up && hub_ && loop_.now() >= quota_due_) ask_quota();
}

void RegistryMirror::look_at_store() {
  const auto round = store_.look(kLookLimit);
  if (!round) {
    return log(Level::warn, "mirror_store_not_read", with_error({}, round.error()));
  }
  if (!*round) return;
  state_.size = (*round)->size;
  if ((*round)->removed == 0) return;
  state_.removed_blobs += (*round)->removed;
  log(Level::info, "mirror_store_shrunk",
      {{"removed", std::to_string((*round)->removed)},
       {"size", format_bytes((*round)->removed_size)},
       {"left", format_bytes((*round)->size)},
       {"max_size", format_bytes(state_.max_size)}});
}

void RegistryMirror::ask_health() {
  sys::HttpRequest request;
  request.url = url_ + "/v2/";
  request.deadline = kAnswer;
  request.max_body = kMaxAnswer;
  health_call_ = client_->send(std::move(request),
                               [this](const Result<sys::HttpResponse>& got) { on_health(got); });
}

void RegistryMirror::on_health(const Result<sys::HttpResponse>& response) {
  if (!process_) return;
  if (response && response->status == 200) {
    silent_ = 0;
    failures_ = 0;
    if (!state_.up) log(Level::info, "mirror_ready", {{"url", url_}});
    state_.up = true;
    return ask_counts();
  }
  if (++silent_ < kMostSilent) return;
  log(Level::error, "mirror_hangs",
      {{"error", response ? "status " + std::to_string(response->status) : response.error().what}});
  silent_ = 0;
  (void)process_.signal(SIGKILL);
}

void RegistryMirror::ask_counts() {
  sys::HttpRequest request;
  request.url = debug_url_ + "/debug/vars";
  request.deadline = kAnswer;
  request.max_body = kMaxAnswer;
  counts_call_ = client_->send(std::move(request), [this](Result<sys::HttpResponse> got) {
    if (got && got->status == 200) ask_metrics(std::move(got->body));
  });
}

void RegistryMirror::ask_metrics(std::string vars) {
  sys::HttpRequest request;
  request.url = debug_url_ + "/metrics";
  request.deadline = kAnswer;
  request.max_body = kMaxAnswer;
  counts_call_ = client_->send(
      std::move(request), [this, vars = std::move(vars)](const Result<sys::HttpResponse>& got) {
        if (!got || got->status != 200) return;
        const auto counts = parse_mirror_counts(vars, got->body);
        if (!counts) return log(Level::warn, "mirror_not_counted", with_error({}, counts.error()));
        current_ = at_least(current_, *counts);
      });
}

void RegistryMirror::ask_quota() {
  quota_due_ = loop_.now() + kQuotaEvery;
  hub_->ask([this](const Result<std::optional<HubQuota>>& answer) {
    if (!answer) {
      state_.quota.reset();
      if (!quota_failed_) log(Level::warn, "hub_quota_unknown", with_error({}, answer.error()));
      quota_failed_ = true;
      return;
    }
    quota_failed_ = false;
    const bool was_low = state_.quota && is_low(*state_.quota);
    state_.quota = *answer;
    if (!state_.quota || !is_low(*state_.quota) || was_low) return;
    log(Level::warn, "hub_quota_low",
        {{"remaining", std::to_string(state_.quota->remaining)},
         {"limit", std::to_string(state_.quota->limit)},
         {"remedy", "give registry_mirror the login of an account with a higher limit"}});
  });
}

}  // namespace mvr::daemon
