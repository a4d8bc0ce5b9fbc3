#include "sys/http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>

#include "base/text.h"
#include "helpers.h"
#include "sys/http_transfer.h"
#include "sys/unix_socket.h"

namespace mvr::sys {
namespace {

// An HTTP server in a few lines, on the same loop as the client. `answer` gets each request as
// text; empty means: say nothing, keep the connection.
class Server {
 public:
  using Answer = std::function<std::string(const std::string& request)>;

  Server(Loop& loop, Fd listener, Answer answer)
      : loop_(loop), listener_(std::move(listener)), answer_(std::move(answer)) {
    auto watch = loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept(); });
    REQUIRE(watch);
    watch_ = std::move(*watch);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() = default;

  [[nodiscard]] std::string url(const std::string& path = "/") const {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    REQUIRE(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    return "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + path;
  }
  std::vector<std::string> requests;

 private:
  struct Connection {
    Fd fd;
    Watch watch;
    std::string text;
  };

  void accept() {
    auto accepted = accept_unix(listener_);
    if (!accepted || !*accepted) return;
    const int number = (*accepted)->get();
    Connection& connection = connections_[number];
    connection.fd = std::move(**accepted);
    auto watch = loop_.watch(number, EPOLLIN, [this, number](std::uint32_t) { read(number); });
    REQUIRE(watch);
    connection.watch = std::move(*watch);
  }

  void read(int number) {
    Connection& connection = connections_.at(number);
    std::array<char, 65536> buffer{};
    const ssize_t count = ::read(number, buffer.data(), buffer.size());
    if (count <= 0) {
      connections_.erase(number);
      return;
    }
    connection.text.append(buffer.data(), static_cast<std::size_t>(count));
    if (!is_complete(connection.text)) return;
    requests.push_back(std::exchange(connection.text, ""));
    const std::string reply = answer_(requests.back());
    if (!reply.empty()) (void)::send(number, reply.data(), reply.size(), MSG_NOSIGNAL);
  }

  static bool is_complete(const std::string& text) {
    const std::size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string head = ascii_lower(text.substr(0, end + 2));
    const std::size_t length = head.find("\r\ncontent-length: ");
    if (length == std::string::npos) return true;
    return text.size() - end - 4 >= std::stoul(head.substr(length + 18));
  }

  Loop& loop_;
  Fd listener_;
  Answer answer_;
  Watch watch_;
  std::map<int, Connection> connections_;
};

Fd listen_tcp() {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(fd.get(), 16) == 0);
  return fd;
}

std::string reply(const std::string& body, const std::string& status = "200 OK",
                  const std::string& headers = "") {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         headers + "\r\n" + body;
}

bool has_header(const std::string& request, const std::string& line) {
  return request.find("\r\n" + line + "\r\n") != std::string::npos;
}

// A loop and a client; `fetch` runs one request to its end.
struct Fixture {
  std::unique_ptr<Loop> loop = std::move(Loop::create().value());
  std::unique_ptr<HttpClient> client = std::move(HttpClient::create(*loop, "mvr-test/1").value());

  Result<HttpResponse> fetch(HttpRequest request) {
    std::optional<Result<HttpResponse>> result;
    const auto call = client->send(
        std::move(request), [&](Result<HttpResponse> answer) { result = std::move(answer); });
    CHECK_FALSE(result.has_value());  // never from inside send()
    REQUIRE(run_until(*loop, [&] { return result.has_value(); }));
    return std::move(*result);
  }
};

HttpRequest get(const std::string& url) {
  HttpRequest request;
  request.url = url;
  return request;
}

TEST_CASE("a response has a status, lower-case headers and a body") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string&) {
    return reply("hello", "404 Not Found", "ETag: \"abc\"\r\nX-Twice: 1\r\nX-Twice:  2 \r\n");
  });
  const auto response = test.fetch(get(server.url("/path?q=1")));
  REQUIRE(response);
  CHECK(response->status == 404);
  CHECK(response->body == "hello");
  CHECK(response->headers.at("etag") == "\"abc\"");
  CHECK(response->headers.at("x-twice") == "2");
  REQUIRE(server.requests.size() == 1);
  CHECK(server.requests[0].rfind("GET /path?q=1 HTTP/1.1\r\n", 0) == 0);
  CHECK(has_header(server.requests[0], "User-Agent: mvr-test/1"));
  CHECK(ascii_lower(server.requests[0]).find("accept-encoding") == std::string::npos);
}

