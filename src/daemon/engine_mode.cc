#include "daemon/engine_mode.h"

#include "base/text.h"

namespace mvr::daemon {

Result<std::string> engine_mode(const std::map<std::string, std::string>& labels) {
  const auto label = labels.find(kEngineLabel);
  if (label == labels.end()) return std::string("boot");
  for (const char* mode : {"boot", "demand", "off"}) {
    if (label->second == mode) return label->second;
  }
  return fail(Errc::invalid, std::string("the image's label ") + kEngineLabel + " is \"" +
                                 printable(label->second, 40) +
                                 "\"; it must be boot, demand or off");
}

}  // namespace mvr::daemon
