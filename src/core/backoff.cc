#include "core/backoff.h"

#include <algorithm>

#include "base/text.h"

namespace mvr::core {

Duration backoff_delay(BackoffPolicy policy, std::uint32_t failures, std::string_view key) {
  if (failures == 0) return Duration::zero();
  Duration delay = policy.first;
  for (std::uint32_t n = 1; n < failures && delay < policy.most; ++n) delay *= 2;
  const Duration half = std::min(delay, policy.most) / 2;
  // The hash spreads the retries of many keys that failed together.
  const auto span = static_cast<std::uint64_t>(half.count()) + 1;
  return half + Duration{static_cast<Duration::rep>(stable_hash(key, failures) % span)};
}

}  // namespace mvr::core
