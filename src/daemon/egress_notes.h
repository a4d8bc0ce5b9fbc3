// What VMs behind gates asked for: names that were refused, told once each, and those that a
// profile which learns is to have in its list.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/world.h"
#include "daemon/gate.h"

namespace mvr::daemon {

class EgressNotes {
 public:
  explicit EgressNotes(const std::string& state_dir) : directory_(state_dir + "/egress") {}
  // True: this VM asks for this name for the first time, and few enough came before.
  bool note(const core::Vm& vm, const std::string& name);
  // Adds what a VM that learned asked for to what its profile's list would need.
  Result<void> end(const core::Vm& vm, bool learns);
  // What VMs of a profile asked for so far, sorted. Err not_found: none did.
  static Result<std::vector<std::string>> learned(const std::string& state_dir,
                                                  const std::string& profile);

 private:
  std::string directory_;
  std::map<std::string, std::set<std::string>> asked_;  // by the VM's name
};

}  // namespace mvr::daemon
