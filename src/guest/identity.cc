#include "guest/identity.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <string.h>  // NOLINT(modernize-deprecated-headers): explicit_bzero is not in <cstring>

#include "base/fd.h"
#include "guest/files.h"
#include "guest/network.h"
#include "guest/system.h"

namespace mvr::guest {
namespace {

// rand_pool_info: the entropy in bits, the size in bytes, then the bytes.
std::vector<std::uint32_t> entropy_request(std::string_view seed) {
  constexpr std::size_t kHead = 2;
  std::vector<std::uint32_t> request(kHead + (seed.size() + 3) / 4);
  request[0] = static_cast<std::uint32_t>(seed.size() * 8);
  request[1] = static_cast<std::uint32_t>(seed.size());
  std::memcpy(&request[kHead], seed.data(), seed.size());
  return request;
}

// Drives are other files than when the kernel read their first blocks.
Result<void> forget_blocks() {
  for (const std::string& name : list_directory("/sys/block")) {
    if (name.substr(0, 2) != "vd") continue;
    const Fd drive(::open(("/dev/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!drive || ::ioctl(drive.get(), BLKFLSBUF, 0) != 0) {
      return fail_errno(errno, "forget what was read of /dev/" + name);
    }
  }
  return {};
}

}  // namespace

Result<void> reseed(std::string_view seed) {
  const Fd random(::open("/dev/urandom", O_RDWR | O_CLOEXEC));
  if (!random) return fail_errno(errno, "open /dev/urandom");
  std::vector<std::uint32_t> request = entropy_request(seed);
  const int added = ::ioctl(random.get(), RNDADDENTROPY, request.data());
  const int error = errno;
  ::explicit_bzero(request.data(), request.size() * sizeof(request[0]));
  if (added != 0) return fail_errno(error, "add the host's random bytes");
  if (::ioctl(random.get(), RNDRESEEDCRNG) == 0) return {};
  return fail_errno(errno, "reseed the kernel's random numbers");
}

Result<BootWords> take_identity(const channel::Identity& identity, const BootWords& booted) {
  TRY(reseed(identity.seed.expose()));
  TRY_ASSIGN(BootWords words, parse_command_line(identity.words));
  words.drives = booted.drives;
  step_clock(identity.wall_ms);
  if (!identity.mac.empty()) TRY(set_mac(identity.mac));
  TRY(forget_blocks());
  return words;
}

}  // namespace mvr::guest
