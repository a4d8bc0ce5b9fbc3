#include "sys/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "base/fd.h"
#include "helpers.h"
#include "sys/http.h"

namespace mvr::sys {
namespace {

// A server on a free port, and what it was asked.
struct Fixture {
  std::unique_ptr<Loop> loop = Loop::create().value();
  std::vector<HttpAsked> asked;
  HttpAnswer answer{200, "text/plain; charset=utf-8", "seen\n"};
  HttpServerOptions options;
  std::unique_ptr<HttpServer> server;

  explicit Fixture(HttpServerOptions the_options = {}) : options(the_options) {
    const auto handler = [this](const HttpAsked& one) {
      asked.push_back(one);
      return answer;
    };
    server = HttpServer::listen(*loop, "127.0.0.1:0", handler, options).value();
  }

  Result<HttpResponse> get(const std::string& path, const std::string& method = "GET",
                           const std::string& body = "") {
    HttpRequest request;
    request.method = method;
    request.body = body;
    request.url = "http://127.0.0.1:" + std::to_string(server->port()) + path;
    const auto client = HttpClient::create(*loop, "test").value();
    std::optional<Result<HttpResponse>> got;
    const auto call = client->send(
        std::move(request), [&](Result<HttpResponse> response) { got = std::move(response); });
    while (!got) REQUIRE(loop->run_once(Duration(5'000)));
    return *got;
  }

  [[nodiscard]] Fd connect() const {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }

  // Raw bytes, and all that comes back until the server closes.
  std::string talk(const std::string& bytes) {
    const Fd fd = connect();
    REQUIRE(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
    std::string text;
    bool open = true;
    auto watch = loop->watch(fd.get(), EPOLLIN, [&](std::uint32_t) {
      std::array<char, 4096> buffer{};
      const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
      open = count > 0;
      if (open) text.append(buffer.data(), static_cast<std::size_t>(count));
    });
    REQUIRE(watch);
    while (open) REQUIRE(loop->run_once(Duration(30'000)));
    return text;
  }
};

TEST_CASE("the handler's answer is the response, with its type") {
  Fixture f;
  f.answer = {503, "text/html", "no\n"};
  const auto response = f.get("/readyz?verbose=1").value();
  CHECK(response.status == 503);
  CHECK(response.body == "no\n");
  CHECK(response.headers.at("content-type") == "text/html");
  CHECK(response.headers.at("cache-control") == "no-store");
  REQUIRE(f.asked.size() == 1);
  CHECK(f.asked[0].path == "/readyz");
  CHECK(f.asked[0].host == "127.0.0.1:" + std::to_string(f.server->port()));
}

TEST_CASE("an answer has the headers its handler gives it, beside those all have") {
  Fixture fixture;
  fixture.answer.headers = {{"Content-Security-Policy", "default-src 'none'"}};
  const std::string text = fixture.talk("GET / HTTP/1.0\r\n\r\n");
  CHECK(text.find("\r\nContent-Security-Policy: default-src 'none'\r\n") != std::string::npos);
  CHECK(text.find("\r\nX-Content-Type-Options: nosniff\r\n") != std::string::npos);
}

TEST_CASE("a large answer arrives whole") {
  Fixture f;
  f.answer.body = std::string(3'000'000, 'x');
  CHECK(f.get("/").value().body == f.answer.body);
}

TEST_CASE("what would change something is refused before the handler sees it") {
  Fixture f;
  for (const char* method : {"POST", "PUT", "DELETE"}) {
    CHECK(f.get("/", method).value().status == 405);
  }
  CHECK(f.asked.empty());
}

TEST_CASE("a HEAD has the length and no body") {
  Fixture f;
  const std::string text = f.talk("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  CHECK(text.find("Content-Length: 5") != std::string::npos);
  CHECK(text.ends_with("\r\n\r\n"));
}

TEST_CASE("hostile bytes end their connection, and nobody else's") {
  Fixture f;
  const std::string flood(200'000, 'a');
  CHECK(f.talk("GET /" + flood + " HTTP/1.1\r\nHost: x\r\n\r\n").find("200 OK") ==
        std::string::npos);
  CHECK(f.talk(std::string("\0\xff\r\n\r\n", 6)).find("200 OK") == std::string::npos);
  CHECK(f.talk("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody").find("200 OK") ==
        std::string::npos);
  CHECK(f.asked.empty());
  CHECK(f.get("/").value().status == 200);
}

TEST_CASE("the request's path is only its path, whatever its escapes") {
  Fixture f;
  (void)f.talk("GET /a%2Fb%00c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  REQUIRE(f.asked.size() == 1);
  CHECK(f.asked[0].path.starts_with("/a/b"));
}

TEST_CASE("a port that is taken and an address this host lacks are errors that name it") {
  Fixture f;
  const std::string taken = "127.0.0.1:" + std::to_string(f.server->port());
  const auto refuse = [](const HttpAsked&) { return HttpAnswer{}; };
  const auto second = HttpServer::listen(*f.loop, taken, refuse);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::exists);
  CHECK(second.error().what.find(taken) != std::string::npos);
  CHECK_FALSE(HttpServer::listen(*f.loop, "192.0.2.1:80", refuse));
  CHECK(HttpServer::listen(*f.loop, "nobody", refuse).error().code == Errc::invalid);
}

HttpServerOptions taking(std::size_t longest_body) {
  HttpServerOptions options;
  options.longest_body = longest_body;
  return options;
}

TEST_CASE(
    "a server that takes bodies hands them over whole, with the headers, and takes POST only") {
  Fixture f(taking(100'000));
  const std::string body(100'000, 'b');
  CHECK(f.get("/hook", "POST", body).value().status == 200);
  REQUIRE(f.asked.size() == 1);
  CHECK(f.asked[0].body == body);
  CHECK(f.asked[0].path == "/hook");
  CHECK(f.asked[0].headers.at("content-length") == "100000");
  for (const char* method : {"GET", "HEAD", "PUT", "DELETE"}) {
    const auto refused = f.get("/hook", method).value();
    CHECK(refused.status == 405);
    CHECK(refused.headers.at("allow") == "POST");
  }
  CHECK(f.asked.size() == 1);
  (void)f.talk("POST / HTTP/1.1\r\nHost: x\r\nX-One: first\r\nx-one: second\r\n\r\n");
  REQUIRE(f.asked.size() == 2);
  CHECK(f.asked[1].headers.at("x-one") == "first");
  CHECK(f.asked[1].body.empty());
}

TEST_CASE("a body beyond the bound is refused, whether its length is told or not") {
  Fixture f(taking(100'000));
  CHECK(f.get("/", "POST", std::string(100'001, 'b')).value().status == 413);
  CHECK(f.get("/", "POST", std::string(3'000'000, 'b')).value().status == 413);
  const std::string part = "10000\r\n" + std::string(0x10000, 'c') + "\r\n";
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  CHECK(f.talk(head + part + part + "0\r\n\r\n").starts_with("HTTP/1.1 413"));
  CHECK(f.asked.empty());
  CHECK(f.talk(head + part + "0\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_CASE("who sends a byte now and then is cut off all the same") {
  HttpServerOptions options = taking(100'000);
  options.longest_request = Duration(100);
  Fixture f(options);
  const Fd fd = f.connect();
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n";
  REQUIRE(::send(fd.get(), head.data(), head.size(), MSG_NOSIGNAL) > 0);
  int sent = 0;
  Timer timer;
  const std::function<void()> drip = [&] {
    if (::send(fd.get(), "x", 1, MSG_NOSIGNAL) != 1) return;
    ++sent;
    timer = f.loop->call_at(f.loop->now() + Duration(10), drip);
  };
  drip();
  bool is_open = true;
  const auto watch = f.loop->watch(fd.get(), EPOLLIN, [&](std::uint32_t) {
    char byte = 0;
    is_open = ::read(fd.get(), &byte, 1) > 0;
  });
  while (is_open && sent < 3'000) REQUIRE(f.loop->run_once(Duration(5'000)));
  CHECK_FALSE(is_open);
  CHECK(f.asked.empty());
}

TEST_CASE("only loopback addresses are called so") {
  const auto loop = Loop::create().value();
  const auto refuse = [](const HttpAsked&) { return HttpAnswer{}; };
  CHECK(HttpServer::listen(*loop, "127.0.0.2:0", refuse).value()->is_loopback());
  CHECK_FALSE(HttpServer::listen(*loop, "0.0.0.0:0", refuse).value()->is_loopback());
}

}  // namespace
}  // namespace mvr::sys
