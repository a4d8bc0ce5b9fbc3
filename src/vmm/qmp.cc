#include "vmm/qmp.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "sys/files.h"
#include "sys/unix_socket.h"
#include "vmm/qemu.h"

namespace mvr::vmm {
namespace {

using Json = nlohmann::json;

// The greeting and the events we get are some hundred bytes.
constexpr std::size_t kMaxLine = 64U << 10U;

// Names of events and reasons are words of letters and dashes; a VMM that sends anything else is
// broken or taken over, and its text must not reach a log.
bool is_word(const std::string& text) {
  constexpr std::size_t longest = 64;
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  };
  return !text.empty() && text.size() <= longest &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

// Empty where there is none.
Result<std::string> word_of(const Json& data, const char* name) {
  const auto found = data.find(name);
  if (found == data.end() || !found->is_string()) return std::string();
  std::string word = found->get<std::string>();
  if (is_word(word)) return word;
  return fail(Errc::protocol, std::string("QMP: the ") + name + " of an event is no word");
}

Result<QmpMessage> decode_event(const Json& object) {
  const Json& name = object["event"];
  if (!name.is_string()) return fail(Errc::protocol, "QMP: the name of an event is no string");
  QmpEvent event{name.get<std::string>(), {}, {}};
  if (!is_word(event.name)) return fail(Errc::protocol, "QMP: the name of an event is no word");
  const auto data = object.find("data");
  if (data == object.end() || !data->is_object()) return event;
  TRY_ASSIGN(event.reason, word_of(*data, "reason"));
  TRY_ASSIGN(event.status, word_of(*data, "status"));
  return event;
}

QmpError decode_error(const Json& error) {
  constexpr std::size_t longest = 300;
  const auto text = error.is_object() ? error.find("desc") : error.end();
  if (!error.is_object() || text == error.end() || !text->is_string()) return {"no reason given"};
  return {printable(text->get<std::string>(), longest)};
}

}  // namespace

Result<QmpMessage> decode_qmp(std::string_view line) {
  if (line.size() > kMaxLine) return fail(Errc::too_large, "QMP: a line of more than 64 KiB");
  const Json object = Json::parse(line, nullptr, false);
  if (!object.is_object()) return fail(Errc::protocol, "QMP: a line that is no JSON object");
  if (object.contains("QMP")) return QmpGreeting{};
  if (object.contains("return")) return QmpReturn{};
  if (object.contains("error")) return decode_error(object["error"]);
  if (object.contains("event")) return decode_event(object);
  return fail(Errc::protocol, "QMP: an object that is no greeting, answer or event");
}

namespace {

constexpr Duration kLookAgain{10};
constexpr int kMostLooks = 500;
constexpr Duration kCancelled{5'000};

constexpr const char* kCapabilities =
    R"({"execute":"migrate-set-capabilities","arguments":{"capabilities":[)"
    R"({"capability":"events","state":true},{"capability":"x-ignore-shared","state":true}]}})";

// A migration as fast as the disk takes it, from which the last rest is not held back.
constexpr std::array<const char*, 4> kSaveSteps{
    kCapabilities,
    R"({"execute":"migrate-set-parameters","arguments":)"
    R"({"max-bandwidth":1099511627776,"downtime-limit":10000}})",
    R"({"execute":"getfd","arguments":{"fdname":"state"}})",
    R"({"execute":"migrate","arguments":{"uri":"fd:state"}})"};
constexpr std::size_t kHandOver = 2;

// One that is under way.
struct Save {
  std::string directory;
  int memory = -1;  // the caller's
  Fd file;
  Monitor::Done done;
  Result<void> outcome;
  sys::Timer limit;
  bool is_ending = false;  // written or failed: the machine is being told to run on
};

class QmpMonitor final : public Monitor {
 public:
  QmpMonitor(sys::Loop& loop, Fd socket) : loop_(loop), socket_(std::move(socket)) {}

  Result<void> start() {
    TRY(sys::set_nonblocking(socket_, true));
    TRY_ASSIGN(watch_, loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { receive(); }));
    return {};
  }

  void request_quit() override {
    when_ready([this] { say(R"({"execute":"quit"})", {}); });
  }

  std::string end_reason() override {
    receive();
    return reason_;
  }

  void save(const MachineSpec& spec, const std::string& directory, Done done) override {
    save_ = std::make_unique<Save>();
    save_->directory = directory;
    save_->memory = spec.memory_fd;
    save_->done = std::move(done);
    auto file = create_file(directory + std::string(kQemuState));
    if (!file || !is_ready_ || !watch_) {
      save_->outcome = file ? fail(Errc::unavailable, "QEMU does not answer")
                            : Result<void>(fail(std::move(file).error()));
      return finish_save_soon();
    }
    save_->file = std::move(*file);
    save_->limit = loop_.call_at(loop_.now() + kSaveLimit, [this] { cancel_save(); });
    take_step(0);
  }

  void restore(const MachineSpec&) override {
    when_ready([this] {
      begin_restore([this](const QmpMessage& answer) {
        if (std::holds_alternative<QmpError>(answer)) request_quit();
      });
    });
  }

  // What does not apply is refused, and changes nothing: to begin where it has, or need not, and to
  // cancel what is not under way.
  void wake(std::function<void()>) override {
    when_ready([this] {
      begin_restore({});
      say(R"({"execute":"migrate_cancel"})", {});
      run_on(kMostLooks);
    });
  }

 private:
  using OnAnswer = std::function<void(const QmpMessage&)>;

  static Result<Fd> create_file(const std::string& path) {
    Fd file(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return fail_errno(errno, "create " + path);
    return file;
  }

  void begin_restore(const OnAnswer& on_answer) {
    say(kCapabilities, on_answer);
    say(R"({"execute":"migrate-incoming","arguments":{"uri":"fd:)" +
            std::to_string(QemuFds{}.state) + R"("}})",
        on_answer);
  }

  void take_step(std::size_t step) {
    const int handed = step == kHandOver ? save_->file.get() : -1;
    say(
        kSaveSteps.at(step),
        [this, step](const QmpMessage& answer) {
          if (!save_ || save_->is_ending) return;
          if (const auto* error = std::get_if<QmpError>(&answer)) {
            return end_save(fail(Errc::invalid, "QEMU refused: " + error->text));
          }
          if (step + 1 < kSaveSteps.size()) take_step(step + 1);
        },
        handed);
  }

  void on_migration(const std::string& status) {
    if (!save_ || save_->is_ending) return;
    if (status == "completed") return end_save(copy_memory());
    if (status != "failed" && status != "cancelled") return;
    end_save(fail(Errc::io, "QEMU could not write it: is the disk full?"));
  }

  // The guest stands still by now, and until end_save().
  [[nodiscard]] Result<void> copy_memory() const {
    TRY_ASSIGN(const Fd copy, create_file(save_->directory + std::string(kSavedMemory)));
    return context(sys::copy_sparse(save_->memory, copy.get()), "copy the guest's memory");
  }

  void cancel_save() {
    if (!save_ || save_->is_ending) return;
    say(R"({"execute":"migrate_cancel"})", {});
    save_->limit = loop_.call_at(loop_.now() + kCancelled, [this] {
      if (save_) end_save(fail(Errc::timed_out, "QEMU takes too long"));
    });
  }

  void end_save(Result<void> outcome) {
    save_->outcome = std::move(outcome);
    save_->is_ending = true;
    save_->limit = {};
    run_on(kMostLooks);
  }

  // QEMU refuses for some milliseconds after it has told the end of a migration.
  void run_on(int looks) {
    say(R"({"execute":"cont"})", [this, looks](const QmpMessage& answer) {
      const auto* error = std::get_if<QmpError>(&answer);
      if (error != nullptr && looks > 1) {
        retry_ = loop_.call_at(loop_.now() + kLookAgain, [this, looks] { run_on(looks - 1); });
        return;
      }
      if (error != nullptr && save_) {
        save_->outcome = fail(Errc::io, "the machine does not run on: " + error->text);
      }
      finish_save_soon();
    });
  }

  // Not from here: what is called may do away with us.
  void finish_save_soon() {
    retry_ = loop_.call_at(loop_.now(), [this] { finish_save(); });
  }

  void finish_save() {
    if (!save_) return;
    const std::unique_ptr<Save> save = std::move(save_);
    save->file = {};
    save->done(std::move(save->outcome));
  }

  void when_ready(std::function<void()> action) {
    if (is_ready_) return action();
    waiting_.push_back(std::move(action));
  }

  void receive() {
    std::array<char, 4096> buffer{};
    while (watch_) {
      const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return stop();
      partial_.append(buffer.data(), static_cast<std::size_t>(got));
      take_lines();
    }
  }

  void take_lines() {
    std::size_t start = 0;
    for (std::size_t end = partial_.find('\n'); watch_ && end != std::string::npos;
         end = partial_.find('\n', start)) {
      std::string_view line(partial_.data() + start, end - start);
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      take(line);
      start = end + 1;
    }
    partial_.erase(0, start);
    if (partial_.size() > kMaxLine) stop();
  }

  void take(std::string_view line) {
    const auto message = decode_qmp(line);
    if (!message) return stop();
    if (const auto* event = std::get_if<QmpEvent>(&*message)) return on_event(*event);
    if (!std::holds_alternative<QmpGreeting>(*message)) return on_answer(*message);
    say(R"({"execute":"qmp_capabilities"})", [this](const QmpMessage&) {
      is_ready_ = true;
      for (const auto& action : std::exchange(waiting_, {})) action();
    });
  }

  // QEMU answers in the order in which it was asked.
  void on_answer(const QmpMessage& answer) {
    if (unanswered_.empty()) return stop();
    const OnAnswer handler = std::move(unanswered_.front());
    unanswered_.pop_front();
    if (handler) handler(answer);
  }

  void on_event(const QmpEvent& event) {
    if (event.name == "GUEST_PANICKED") reason_ = "guest-panic";
    // What a panic leads to is no news.
    if (event.name == "SHUTDOWN" && reason_.empty()) reason_ = event.reason;
    if (event.name == "MIGRATION") on_migration(event.status);
  }

  // Best effort. The commands are shorter than any socket buffer: a peer that does not take them
  // has ended, and its last events may still be there to read.
  void say(std::string line, OnAnswer on_answer, int fd = -1) {
    line += "\r\n";
    unanswered_.push_back(std::move(on_answer));
    (void)sys::send_with_fd(socket_.get(), line, fd);
  }

  void stop() {
    watch_ = {};
    partial_.clear();
    if (!save_) return;
    save_->outcome = fail(Errc::unavailable, "QEMU has ended, or says what it should not");
    finish_save_soon();
  }

  sys::Loop& loop_;
  Fd socket_;
  sys::Watch watch_;  // none: the connection is over
  std::string partial_;
  std::string reason_;
  bool is_ready_ = false;
  std::vector<std::function<void()>> waiting_;  // for that
  std::deque<OnAnswer> unanswered_;
  std::unique_ptr<Save> save_;
  sys::Timer retry_;
};

}  // namespace

Result<std::unique_ptr<Monitor>> attach_qmp(sys::Loop& loop, const std::string& socket) {
  TRY_ASSIGN(Fd connected, sys::connect_unix(socket));
  auto monitor = std::make_unique<QmpMonitor>(loop, std::move(connected));
  TRY(monitor->start());
  return monitor;
}

}  // namespace mvr::vmm
