#include "daemon/fail_point.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/fd.h"
#include "base/text.h"

namespace mvr::daemon {
namespace {

constexpr const char* kFile = "MVRUNNER_FAIL_POINTS";
constexpr const char* kAt = "MVRUNNER_FAIL_AT";

// Where to die; pass 0 is never reached.
struct FatalPass {
  std::uint64_t pass = 0;
  std::string name;  // empty: of all
};

FatalPass fatal_pass() {
  const char* text = std::getenv(kAt);
  if (text == nullptr) return {};
  const std::string_view wanted(text);
  const std::size_t space = wanted.find(' ');
  const bool is_named = space != std::string_view::npos;
  return FatalPass{parse_u64(wanted.substr(0, space)).value_or(0),
                   std::string(is_named ? wanted.substr(space + 1) : "")};
}

}  // namespace

const bool kFailPointsOn = std::getenv(kFile) != nullptr;

void pass_fail_point(const char* name, std::string_view detail) {
  static std::uint64_t passes = 0;
  static std::uint64_t passes_of_fatal = 0;
  static const FatalPass fatal = fatal_pass();
  std::string what = name;
  if (!detail.empty()) what.append(" ").append(detail);
  const std::string line = std::to_string(++passes) + " " + what + "\n";
  const Fd file(::open(std::getenv(kFile), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  // A test that cannot read its file fails by itself.
  if (file) (void)!::write(file.get(), line.data(), line.size());
  const bool is_meant = fatal.name.empty() || fatal.name == what;
  if (is_meant && ++passes_of_fatal == fatal.pass) (void)::kill(::getpid(), SIGKILL);
}

}  // namespace mvr::daemon
