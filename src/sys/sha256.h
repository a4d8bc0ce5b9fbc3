// SHA-256 of bytes that come in pieces.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace mvr::sys {

class Sha256 {
 public:
  using Sum = std::array<unsigned char, 32>;
  Sha256();
  void add(std::string_view data);
  // As 64 bits, little-endian.
  void add_number(std::uint64_t value);
  // Of what was added since the last sum.
  Sum take();
  std::string take_hex();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

}  // namespace mvr::sys
