// Result<T>, Error and the two propagation macros. Every fallible function of ours returns
// Result<T>; no exception crosses a function of ours (adapters catch those of libraries).
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace mvr {

// What a caller can branch on. The texts of an Error are for people.
enum class Errc {
  invalid,       // the input is wrong: bad syntax, out of range, failed validation
  not_found,     // the thing named does not exist
  exists,        // the name is taken
  busy,          // in use now; the same call may succeed later
  denied,        // permission refused (EPERM, EACCES, HTTP 403)
  unauthorized,  // the credential is missing or was refused (HTTP 401)
  rate_limited,  // told to slow down (HTTP 403/429 with rate-limit markers)
  timed_out,     // a deadline passed
  unavailable,   // the other side cannot be reached or failed (network, HTTP 5xx)
  protocol,      // the other side answered something that is not in its contract
  too_large,     // a bound of ours was exceeded
  full,          // no space left
  cancelled,     // given up on request
  unsupported,   // this host or version cannot do it
  io,            // any other failed system call
};

// The stable lower-case name of a code, as logs and JSON show it.
std::string_view errc_name(Errc code);

struct [[nodiscard]] Error {
  Errc code = Errc::io;
  std::string what;
  std::string remedy{};  // what helps, where that is known and not said in `what` already

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = tl::expected<T, Error>;

// Builds the error side of a Result: `return fail(Errc::invalid, "...")`.
[[nodiscard]] inline tl::unexpected<Error> fail(Errc code, std::string what) {
  return tl::unexpected<Error>(Error{code, std::move(what)});
}
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

// Both texts in one: "what; remedy".
std::string full_text(const Error& error);

// Builds an Error from errno: "what: No such file or directory", with the matching code.
Error os_error(int error_number, std::string_view what);
[[nodiscard]] inline tl::unexpected<Error> fail_errno(int error_number, std::string_view what) {
  return tl::unexpected<Error>(os_error(error_number, what));
}

// Adds what was being done: "context: what". Once per layer.
Error with_context(Error error, std::string_view context);
template <class T>
Result<T> context(Result<T> result, std::string_view text) {
  if (result) return result;
  return tl::unexpected<Error>(with_context(std::move(result.error()), text));
}

}  // namespace mvr

#define MVR_CONCAT_(a, b) a##b
#define MVR_CONCAT(a, b) MVR_CONCAT_(a, b)

// TRY(expr): returns the error of a Result, drops its value. (The names carry a counter, so that a
// lambda inside the expression may use the macros too.)
#define TRY(expr) TRY_(expr, MVR_CONCAT(mvr_try_, __COUNTER__))
#define TRY_(expr, name)                                    \
  do {                                                      \
    auto name = (expr);                                     \
    if (!name) return ::mvr::fail(std::move(name).error()); \
  } while (false)

// TRY_ASSIGN(decl, expr): decl = value of the Result, or returns its error.
#define TRY_ASSIGN(decl, expr) TRY_ASSIGN_(decl, expr, MVR_CONCAT(mvr_result_, __COUNTER__))
#define TRY_ASSIGN_(decl, expr, name)                     \
  auto name = (expr);                                     \
  if (!name) return ::mvr::fail(std::move(name).error()); \
  decl = std::move(*name)
