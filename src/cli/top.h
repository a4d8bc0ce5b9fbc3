// The screen of `mvrunner top` (pure).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace mvr::cli {

struct Screen {
  std::size_t width = 80;
  std::size_t height = 24;
};

enum class TopOrder { age, memory, cpu };

// `screen.height` lines at most, each at most `screen.width` characters wide: what the host has and
// how much of it is in use, what waits, and the VMs, as many as fit from the `first` on.
std::vector<std::string> top_lines(const nlohmann::json& status, const Screen& screen,
                                   TopOrder order, std::size_t first);

}  // namespace mvr::cli
