#include "daemon/egress_notes.h"

#include <algorithm>

#include "base/text.h"
#include "core/egress.h"
#include "sys/files.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kMostOfVm = 500;
constexpr std::size_t kMostOfProfile = 5'000;
constexpr std::size_t kMostBytes = 2U << 20U;

std::string path_of(const std::string& directory, const std::string& profile) {
  return directory + "/" + profile + ".names";
}

Result<std::vector<std::string>> read_names(const std::string& path) {
  TRY_ASSIGN(const std::string text, sys::read_file(path, kMostBytes));
  std::vector<std::string> names;
  for (const std::string_view line : split(text, '\n')) {
    if (core::is_egress_name(line)) names.emplace_back(line);
  }
  return names;
}

}  // namespace

bool EgressNotes::note(const core::Vm& vm, const std::string& name) {
  std::set<std::string>& asked = asked_[vm.name];
  return asked.size() < kMostOfVm && asked.insert(name).second;
}

Result<void> EgressNotes::end(const core::Vm& vm, bool learns) {
  const auto found = asked_.find(vm.name);
  if (found == asked_.end()) return {};
  const std::set<std::string> asked = std::move(found->second);
  asked_.erase(found);
  if (!learns) return {};
  const std::string path = path_of(directory_, vm.profile);
  const auto before = read_names(path);
  if (!before && before.error().code != Errc::not_found) return fail(before.error());
  std::set<std::string> all(asked.begin(), asked.end());
  if (before) all.insert(before->begin(), before->end());
  std::string text;
  std::size_t count = 0;
  for (const std::string& name : all) {
    if (!core::is_egress_name(name) || ++count > kMostOfProfile) continue;
    text += name + "\n";
  }
  TRY(sys::make_directories(directory_));
  return sys::write_file_atomic(path, text);
}

Result<std::vector<std::string>> EgressNotes::learned(const std::string& state_dir,
                                                      const std::string& profile) {
  return read_names(path_of(state_dir + "/egress", profile));
}

}  // namespace mvr::daemon
