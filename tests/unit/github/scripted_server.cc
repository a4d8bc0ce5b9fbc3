#include "scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "catch.h"

namespace mvr::test {
namespace {

constexpr std::string_view kPrefix = "/api/v3";

// What every list request carries says nothing in a log.
std::string shortened(std::string target) {
  for (const std::string_view usual :
       {"&per_page=100", "&exclude_pull_requests=true", "?filter=latest", "?per_page=100",
        "?type=all&sort=pushed"}) {
    const auto at = target.find(usual);
    if (at != std::string::npos) target.erase(at, usual.size());
  }
  return target;
}

std::map<std::string, std::string> parse_headers(std::string_view head) {
  std::map<std::string, std::string> headers;
  for (std::string_view line : split(head, '\n')) {
    const auto colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    std::string_view value = line.substr(colon + 2);
    if (!value.empty() && value.back() == '\r') value.remove_suffix(1);
    headers[ascii_lower(line.substr(0, colon))] = std::string(value);
  }
  return headers;
}

}  // namespace

struct ScriptedServer::Connection {
  std::uint64_t id = 0;
  Fd fd;
  std::string in;
  bool is_waiting = false;  // for its answer
  sys::Watch watch;
};

ScriptedServer::ScriptedServer(sys::Loop& loop) : loop_(loop) {
  listener_ = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(bind(listener_.get(), raw, size) == 0);
  REQUIRE(listen(listener_.get(), 16) == 0);
  REQUIRE(getsockname(listener_.get(), raw, &size) == 0);
  port_ = ntohs(address.sin_port);
  auto watch = loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_all(); });
  REQUIRE(watch);
  watch_ = std::move(*watch);
}

ScriptedServer::~ScriptedServer() = default;

std::string ScriptedServer::url() const { return "http://127.0.0.1:" + std::to_string(port_); }

void ScriptedServer::add(const std::string& target, Answer answer) {
  answers_[target].push_back(std::move(answer));
}

void ScriptedServer::always(const std::string& target, Answer answer) {
  standing_[target] = std::move(answer);
}

std::vector<std::string> ScriptedServer::log() const {
  std::vector<std::string> lines;
  for (const SeenRequest& request : seen_) {
    lines.push_back(request.method + " " + shortened(request.target));
  }
  return lines;
}

void ScriptedServer::accept_all() {
  for (;;) {
    Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    auto connection = std::make_unique<Connection>();
    Connection* raw = connection.get();
    raw->id = next_id_++;
    raw->fd = std::move(fd);
    auto watch = loop_.watch(raw->fd.get(), EPOLLIN, [this, raw](std::uint32_t) { serve(*raw); });
    REQUIRE(watch);
    raw->watch = std::move(*watch);
    connections_[raw->id] = std::move(connection);
  }
}

void ScriptedServer::serve(Connection& connection) {
  std::array<char, 16384> buffer{};
  const ssize_t got = read(connection.fd.get(), buffer.data(), buffer.size());
  if (got <= 0) {
    if (connection.is_waiting) --under_way_;
    connections_.erase(connection.id);
    return;
  }
  connection.in.append(buffer.data(), static_cast<std::size_t>(got));
  while (take_request(connection)) {
    under_way_ += 1;
    most_at_once_ = std::max(most_at_once_, under_way_);
    connection.is_waiting = true;
    const Answer answer = next_answer(seen_.back());
    if (answer.is_silent) return;
    const std::uint64_t id = connection.id;
    if (answer.delay > Duration{0}) {
      delays_.push_back(
          loop_.call_at(loop_.now() + answer.delay, [this, id, answer] { respond(id, answer); }));
      return;
    }
    respond(id, answer);
    if (answer.hangs_up) return;
  }
}

bool ScriptedServer::take_request(Connection& connection) {
  const auto end = connection.in.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const std::string head = connection.in.substr(0, end + 2);
  SeenRequest request;
  request.headers = parse_headers(head);
  std::size_t length = 0;
  if (request.headers.count("content-length") > 0) {
    length = *parse_u64(request.headers["content-length"]);
  }
  if (connection.in.size() < end + 4 + length) return false;
  request.body = connection.in.substr(end + 4, length);
  connection.in.erase(0, end + 4 + length);
  const auto words = split(std::string_view(head).substr(0, head.find('\r')), ' ');
  REQUIRE(words.size() == 3);
  request.method = words[0];
  std::string_view target = words[1];
  if (target.substr(0, kPrefix.size()) == kPrefix) target.remove_prefix(kPrefix.size());
  request.target = target;
  seen_.push_back(std::move(request));
  return true;
}

Answer ScriptedServer::next_answer(const SeenRequest& request) {
  const std::string key = request.method + " " + shortened(request.target);
  auto& queue = answers_[key];
  if (!queue.empty()) {
    Answer answer = std::move(queue.front());
    queue.pop_front();
    return answer;
  }
  const auto standing = standing_.find(key);
  if (standing != standing_.end()) return standing->second;
  return refusal(500, "the test has no answer to " + key);
}

void ScriptedServer::respond(std::uint64_t id, const Answer& answer) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  --under_way_;
  found->second->is_waiting = false;
  if (answer.hangs_up) {
    connections_.erase(found);
    return;
  }
  std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " X\r\n";
  for (const auto& [name, value] : answer.headers) text.append(name + ": " + value + "\r\n");
  const bool has_body = answer.status != 204 && answer.status != 304;
  if (has_body) text.append("Content-Length: " + std::to_string(answer.body.size()) + "\r\n");
  text.append("\r\n");
  if (has_body) text.append(answer.body);
  std::size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n =
        send(found->second->fd.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    REQUIRE(n > 0);
    sent += static_cast<std::size_t>(n);
  }
}

github::Keyring keyring_of(const core::GithubSettings& settings, const std::string& token) {
  github::Keyring keyring;
  keyring[settings.credentials] = github::Proof{Secret(token), {}};
  return keyring;
}

github::Tuning quick() {
  github::Tuning tuning;
  tuning.deadline = Duration{2'000};
  tuning.retry_backoff = {Duration{2}, Duration{8}};
  tuning.point_gap = Duration{0};
  tuning.change_gap = Duration{0};
  return tuning;
}

Bench::Bench() : Bench(quick()) {}

Bench::Bench(github::Tuning tuning) {
  auto made = sys::Loop::create();
  REQUIRE(made);
  loop = std::move(*made);
  server = std::make_unique<ScriptedServer>(*loop);
  settings.url = server->url();
  settings.credentials.token_file = "/etc/mvrunner/token";
  auto opened = github::Client::create(*loop, settings, keyring_of(settings, "ghp_test"), tuning);
  REQUIRE(opened);
  client = std::move(*opened);
}

void Bench::run_until(const std::function<bool()>& done) const {
  const Instant end = loop->now() + Duration{5'000};
  while (!done()) {
    REQUIRE(loop->now() < end);
    REQUIRE(loop->run_once(Duration{100}));
  }
}

core::Scope repository_scope() {
  core::Scope scope;
  scope.owner = "acme";
  scope.repository = "app";
  return scope;
}

core::Scope organization_scope() {
  core::Scope scope;
  scope.kind = core::ScopeKind::organization;
  scope.owner = "acme";
  return scope;
}

Answer answer(std::string body, std::string etag) {
  Answer made;
  made.body = std::move(body);
  if (!etag.empty()) made.headers["ETag"] = std::move(etag);
  return made;
}

Answer refusal(int status, const std::string& message) {
  Answer made;
  made.status = status;
  made.body = R"({"message": ")" + message + "\"}";
  return made;
}

}  // namespace mvr::test
