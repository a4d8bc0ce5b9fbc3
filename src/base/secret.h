// Secret: a string that cannot be printed, formatted, compared or copied by accident, and that
// overwrites its bytes when it goes.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace mvr {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  // The bytes, for the one place that must send them. Never log, never put into an argv.
  [[nodiscard]] std::string_view expose() const { return value_; }
  [[nodiscard]] bool empty() const { return value_.empty(); }
  [[nodiscard]] Secret copy() const { return Secret(value_); }

 private:
  void wipe();
  std::string value_;
};

}  // namespace mvr