TEST_CASE("a request carries its method, headers, credential and body") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string&) { return reply(""); });
  HttpRequest request = get(server.url());
  request.method = "PATCH";
  request.headers = {{"Content-Type", "application/json"}, {"X-Empty", ""}};
  request.bearer = Secret("token");
  request.body = std::string("{\"a\":1}\0", 8);
  REQUIRE(test.fetch(std::move(request)));
  const std::string& sent = server.requests.at(0);
  CHECK(sent.rfind("PATCH / HTTP/1.1\r\n", 0) == 0);
  CHECK(has_header(sent, "Authorization: Bearer token"));
  CHECK(has_header(sent, "Content-Type: application/json"));
  CHECK(has_header(sent, "X-Empty:"));
  CHECK(has_header(sent, "Content-Length: 8"));
  CHECK(sent.substr(sent.size() - 8) == std::string("{\"a\":1}\0", 8));
}

TEST_CASE("methods without a body send none, POST always says its length") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string&) { return reply(""); });
  for (const char* method : {"GET", "DELETE", "POST", "PUT"}) {
    CAPTURE(method);
    HttpRequest request = get(server.url());
    request.method = method;
    REQUIRE(test.fetch(std::move(request)));
    const std::string& sent = server.requests.back();
    CHECK(sent.rfind(std::string(method) + " / ", 0) == 0);
    CHECK(has_header(sent, "Content-Length: 0") == (*method == 'P'));
    CHECK(ascii_lower(sent).find("content-type") == std::string::npos);
    CHECK(ascii_lower(sent).find("expect") == std::string::npos);
  }
}

TEST_CASE("HEAD does not wait for a body") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string&) {
    return std::string("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  });
  HttpRequest request = get(server.url());
  request.method = "HEAD";
  const auto response = test.fetch(std::move(request));
  REQUIRE(response);
  CHECK(response->headers.at("content-length") == "1000");
}

TEST_CASE("a request goes over a unix socket") {
  Fixture test;
  const TempDir dir;
  auto listener = listen_unix(dir / "s", 0600);
  REQUIRE(listener);
  Server server(*test.loop, std::move(*listener), [](const std::string&) { return reply("unix"); });
  HttpRequest request = get("http://localhost/machine-config");
  request.unix_socket = dir / "s";
  const auto response = test.fetch(std::move(request));
  REQUIRE(response);
  CHECK(response->body == "unix");
  CHECK(has_header(server.requests.at(0), "Host: localhost"));
}

TEST_CASE("many requests run at once and each gets its own answer") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string& request) {
    return reply(request.substr(4, request.find(' ', 4) - 4));
  });
  std::vector<std::unique_ptr<HttpCall>> calls;
  std::map<int, std::string> bodies;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(test.client->send(get(server.url("/" + std::to_string(i))),
                                      [&bodies, i](Result<HttpResponse> answer) {
                                        bodies[i] = answer ? answer->body : answer.error().what;
                                      }));
  }
  REQUIRE(run_until(*test.loop, [&] { return bodies.size() == 20; }));
  for (int i = 0; i < 20; ++i) CHECK(bodies[i] == "/" + std::to_string(i));
}

TEST_CASE("a server that says nothing runs into the deadline") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string&) { return std::string(); });
  HttpRequest request = get(server.url("/slow?secret=1"));
  request.deadline = Duration(100);
  const auto response = test.fetch(std::move(request));
  REQUIRE_FALSE(response);
  CHECK(response.error().code == Errc::timed_out);
  CHECK(response.error().what.rfind("GET http://127.0.0.1:", 0) == 0);
  CHECK(response.error().what.find("secret") == std::string::npos);
}

TEST_CASE("a deadline of nothing is no lack of one") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string&) { return std::string(); });
  HttpRequest request = get(server.url());
  request.deadline = Duration(0);
  CHECK(test.fetch(std::move(request)).error().code == Errc::timed_out);
}

TEST_CASE("a body over the bound is refused, one at the bound is not") {
  Fixture test;
  Server server(*test.loop, listen_tcp(),
                [](const std::string&) { return reply(std::string(1000, 'x')); });
  HttpRequest request = get(server.url());
  request.max_body = 1000;
  CHECK(test.fetch(std::move(request))->body.size() == 1000);
  request = get(server.url());
  request.max_body = 999;
  CHECK(test.fetch(std::move(request)).error().code == Errc::too_large);
}

