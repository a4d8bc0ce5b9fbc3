#include "core/backoff.h"

#include "catch.h"

namespace mvr::core {

TEST_CASE("no failure means no delay") {
  CHECK(backoff_delay(kBootBackoff, 0, "small") == Duration::zero());
}

TEST_CASE("the delay lies between half and all of first * 2^(failures - 1)") {
  for (std::uint32_t failures = 1; failures <= 6; ++failures) {
    const Duration full = kBootBackoff.first * (1 << (failures - 1));
    const Duration delay = backoff_delay(kBootBackoff, failures, "small");
    CHECK(delay >= full / 2);
    CHECK(delay <= full);
  }
}

TEST_CASE("the delay is capped for any number of failures") {
  for (const std::uint32_t failures : {8U, 64U, 4'000'000'000U}) {
    const Duration delay = backoff_delay(kBootBackoff, failures, "small");
    CHECK(delay >= kBootBackoff.most / 2);
    CHECK(delay <= kBootBackoff.most);
  }
}

TEST_CASE("the delay is the same for the same key and differs between keys") {
  CHECK(backoff_delay(kBootBackoff, 3, "small") == backoff_delay(kBootBackoff, 3, "small"));
  CHECK(backoff_delay(kBootBackoff, 3, "small") != backoff_delay(kBootBackoff, 3, "large"));
}

}  // namespace mvr::core
