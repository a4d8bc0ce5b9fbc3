// The log of a service in the guest, which must not fill the disk.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "guest/runner_lines.h"

namespace mvr::guest {

// Appends to `path`. With half of kMaxBytes in it the file becomes <path>.1, in the place of the
// former one of that name. What cannot be written is lost: a full disk must not end the service.
class LogFile {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{4} << 20;

  explicit LogFile(std::string path) : path_(std::move(path)) {}
  void append(std::string_view bytes);
  [[nodiscard]] const std::string& path() const { return path_; }
  // The last whole line that is not empty, cut and printable.
  [[nodiscard]] const std::string& last_line() const { return last_line_; }

 private:
  std::string path_;
  std::size_t size_ = 0;
  Lines lines_;
  std::string last_line_;
};

}  // namespace mvr::guest
