// Any bytes as a webhook's delivery, or as a list of them.
#include "github/webhook.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "github/deliveries.h"
#include "github/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void check_hints(std::string_view body) {
  const auto change = mvr::github::decode_job_change(body);
  if (change) {
    MVR_ASSERT(change->job > 0);
    MVR_ASSERT(change->attempt > 0);
    MVR_ASSERT(mvr::github::is_repository_name(change->repository));
  }
  const auto name = mvr::github::decode_delivery_repository(body);
  if (name) MVR_ASSERT(mvr::github::is_repository_name(*name));
  const auto listed = mvr::github::decode_deliveries(body);
  if (!listed) return;
  for (const auto& delivery : *listed) MVR_ASSERT(delivery.id > 0);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): libFuzzer's bytes as text
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check_hints(body);
  return 0;
}
