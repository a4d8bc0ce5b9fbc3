// One answer of GitHub, waited for: for what is no part of the daemon's loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/result.h"
#include "github/client.h"
#include "sys/loop.h"

namespace mvr::daemon {

// Err timed_out.
template <class T>
Result<T> await(sys::Loop& loop, const std::function<void(github::Client::Done<T>)>& ask) {
  constexpr Duration kLimit{60'000};  // of all that one question takes
  auto answer = std::make_shared<std::optional<Result<T>>>();
  ask([answer](Result<T> result) { answer->emplace(std::move(result)); });
  const Instant end = loop.now() + kLimit;
  while (!*answer) {
    if (loop.now() >= end) return fail(Errc::timed_out, "GitHub has not answered in a minute");
    TRY(loop.run_once(Duration(1'000)));
  }
  return std::move(**answer);
}

}  // namespace mvr::daemon
