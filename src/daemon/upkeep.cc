#include "daemon/upkeep.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>

#include "base/text.h"
#include "core/backoff.h"
#include "daemon/chore_unit.h"
#include "daemon/journal.h"
#include "image/store.h"
#include "sys/files.h"

namespace mvr::daemon {
namespace {

constexpr Duration kHour{3'600'000};
constexpr Duration kDay{86'400'000};
constexpr core::BackoffPolicy kBackoff{Duration{900'000}, kDay};
constexpr Duration kLongest{6 * 3'600'000};  // of one chore
constexpr std::size_t kMostSaid = 4096;
constexpr const char* kBus = "/run/dbus/system_bus_socket";
constexpr std::size_t kMostWhy = 500;

std::string upkeep_path(const std::string& state_dir) { return state_dir + "/upkeep.json"; }
std::string environment_path(const std::string& state_dir) { return state_dir + "/chore.env"; }

Chore image_chore(const core::ImageRecipe& recipe) {
  Chore chore;
  chore.name = "image " + recipe.name;
  chore.every = recipe.rebuild.on_base ? kDay : recipe.rebuild.every;
  chore.verb = {"image", "build", "--pull", recipe.name};
  chore.builds = true;
  if (!recipe.rebuild.on_base) {
    chore.image = recipe.name;
    chore.verb.emplace_back("--no-cache");
  }
  return chore;
}

// All that this process was told, such as proxies and where systemd put its credentials, but for
// what makes it a service: nobody else may speak to systemd for it.
std::vector<std::string> environment_of_chores() {
  std::vector<std::string> kept;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view text(*each);
    const bool is_ours = text.starts_with("NOTIFY_SOCKET=") || text.starts_with("WATCHDOG_") ||
                         text.starts_with("LISTEN_") || text.starts_with("SYSTEMD_EXEC_PID=") ||
                         text.starts_with("INVOCATION_ID=") || text.starts_with("JOURNAL_STREAM=");
    if (!is_ours) kept.emplace_back(text);
  }
  return kept;
}

// Where this program lies, for others; after an upgrade the new one.
Result<std::string> own_program() {
  constexpr std::string_view kReplaced = " (deleted)";
  std::error_code error;
  std::string path = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (error) return fail_errno(error.value(), "/proc/self/exe");
  if (path.ends_with(kReplaced)) path.resize(path.size() - kReplaced.size());
  return path;
}

// The latest error, else the last line that says something: an error may be followed by the end of
// a console.
std::string gist(const std::string& said) {
  constexpr std::string_view kName = "mvrunner: ";
  std::string_view last;
  bool is_error = false;
  for (const std::string_view line : split(said, '\n')) {
    const bool names_us = line.starts_with(kName);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (is_error && !names_us) continue;
    is_error = names_us;
    last = line;
  }
  if (is_error) last.remove_prefix(kName.size());
  return printable(last, kMostWhy);
}

std::optional<WallTime> made_at(const std::string& state_dir, const Chore& chore) {
  if (chore.image.empty()) return std::nullopt;
  const auto manifest = image::ImageStore(state_dir).find(chore.image);
  if (!manifest) return std::nullopt;
  const auto made = parse_iso8601(manifest->created);
  return made ? std::optional(*made) : std::nullopt;
}

}  // namespace

std::vector<Chore> chores_of(const core::Config& config) {
  std::vector<Chore> chores;
  if (config.runner_update && !config.github.scopes.empty()) {
    chores.push_back(Chore{"runner", {"runner", "update", "--unattended"}, kDay, "", false});
  }
  if (config.action_cache.enabled) {
    chores.push_back(Chore{"actions", {"action", "update"}, kHour, "", false});
  }
  for (const core::ImageRecipe& recipe : config.images) {
    if (recipe.rebuild != core::Rebuild{}) chores.push_back(image_chore(recipe));
  }
  return chores;
}

WallTime due_at(const Chore& chore, const ChoreRecord& record, std::optional<WallTime> made,
                WallTime now) {
  std::optional<WallTime> last = record.success;
  if (made && (!last || *made > *last)) last = made;
  const bool has_failed =
      record.failures > 0 && record.failure && (!last || *record.failure > *last);
  WallTime due = last ? *last + chore.every : now;
  if (has_failed) {
    const Duration pause = core::backoff_delay(kBackoff, record.failures, chore.name);
    due = std::max(due, *record.failure + std::min(pause, chore.every));
  }
  // A clock that was set back must not put it off for good.
  return std::min(due, now + chore.every);
}

Upkeep::Upkeep(sys::Loop& loop, const std::string& config_path, const std::string& state_dir,
               std::function<void()> ended)
    : loop_(loop), state_dir_(state_dir), ended_(std::move(ended)) {
  std::error_code error;
  config_path_ = std::filesystem::absolute(config_path, error).string();
  if (error) config_path_ = config_path;
  auto records = read_records(state_dir_);
  if (records) {
    records_ = std::move(*records);
  } else {
    log(Level::warn, "upkeep_forgotten",
        with_error({{"effect", "chores are done as if for the first time"}}, records.error()));
  }
}

void Upkeep::tend(const core::Config& config) {
  if (running_) return limit();
  const WallTime now = sys::wall_now();
  for (const Chore& chore : chores_of(config)) {
    if (due_at(chore, records_[chore.name], made_at(state_dir_, chore), now) > now) continue;
    if (const auto begun = begin(chore); !begun) fail_to_begin(chore, begun.error());
    return;
  }
}

void Upkeep::fail_to_begin(const Chore& chore, const Error& error) {
  running_.reset();
  ChoreRecord& record = records_[chore.name];
  ++record.failures;
  record.failure = sys::wall_now();
  record.why = printable(error.what, kMostWhy);
  log(Level::error, "chore_not_begun", with_error({{"chore", chore.name}}, error));
  save();
}

Result<void> Upkeep::begin(const Chore& chore) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno(errno, "pipe");
  running_ = std::make_unique<Running>();
  Running& now = *running_;
  now.chore = chore;
  now.output = Fd(ends[0]);
  Fd theirs(ends[1]);
  if (::fcntl(theirs.get(), F_SETFL, 0) != 0) return fail_errno(errno, "pipe");
  sys::SpawnOptions options;
  TRY_ASSIGN(options.argv, command(chore));
  options.env = environment_of_chores();
  options.fds = {{theirs.get(), 1}, {theirs.get(), 2}};
  options.die_with_parent = true;
  options.low_priority = true;
  TRY_ASSIGN(now.process, sys::Process::spawn(options));
  now.begun = loop_.now();
  TRY_ASSIGN(now.on_output,
             loop_.watch(now.output.get(), EPOLLIN, [this](std::uint32_t) { read_output(); }));
  TRY_ASSIGN(now.on_exit,
             loop_.watch(now.process.pidfd(), EPOLLIN, [this](std::uint32_t) { check_exit(); }));
  log(Level::info, "chore_begun",
      {{"chore", chore.name}, {"pid", std::to_string(now.process.pid())}});
  return {};
}

Result<std::vector<std::string>> Upkeep::command(const Chore& chore) const {
  std::vector<std::string> words;
  std::string program = "/proc/self/exe";
  if (chore.builds && is_service()) {
    // systemd-run(1) waits for a unit by D-Bus only.
    if (::access(kBus, F_OK) != 0) {
      return fail(Error{Errc::not_found, std::string(kBus) + ": nobody runs units for the daemon",
                        "apt-get install dbus"});
    }
    ChoreUnit unit;
    unit.environment_file = environment_path(state_dir_);
    unit.longest = kLongest;
    TRY_ASSIGN(const std::string cgroups, sys::read_file("/proc/self/cgroup"));
    unit.service = service_of(cgroups);
    TRY(sys::write_file_atomic(unit.environment_file,
                               environment_file_text(environment_of_chores()), 0600));
    TRY_ASSIGN(program, own_program());
    words = chore_unit_words(unit);
  }
  words.insert(words.end(), {program, "--config", config_path_});
  words.insert(words.end(), chore.verb.begin(), chore.verb.end());
  return words;
}

void Upkeep::read_output() {
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = ::read(running_->output.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return;  // nothing more now
    if (count == 0) {
      running_->on_output = {};
      return;
    }
    std::string& said = running_->said;
    said.append(buffer.data(), static_cast<std::size_t>(count));
    if (said.size() > kMostSaid) said.erase(0, said.size() - kMostSaid);
  }
}

void Upkeep::check_exit() {
  read_output();
  const auto exit = running_->process.reap();
  if (exit && !*exit) return;
  finish(exit ? **exit : sys::Exit{1, 0});
}

void Upkeep::finish(const sys::Exit& exit) {
  const Running over = std::move(*running_);
  running_.reset();
  (void)sys::remove_file(environment_path(state_dir_));  // left, the next one replaces it
  ChoreRecord& record = records_[over.chore.name];
  const std::string text = gist(over.said);
  const std::string took =
      format_duration(std::chrono::ceil<std::chrono::seconds>(loop_.now() - over.begun));
  if (exit.ok()) {
    record = ChoreRecord{sys::wall_now(), std::nullopt, 0, ""};
    log(Level::info, "chore_done", {{"chore", over.chore.name}, {"took", took}, {"text", text}});
  } else {
    ++record.failures;
    record.failure = sys::wall_now();
    record.why = over.is_over_time ? "it took longer than " + format_duration(kLongest) : text;
    if (record.why.empty()) record.why = exit.to_text();
    const WallTime next =
        due_at(over.chore, record, made_at(state_dir_, over.chore), sys::wall_now());
    log(Level::error, "chore_failed",
        {{"chore", over.chore.name},
         {"took", took},
         {"error", record.why},
         {"failures", std::to_string(record.failures)},
         {"effect", "what was in use stays"},
         {"again", format_iso8601(next)}});
  }
  save();
  if (ended_) ended_();
}

void Upkeep::limit() {
  if (loop_.now() - running_->begun < kLongest || running_->is_over_time) return;
  running_->is_over_time = true;
  (void)running_->process.signal(SIGKILL);  // its end is seen like any other
}

void Upkeep::save() const {
  const auto saved = sys::write_file_atomic(upkeep_path(state_dir_), records_json(records_), 0644);
  if (!saved) log(Level::warn, "upkeep_not_saved", with_error({}, saved.error()));
}

std::vector<ChoreState> Upkeep::states(const core::Config& config) const {
  std::vector<ChoreState> states;
  for (const Chore& chore : chores_of(config)) {
    const auto record = records_.find(chore.name);
    states.push_back({chore.name, record == records_.end() ? ChoreRecord{} : record->second,
                      running_ && running_->chore.name == chore.name});
  }
  return states;
}

}  // namespace mvr::daemon
