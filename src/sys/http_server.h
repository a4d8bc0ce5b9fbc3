// A small HTTP/1.1 server on the loop, either for looking only (GET and HEAD) or for taking what is
// sent (POST). libmicrohttpd speaks the protocol; its epoll descriptor is one of ours. What a
// client may cost is bounded: connections, the bytes of a request, and the time all of it takes. A
// connection serves one request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "sys/loop.h"

namespace mvr::sys {

struct HttpAsked {
  std::string path;                                 // without a query; not decoded
  std::string host;                                 // the Host header as it came; empty without one
  std::map<std::string, std::string> headers = {};  // names in lower case; the first value wins
  std::string body = {};                            // of a POST
};

struct HttpAnswer {
  unsigned status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::map<std::string, std::string> headers = {};  // beside those every answer has
};

struct HttpServerOptions {
  // 0: GET and HEAD are served, all else is answered with 405. More: POST is, with a body of at
  // most so many bytes; one that is longer is answered with 413.
  std::size_t longest_body = 0;
  Duration longest_request{30'000};  // from the connection until the answer is sent; then it ends
};

class HttpServer {
 public:
  // Called from the loop; must not destroy the server.
  using Handler = std::function<HttpAnswer(const HttpAsked&)>;

  // `address`: "127.0.0.1:9840" or "[::1]:9840"; port 0 takes a free one. Err exists: the port is
  // taken; unavailable: the host has no such address; invalid.
  static Result<std::unique_ptr<HttpServer>> listen(Loop& loop, const std::string& address,
                                                    Handler handler,
                                                    HttpServerOptions options = {});
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
