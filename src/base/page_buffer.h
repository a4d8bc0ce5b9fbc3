// Bytes that begin on a page's boundary. The kernel copies file data to and from such a buffer
// several times as fast as to one that lies a few bytes behind a boundary, on processors where that
// makes the addresses of source and destination look alike (AMD Zen 3 and 4: glibc's bug 30994).
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace mvr {

class PageBuffer {
 public:
  PageBuffer() = default;
  // Of no value.
  explicit PageBuffer(std::size_t size)
      : bytes_(static_cast<char*>(::operator new[](size, kPage))), size_(size) {}

  [[nodiscard]] char* data() const { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  static constexpr std::align_val_t kPage{4096};
  struct Free {
    void operator()(char* bytes) const { ::operator delete[](bytes, kPage); }
  };
  std::unique_ptr<char, Free> bytes_;
  std::size_t size_ = 0;
};

}  // namespace mvr
