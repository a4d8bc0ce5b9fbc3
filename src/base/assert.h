// MVR_ASSERT: programmer errors. Always on; prints the expression and aborts.
#pragma once

namespace mvr {
[[noreturn]] void assert_failed(const char* expression, const char* file, int line);
}  // namespace mvr

#define MVR_ASSERT(expr) \
  ((expr) ? static_cast<void>(0) : ::mvr::assert_failed(#expr, __FILE__, __LINE__))
