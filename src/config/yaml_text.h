// Text as YAML has it.
#pragma once

#include <string>
#include <string_view>

namespace mvr::config {

// As a double-quoted scalar. The text has no control characters.
inline std::string quoted_scalar(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace mvr::config
