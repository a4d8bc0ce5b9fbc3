// Any bytes as a configuration: problems or a Config, and a Config survives being rendered.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "config/load.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): libFuzzer's bytes as text
  const std::string_view yaml(reinterpret_cast<const char*>(data), size);
  const mvr::config::Loaded loaded = mvr::config::parse(yaml, "fuzz.yaml", "host");
  for (const mvr::config::Problem& problem : loaded.problems) {
    const std::string text = problem.to_text();
    for (const char c : text) MVR_ASSERT(static_cast<unsigned char>(c) >= ' ');
  }
  if (!loaded.problems.empty()) return 0;
  const std::string rendered = mvr::config::to_yaml(loaded.config);
  const mvr::config::Loaded again = mvr::config::parse(rendered, "again.yaml", "other");
  MVR_ASSERT(again.problems.empty());
  MVR_ASSERT(again.config == loaded.config);
  return 0;
}
