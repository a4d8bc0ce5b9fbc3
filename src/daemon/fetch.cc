#include "daemon/fetch.h"

#include <optional>

#include "sys/loop.h"

namespace mvr::daemon {

Result<sys::HttpResponse> fetch(sys::HttpRequest request) {
  TRY_ASSIGN(const auto loop, sys::Loop::create());
  TRY_ASSIGN(const auto http, sys::HttpClient::create(*loop, "mvrunner/" MVR_VERSION));
  std::optional<Result<sys::HttpResponse>> answer;
  const auto call = http->send(std::move(request), [&answer](Result<sys::HttpResponse> response) {
    answer.emplace(std::move(response));
  });
  while (!answer) TRY(loop->run_once());
  return std::move(*answer);
}

}  // namespace mvr::daemon
