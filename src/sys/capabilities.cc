#include "sys/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

namespace mvr::sys {
namespace {

using Header = __user_cap_header_struct;
using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

// The bounding set: what a program could still get by its file. A kernel of another year has fewer
// or more; it says where its own end.
Result<void> bound(std::uint64_t kept) {
  for (int one = 0; one < 64; ++one) {
    const int state = ::prctl(PR_CAPBSET_READ, one, 0, 0, 0);
    if (state < 0) return {};
    if (state == 0 || (kept >> one & 1U) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, one, 0, 0, 0) != 0) {
      return fail_errno(errno, "give up the capability " + std::to_string(one));
    }
  }
  return {};
}

}  // namespace

Result<void> keep_only_capabilities(std::uint64_t kept) {
  Header header{_LINUX_CAPABILITY_VERSION_3, 0};
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) {
    return fail_errno(errno, "read the capabilities of this process");
  }
  // First: it takes CAP_SETPCAP, which may be one of those to go.
  TRY(bound(kept));
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const auto mask = static_cast<std::uint32_t>(kept >> (32 * i));
    sets.at(i).effective &= mask;
    sets.at(i).permitted &= mask;
    sets.at(i).inheritable &= mask;
  }
  if (::syscall(SYS_capset, &header, sets.data()) == 0) return {};
  return fail_errno(errno, "give up capabilities");
}

}  // namespace mvr::sys
