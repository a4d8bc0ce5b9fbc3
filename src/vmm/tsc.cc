#include "vmm/qemu.h"

#if defined(__x86_64__)
#include <ctime>

#include <x86intrin.h>
#endif

namespace mvr::vmm {

bool is_amd_cpu() {
#if defined(__x86_64__)
  return __builtin_cpu_is("amd") != 0;
#else
  return false;
#endif
}

#if defined(__x86_64__)
namespace {

struct Sample {
  std::uint64_t ticks = 0;
  std::uint64_t nanoseconds = 0;
};

std::uint64_t raw_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// Both clocks at one moment: the tightest of some readings, so that a preemption between the two
// does not count.
Sample sample() {
  Sample best;
  std::uint64_t narrowest = UINT64_MAX;
  for (int i = 0; i < 64; ++i) {
    const std::uint64_t before = __rdtsc();
    const std::uint64_t now = raw_nanoseconds();
    const std::uint64_t after = __rdtsc();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    best = Sample{before + (after - before) / 2, now};
  }
  return best;
}

}  // namespace

std::uint64_t measure_tsc_khz() {
  constexpr timespec pause{0, 50'000'000};
  const Sample first = sample();
  (void)::nanosleep(&pause, nullptr);
  const Sample second = sample();
  const std::uint64_t elapsed = second.nanoseconds - first.nanoseconds;
  if (elapsed == 0 || second.ticks <= first.ticks) return 0;
  // 128 bits would be needed only after minutes: 2^63 / 1e6 ticks are half an hour at 5 GHz.
  return ((second.ticks - first.ticks) * 1'000'000U + elapsed / 2) / elapsed;
}
#else
std::uint64_t measure_tsc_khz() { return 0; }
#endif

}  // namespace mvr::vmm
