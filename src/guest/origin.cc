#include "guest/origin.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

namespace mvr::guest {
namespace {

using nlohmann::json;

// The path to what is read is made of these. All else is dropped while parsing: an event may be
// 25 MiB, and a VM small.
constexpr std::array<std::string_view, 8> kNames{"repository", "pull_request",    "workflow_run",
                                                 "head",       "head_repository", "repo",
                                                 "id",         "private"};
constexpr int kMaxDepth = 4;  // of pull_request.head.repo.id

json parse_event(std::string_view text) {
  const auto keep = [](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key) {
      const auto& name = value.get_ref<const std::string&>();
      return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
    }
    if (event == json::parse_event_t::array_start) return false;
    return event != json::parse_event_t::object_start || depth < kMaxDepth;
  };
  return json::parse(text.begin(), text.end(), keep, false);
}

// Null where there is no such member, or nothing to have one.
const json& member(const json& object, const char* name) {
  static const json kNone;
  if (!object.is_object()) return kNone;
  const auto found = object.find(name);
  return found == object.end() ? kNone : *found;
}

bool is_same_repository(const json& one, const json& other) {
  const json& id = member(one, "id");
  return id.is_number() && id == member(other, "id");
}

// Does the event bring code whose repository is not the one the job belongs to?
bool is_from_fork(const json& event) {
  const json& repository = member(event, "repository");
  const json& request = member(event, "pull_request");
  const json& run = member(event, "workflow_run");
  return (!request.is_null() &&
          !is_same_repository(member(member(request, "head"), "repo"), repository)) ||
         (!run.is_null() && !is_same_repository(member(run, "head_repository"), repository));
}

std::string refusal(const Served& served, const std::string& what, const char* setting) {
  return "profile " + served.profile + " serves no " + what + " (" + setting +
         "); this job was given to its runner all the same and is ended before its first step";
}

}  // namespace

std::optional<std::string> why_refused(std::string_view text, const Served& served) {
  const json event = parse_event(text);
  if (!event.is_object()) {
    return "the event that started this job cannot be read, so that profile " + served.profile +
           " does not run it";
  }
  const json& is_private = member(member(event, "repository"), "private");
  if (!served.public_repositories && is_private != json(true)) {
    return refusal(served, "jobs of public repositories", "public_repositories");
  }
  if (!served.fork_pull_requests && is_from_fork(event)) {
    return refusal(served, "pull requests from forks", "fork_pull_requests");
  }
  return std::nullopt;
}

}  // namespace mvr::guest
