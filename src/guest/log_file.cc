#include "guest/log_file.h"

#include <cstdio>

#include "base/text.h"
#include "guest/files.h"

namespace mvr::guest {
namespace {

constexpr std::size_t kMaxShown = 300;

}  // namespace

void LogFile::append(std::string_view bytes) {
  if (size_ + bytes.size() > kMaxBytes / 2) {
    (void)std::rename(path_.c_str(), (path_ + ".1").c_str());
    size_ = 0;
  }
  size_ += bytes.size();
  (void)append_file(path_, bytes);
  lines_.feed(bytes, [this](std::string_view line) {
    if (!line.empty()) last_line_ = printable(line, kMaxShown);
  });
}

}  // namespace mvr::guest
