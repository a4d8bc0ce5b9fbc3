#include "base/secret.h"

#include <cstring>
#include <utility>

namespace mvr {

// A moved-from short string keeps its bytes in place, so the source is wiped as well.
Secret::Secret(Secret&& other) noexcept : value_(std::move(other.value_)) { other.wipe(); }

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  wipe();
  value_ = std::move(other.value_);
  other.wipe();
  return *this;
}

Secret::~Secret() { wipe(); }

void Secret::wipe() {
  // The whole capacity: a moved-from string has length zero but its buffer still holds the bytes.
  value_.resize(value_.capacity());
  explicit_bzero(value_.data(), value_.size());
  value_.clear();
}

}  // namespace mvr
