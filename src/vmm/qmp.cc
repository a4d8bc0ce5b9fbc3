#include "vmm/qmp.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <nlohmann/json.hpp>

#include "base/overloaded.h"
#include "sys/unix_socket.h"

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

Result<QmpMessage> decode_event(const Json& object) {
  const Json& name = object["event"];
  if (!name.is_string()) return fail(Errc::protocol, "QMP: the name of an event is no string");
  QmpEvent event{name.get<std::string>(), {}};
  if (!is_word(event.name)) return fail(Errc::protocol, "QMP: the name of an event is no word");
  const auto data = object.find("data");
  if (data == object.end() || !data->is_object()) return event;
  const auto reason = data->find("reason");
  if (reason == data->end() || !reason->is_string()) return event;
  event.reason = reason->get<std::string>();
  if (!is_word(event.reason)) return fail(Errc::protocol, "QMP: the reason of an event is no word");
  return event;
}

}  // namespace

Result<QmpMessage> decode_qmp(std::string_view line) {
  if (line.size() > kMaxLine) return fail(Errc::too_large, "QMP: a line of more than 64 KiB");
  const Json object = Json::parse(line, nullptr, false);
  if (!object.is_object()) return fail(Errc::protocol, "QMP: a line that is no JSON object");
  if (object.contains("QMP")) return QmpGreeting{};
  if (object.contains("return")) return QmpReturn{};
  if (object.contains("error")) return QmpError{};
  if (object.contains("event")) return decode_event(object);
  return fail(Errc::protocol, "QMP: an object that is no greeting, answer or event");
}

namespace {

class QmpMonitor final : public Monitor {
 public:
  QmpMonitor(sys::Loop& loop, Fd socket) : loop_(loop), socket_(std::move(socket)) {}

  Result<void> start() {
    TRY(sys::set_nonblocking(socket_, true));
    TRY_ASSIGN(watch_, loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { receive(); }));
    return {};
  }

  void request_quit() override {
    wants_quit_ = true;
    if (is_ready_) say(R"({"execute":"quit"})");
  }

  std::string end_reason() override {
    receive();
    return reason_;
  }

 private:
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
    std::visit(Overloaded{
                   [this](const QmpGreeting&) { say(R"({"execute":"qmp_capabilities"})"); },
                   [this](const QmpReturn&) { on_answer(); },
                   [](const QmpError&) {},  // quit is a request; the caller's ladder goes on
                   [this](const QmpEvent& event) { on_event(event); },
               },
               *message);
  }

  // The first answer is that to qmp_capabilities.
  void on_answer() {
    if (std::exchange(is_ready_, true)) return;
    if (wants_quit_) say(R"({"execute":"quit"})");
  }

  void on_event(const QmpEvent& event) {
    if (event.name == "GUEST_PANICKED") reason_ = "guest-panic";
    // What a panic leads to is no news.
    if (event.name == "SHUTDOWN" && reason_.empty()) reason_ = event.reason;
  }

  // Best effort. The commands are shorter than any socket buffer: a peer that does not take them
  // has ended, and its last events may still be there to read.
  void say(std::string line) {
    line += "\r\n";
    (void)::send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  void stop() {
    watch_ = {};
    partial_.clear();
  }

  sys::Loop& loop_;
  Fd socket_;
  sys::Watch watch_;  // none: the connection is over
  std::string partial_;
  std::string reason_;
  bool is_ready_ = false;
  bool wants_quit_ = false;
};

}  // namespace

Result<std::unique_ptr<Monitor>> attach_qmp(sys::Loop& loop, const std::string& socket) {
  TRY_ASSIGN(Fd connected, sys::connect_unix(socket));
  auto monitor = std::make_unique<QmpMonitor>(loop, std::move(connected));
  TRY(monitor->start());
  return monitor;
}

}  // namespace mvr::vmm
