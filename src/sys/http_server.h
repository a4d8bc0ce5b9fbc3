// A small HTTP/1.1 server on the loop, for looking only: GET and HEAD. libmicrohttpd speaks the
// protocol; its epoll descriptor is one of ours. What a client may cost is bounded: connections,
// the bytes of a request, the time to send it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "sys/loop.h"

namespace mvr::sys {

struct HttpAsked {
  std::string path;  // without a query; not decoded
  std::string host;  // the Host header as it came; empty without one
};

struct HttpAnswer {
  unsigned status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
};

class HttpServer {
 public:
  // Called from the loop; must not destroy the server.
  using Handler = std::function<HttpAnswer(const HttpAsked&)>;

  // `address`: "127.0.0.1:9840" or "[::1]:9840"; port 0 takes a free one. Err exists: the port is
  // taken; unavailable: the host has no such address; invalid.
  static Result<std::unique_ptr<HttpServer>> listen(Loop& loop, const std::string& address,
                                                    Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  // Whether only this host's own programs reach it.
  [[nodiscard]] bool is_loopback() const;

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mvr::sys
