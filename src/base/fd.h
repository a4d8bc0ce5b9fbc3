// Fd: the only owner of a file descriptor.
#pragma once

#include <utility>

#include "base/result.h"

namespace mvr {

// Move-only. close() reports; the destructor is the safety net and is silent.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int raw) : raw_(raw) {}
  Fd(Fd&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();

  // The number, for the one system call at hand; -1 when empty.
  [[nodiscard]] int get() const { return raw_; }
  explicit operator bool() const { return raw_ >= 0; }
  // Gives the number away; the caller owns it now.
  [[nodiscard]] int release() { return std::exchange(raw_, -1); }
  Result<void> close();
  // A second descriptor for the same open file (close-on-exec).
  [[nodiscard]] Result<Fd> duplicate() const;

 private:
  int raw_ = -1;
};

}  // namespace mvr