TEST_CASE("a body goes to a file where that is wanted, and never beyond its bound") {
  const TempDir dir;
  Fixture test;
  Server server(*test.loop, listen_tcp(),
                [](const std::string&) { return reply(std::string(1000, 'x')); });
  for (const std::size_t bound : {1000U, 999U}) {
    const std::string path = dir / std::to_string(bound);
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    HttpRequest request = get(server.url());
    request.body_fd = file.get();
    request.max_body = bound;
    std::uint64_t received = 0;
    request.on_progress = [&](std::uint64_t now, std::uint64_t expected) {
      received = now;
      CHECK(expected == 1000);
    };
    const auto response = test.fetch(std::move(request));
    if (bound < 1000) {
      CHECK(response.error().code == Errc::too_large);
      CHECK(read_file(path)->size() < 1000);
    } else {
      CHECK(response->body.empty());
      CHECK(*read_file(path) == std::string(1000, 'x'));
      CHECK(received == 1000);
    }
  }
}

TEST_CASE("a file that takes no more ends the request with its reason") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string&) { return reply("hello"); });
  const Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  HttpRequest request = get(server.url());
  request.body_fd = full.get();
  CHECK(test.fetch(std::move(request)).error().code == Errc::full);
}

TEST_CASE("headers without end are refused") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string&) {
    std::string headers;
    for (int i = 0; i < 100; ++i) {
      headers += "X-" + std::to_string(i) + ": " + std::string(1000, 'h') + "\r\n";
    }
    return reply("", "200 OK", headers);
  });
  CHECK(test.fetch(get(server.url())).error().code == Errc::too_large);
}

TEST_CASE("nobody listening is unavailable") {
  Fixture test;
  std::string url;
  {
    const Server server(*test.loop, listen_tcp(), nullptr);
    url = server.url();
  }
  CHECK(test.fetch(get(url)).error().code == Errc::unavailable);
  HttpRequest request = get("http://localhost/");
  request.unix_socket = "/nowhere/socket";
  CHECK(test.fetch(std::move(request)).error().code == Errc::unavailable);
}

TEST_CASE("an answer that is not HTTP is unavailable, not a response") {
  Fixture test;
  Server server(*test.loop, listen_tcp(),
                [](const std::string&) { return std::string("SSH-2.0-OpenSSH\r\n\r\n"); });
  const auto response = test.fetch(get(server.url()));
  REQUIRE_FALSE(response);
  CHECK(response.error().code == Errc::unavailable);
}

TEST_CASE("other protocols and nonsense are refused, later and not in send") {
  Fixture test;
  for (const char* url :
       {"file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "", "http://"}) {
    CAPTURE(url);
    CHECK(test.fetch(get(url)).error().code == Errc::invalid);
  }
  HttpRequest request = get("http://127.0.0.1/");
  request.headers = {{"X-Bad", "a\r\nX-Injected: b"}};
  CHECK(test.fetch(std::move(request)).error().code == Errc::invalid);
  request = get("http://127.0.0.1/");
  request.method = "GET / HTTP/1.1\r\nX";
  CHECK(test.fetch(std::move(request)).error().code == Errc::invalid);
  request = get("http://127.0.0.1/");
  request.bearer = Secret("a\nb");
  const auto response = test.fetch(std::move(request));
  CHECK(response.error().code == Errc::invalid);
  CHECK(response.error().what.find("a\nb") == std::string::npos);
}

TEST_CASE("a redirect is an answer unless it may be followed") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string& request) {
    if (request.rfind("GET /end ", 0) == 0) return reply("arrived");
    return reply("moved", "302 Found", "Location: /end\r\nX-First: 1\r\n");
  });
  const auto kept = test.fetch(get(server.url()));
  REQUIRE(kept);
  CHECK(kept->status == 302);
  CHECK(kept->headers.at("location") == "/end");
  HttpRequest request = get(server.url());
  request.max_redirects = 1;
  const auto followed = test.fetch(std::move(request));
  REQUIRE(followed);
  CHECK(followed->body == "arrived");
  CHECK(followed->headers.count("x-first") == 0);
}

