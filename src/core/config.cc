#include "core/config.h"

#include <algorithm>

namespace mvr::core {

const Scope* Config::scope(std::string_view id) const {
  const auto found = std::ranges::find_if(
      github.scopes, [id](const Scope& candidate) { return candidate.id() == id; });
  return found == github.scopes.end() ? nullptr : &*found;
}

}  // namespace mvr::core
