// HTTP client: libcurl's multi interface driven by the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/secret.h"
#include "base/units.h"
#include "sys/loop.h"

namespace mvr::sys {

struct HttpRequest {
  std::string method = "GET";
  std::string url;                             // http or https
  std::map<std::string, std::string> headers;  // Err invalid: a name or value with CR, LF or NUL
  Secret bearer;                               // sent as "Authorization: Bearer ..."; never logged
  std::string scheme = "Bearer";               // instead of that word
  std::string body;
  std::string unix_socket;    // connect here instead of to the URL's host
  Duration deadline{30'000};  // for everything
  Duration connect_deadline{10'000};
  std::size_t max_body = 16U << 20U;
  // Followed over https only when `url` is; credentials are never sent to another host.
  int max_redirects = 0;
  // Set: the body goes there instead of into the answer; stays open here. What it was given of an
  // answer that failed or has an error status is of no use.
  int body_fd = -1;
  // Bytes of the body so far, and of all of it; 0: the server has not told.
  std::function<void(std::uint64_t received, std::uint64_t expected)> on_progress;
};

// The header's value; empty when there is none. Names are in lower case.
inline std::string header_of(const std::map<std::string, std::string>& headers,
                             const std::string& name) {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case; the last value wins
  std::string body;
};

// A request under way; destroying it cancels, and the callback is not called. May outlive its end
// and the client (which cancels what is under way when it goes, also from inside a callback).
class HttpCall;

class HttpClient {
 public:
  using Callback = std::function<void(Result<HttpResponse>)>;
  static Result<std::unique_ptr<HttpClient>> create(Loop& loop, std::string user_agent);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Calls back exactly once, never from inside send(). Any HTTP status is a response; Err:
  // timed_out, unavailable (connection, DNS, TLS: the text says which), too_large (the body, or
  // more than 64 KiB of headers), invalid. Texts name the URL without its query.
  std::unique_ptr<HttpCall> send(HttpRequest request, Callback callback);

  struct State;

 private:
  HttpClient();
  friend class HttpCall;
  std::unique_ptr<State> state_;
};

class HttpCall {
 public:
  ~HttpCall();
  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;

 private:
  friend class HttpClient;
  friend struct HttpClient::State;
  HttpCall() = default;
  HttpClient::State* owner_ = nullptr;  // null once it has ended
  std::uint64_t id_ = 0;
};

}  // namespace mvr::sys
