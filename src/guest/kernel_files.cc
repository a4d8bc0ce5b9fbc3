#include "guest/kernel_files.h"

#include <unistd.h>

#include "guest/files.h"

namespace mvr::guest {
namespace {

constexpr std::size_t kMaxFile = std::size_t{16} << 20;

}  // namespace

Result<void> place_kernel_files(const std::string& source, const std::string& target) {
  if (::access(target.c_str(), F_OK) == 0) return {};
  TRY(make_directory(target));
  for (const std::string& name : list_directory(source)) {
    TRY_ASSIGN(const std::string content, read_file(source + "/" + name, kMaxFile));
    TRY(write_file(target + "/" + name, content));
    ::unlink((source + "/" + name).c_str());  // gives its memory back
  }
  return {};
}

}  // namespace mvr::guest
