#include "image/action_uses.h"

#include <algorithm>
#include <chrono>
#include <tuple>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

using nlohmann::json;

constexpr Duration kRecent = std::chrono::hours(30 * 24);
constexpr Duration kForgotten = std::chrono::hours(90 * 24);
constexpr std::size_t kMaxFile = 1U << 20U;
constexpr std::size_t kMaxVmName = 63;

std::string path_of(const std::string& state_dir) { return state_dir + "/actions/used.json"; }

using Entry = ActionUses::value_type;

// What only one VM told of has a half to itself: it cannot push out what is known better, nor be
// kept out by that.
void forget_some(ActionUses& uses, WallTime now) {
  const auto is_single = [](const Entry& each) { return each.second.vms < kLeastVms; };
  const auto worth = [now](const Entry& each) {
    const ActionUse& use = each.second;
    return std::make_tuple(now - use.last <= kRecent, use.vms, use.last);
  };
  for (const bool singles : {true, false}) {
    const auto is_here = [&](const Entry& each) { return is_single(each) == singles; };
    if (static_cast<std::size_t>(std::ranges::count_if(uses, is_here)) <= kMostActionUses / 2) {
      continue;
    }
    auto least = uses.end();
    for (auto each = uses.begin(); each != uses.end(); ++each) {
      if (is_here(*each) && (least == uses.end() || worth(*each) < worth(*least))) least = each;
    }
    uses.erase(least);
  }
}

Result<ActionUse> use_of(const json& object) {
  constexpr auto kInvalid = Errc::invalid;
  if (!object.is_object() || object.size() != 3) return fail(kInvalid, "a use has three fields");
  const auto vms = object.find("vms");
  const auto last = object.find("last");
  const auto vm = object.find("vm");
  if (vms == object.end() || !vms->is_number_unsigned() || *vms == 0 || *vms > UINT32_MAX) {
    return fail(kInvalid, "\"vms\" is no number of VMs");
  }
  if (vm == object.end() || !vm->is_string() ||
      !is_plain_name(vm->get_ref<const std::string&>(), kMaxVmName)) {
    return fail(kInvalid, "\"vm\" is no VM's name");
  }
  const auto time =
      parse_iso8601(last != object.end() && last->is_string() ? last->get<std::string>() : "");
  if (!time) return fail(kInvalid, "\"last\" is no time");
  return ActionUse{vms->get<std::uint32_t>(), *time, vm->get<std::string>()};
}

}  // namespace

void note_uses(ActionUses& uses, const std::vector<ActionRef>& used, const std::string& vm,
               WallTime now) {
  for (const ActionRef& action : used) {
    ActionUse& use = uses[action];
    if (use.vm != vm && use.vms < UINT32_MAX) ++use.vms;
    use.vm = vm;
    use.last = now;
    forget_some(uses, now);
  }
}

std::vector<ActionRef> wanted_actions(const ActionUses& uses, WallTime now) {
  std::vector<ActionUses::const_iterator> found;
  for (auto each = uses.begin(); each != uses.end(); ++each) {
    if (each->second.vms >= kLeastVms && now - each->second.last <= kForgotten) {
      found.push_back(each);
    }
  }
  const auto rank = [now](ActionUses::const_iterator each) {
    const ActionUse& use = each->second;
    return std::make_tuple(now - use.last > kRecent, UINT32_MAX - use.vms, now - use.last,
                           each->first);
  };
  std::ranges::sort(found, [&](auto a, auto b) { return rank(a) < rank(b); });
  std::vector<ActionRef> wanted;
  wanted.reserve(found.size());
  for (const auto& each : found) wanted.push_back(each->first);
  return wanted;
}

std::string uses_json(const ActionUses& uses) {
  json all = json::object();
  for (const auto& [action, use] : uses) {
    all[action_text(action)] = {
        {"vms", use.vms}, {"last", format_iso8601(use.last)}, {"vm", use.vm}};
  }
  return all.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<ActionUses> parse_uses(const std::string& text) {
  const json all = json::parse(text, nullptr, false);
  if (!all.is_object()) return fail(Errc::invalid, "no JSON object");
  if (all.size() > kMostActionUses) return fail(Errc::too_large, "it has too many actions");
  ActionUses uses;
  for (const auto& [name, object] : all.items()) {
    const auto action = parse_action_ref(name);
    if (!action) return fail(Errc::invalid, "\"" + printable(name, 80) + "\" is no action");
    TRY_ASSIGN(uses[*action], context(use_of(object), printable(name, 80)));
  }
  return uses;
}

Result<ActionUses> read_uses(const std::string& state_dir) {
  const auto text = sys::read_file(path_of(state_dir), kMaxFile);
  if (!text && text.error().code == Errc::not_found) return ActionUses{};
  if (!text) return fail(text.error());
  return context(parse_uses(*text), path_of(state_dir));
}

Result<void> write_uses(const std::string& state_dir, const ActionUses& uses) {
  TRY(sys::make_directories(state_dir + "/actions"));
  return sys::write_file_atomic(path_of(state_dir), uses_json(uses));
}

}  // namespace mvr::image
