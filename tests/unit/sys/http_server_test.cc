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
  std::unique_ptr<HttpServer> server =
      HttpServer::listen(*loop, "127.0.0.1:0", [this](const HttpAsked& one) {
        asked.push_back(one);
        return answer;
      }).value();

  Result<HttpResponse> get(const std::string& path, const std::string& method = "GET") {
    HttpRequest request;
    request.method = method;
    request.url = "http://127.0.0.1:" + std::to_string(server->port()) + path;
    const auto client = HttpClient::create(*loop, "test").value();
    std::optional<Result<HttpResponse>> got;
    const auto call = client->send(
        std::move(request), [&](Result<HttpResponse> response) { got = std::move(response); });
    while (!got) REQUIRE(loop->run_once(Duration(5'000)));
    return *got;
  }

  // Raw bytes, and all that comes back until the server closes.
  std::string talk(const std::string& bytes) {
    const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
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

TEST_CASE("only loopback addresses are called so") {
  const auto loop = Loop::create().value();
  const auto refuse = [](const HttpAsked&) { return HttpAnswer{}; };
  CHECK(HttpServer::listen(*loop, "127.0.0.2:0", refuse).value()->is_loopback());
  CHECK_FALSE(HttpServer::listen(*loop, "0.0.0.0:0", refuse).value()->is_loopback());
}

}  // namespace
}  // namespace mvr::sys