TEST_CASE("the credential follows a redirect on its host, never to another") {
  Fixture test;
  Server other(*test.loop, listen_tcp(), [](const std::string&) { return reply("other"); });
  Server first(*test.loop, listen_tcp(), [&](const std::string& request) {
    if (request.rfind("GET /same ", 0) == 0) return reply("", "302 Found", "Location: /step\r\n");
    return reply("", "302 Found", "Location: " + other.url("/end") + "\r\n");
  });
  HttpRequest request = get(first.url("/same"));
  request.bearer = Secret("token");
  request.max_redirects = 5;
  const auto response = test.fetch(std::move(request));
  REQUIRE(response);
  CHECK(response->body == "other");
  REQUIRE(first.requests.size() == 2);
  CHECK(has_header(first.requests[1], "Authorization: Bearer token"));
  REQUIRE(other.requests.size() == 1);
  CHECK(other.requests[0].find("token") == std::string::npos);
  CHECK(ascii_lower(other.requests[0]).find("authorization") == std::string::npos);
}

TEST_CASE("a redirect does not leave HTTP and does not go on for ever") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string& request) {
    const bool is_loop = request.rfind("GET /loop ", 0) == 0;
    return reply("", "302 Found",
                 is_loop ? "Location: /loop\r\n" : "Location: file:///etc/passwd\r\n");
  });
  HttpRequest request = get(server.url("/file"));
  request.max_redirects = 3;
  CHECK_FALSE(test.fetch(std::move(request)));
  request = get(server.url("/loop"));
  request.max_redirects = 3;
  CHECK_FALSE(test.fetch(std::move(request)));
  CHECK(server.requests.size() == 5);
}

TEST_CASE("a call that is destroyed never calls back") {
  Fixture test;
  int calls = 0;
  Server server(*test.loop, listen_tcp(), [](const std::string&) { return reply("late"); });
  auto call = test.client->send(get(server.url()), [&](const Result<HttpResponse>&) { ++calls; });
  auto refused = test.client->send(get(""), [&](const Result<HttpResponse>&) { ++calls; });
  call.reset();
  refused.reset();
  // A second request comes after whatever the first could still have caused.
  REQUIRE(test.fetch(get(server.url())));
  CHECK(calls == 0);
}

TEST_CASE("a callback may destroy its own call, others, and send anew") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string& request) {
    return request.rfind("GET /hang ", 0) == 0 ? std::string() : reply("ok");
  });
  int hung = 0;
  int second = 0;
  std::unique_ptr<HttpCall> other =
      test.client->send(get(server.url("/hang")), [&](const Result<HttpResponse>&) { ++hung; });
  std::unique_ptr<HttpCall> next;
  std::unique_ptr<HttpCall> own =
      test.client->send(get(server.url("/first")), [&](const Result<HttpResponse>&) {
        own.reset();
        other.reset();
        next = test.client->send(get(server.url("/second")),
                                 [&](const Result<HttpResponse>&) { ++second; });
      });
  REQUIRE(run_until(*test.loop, [&] { return second == 1; }));
  CHECK(hung == 0);
}

TEST_CASE("a callback may destroy the client, with requests under way") {
  Fixture test;
  Server server(*test.loop, listen_tcp(), [](const std::string& request) {
    return request.rfind("GET /hang ", 0) == 0 ? std::string() : reply("ok");
  });
  bool is_done = false;
  const auto hanging = test.client->send(get(server.url("/hang")), [](const auto&) { FAIL(); });
  const auto call = test.client->send(get(server.url()), [&](const Result<HttpResponse>&) {
    test.client.reset();
    is_done = true;
  });
  REQUIRE(run_until(*test.loop, [&] { return is_done; }));
}

TEST_CASE("a refused request's callback may destroy the client too") {
  Fixture test;
  bool is_done = false;
  const auto call = test.client->send(get(""), [&](const Result<HttpResponse>&) {
    test.client.reset();
    is_done = true;
  });
  REQUIRE(run_until(*test.loop, [&] { return is_done; }));
}

TEST_CASE("a URL is shown without what may be secret in it") {
  CHECK(url_to_show("https://host/a?sig=1#x") == "https://host/a");
  CHECK(url_to_show("https://user:pass@host/a@b") == "https://host/a@b");
  CHECK(url_to_show("https://user:p@ss@host") == "https://host");
  CHECK(url_to_show("nonsense\n") == "nonsense\\x0A");
}

}  // namespace
}  // namespace mvr::sys
