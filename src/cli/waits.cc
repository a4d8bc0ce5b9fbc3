#include "cli/waits.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

std::string text_of(const json& value, const char* key) {
  return printable(value.value(key, std::string()));
}

std::string age_of(const json& value, const char* key) {
  return format_duration(Duration{value.value(key, std::int64_t{0}) / 1000 * 1000});
}

bool take_number(std::string_view& text, std::string_view unit) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0 || !text.substr(digits).starts_with(unit)) return false;
  text.remove_prefix(digits + unit.size());
  return true;
}

// Is it the profile itself, or an instance "<name>-4cpu-16gb" of the pattern called so?
bool is_of(std::string_view profile, std::string_view wanted) {
  if (wanted.empty() || !profile.starts_with(wanted)) return false;
  profile.remove_prefix(wanted.size());
  if (profile.empty()) return true;
  if (!profile.starts_with("-")) return false;
  profile.remove_prefix(1);
  return take_number(profile, "cpu-") && take_number(profile, "gb") && profile.empty();
}

json jobs_of(const json& status) {
  const auto found = status.find("about");
  return found == status.end() ? json::array() : found->value("jobs", json::array());
}

bool waits_for(const json& wait, const json& job) {
  if (wait["scope"] != job["scope"] || wait["profile"] != job["profile"]) return false;
  // Of jobs no profile serves, each kind has a wait of its own.
  return !wait["profile"].get<std::string>().empty() || wait["text"] == job.value("text", "");
}

bool is_coming(const json& vm, const json& job) {
  const std::string phase = vm["phase"];
  return vm["profile"] == job["profile"] && vm["scope"] == job["scope"] && phase != "running" &&
         phase != "ending" && phase != "removing";
}

std::string doing(const json& vm) {
  const std::string phase = vm["phase"];
  if (phase == "running") return "runs " + text_of(vm, "job") + ", for " + age_of(vm, "phase_ms");
  if (phase == "preparing" || phase == "booting") {
    return "is booting, for " + age_of(vm, "phase_ms");
  }
  if (phase == "warm") return "has booted and is warm";
  if (phase == "claiming") return "starts its runner";
  if (phase == "listening") return "listens for a job, for " + age_of(vm, "phase_ms");
  return "is " + printable(phase);
}

std::string job_title(const json& job) {
  return text_of(job, "job") + " of " + text_of(job, "repository") + " (" +
         std::to_string(job.value("id", std::int64_t{0})) + ")";
}

std::string wait_text(const json& wait, WallTime now) {
  const int jobs = wait["jobs"].get<int>();
  std::string text = text_of(wait, "scope");
  if (jobs > 0) text = std::to_string(jobs) + (jobs == 1 ? " job in " : " jobs in ") + text;
  const std::string profile = text_of(wait, "profile");
  if (!profile.empty()) text += " for profile " + profile;
  text += ": " + text_of(wait, "text") + "\n";
  if (const auto oldest = wait.find("oldest"); oldest != wait.end()) {
    text += "  oldest: " + job_title(*oldest) + ", queued for " + age_of(*oldest, "age_ms") + "\n";
  }
  if (const auto next = parse_iso8601(wait.value("next", std::string()))) {
    text += "  next change expected at " + when_text(*next, now) + "\n";
  }
  const std::string advice = text_of(wait, "advice");
  return advice.empty() ? text : text + "  what to do: " + advice + "\n";
}

// A job that is listed as queued and has no reason to wait.
std::string job_text(const json& job, const json& vms) {
  std::string text = job_title(job) + ", queued for " + age_of(job, "age_ms") + ": ";
  for (const json& vm : vms) {
    if (!is_coming(vm, job)) continue;
    return text + "VM " + text_of(vm, "vm") + " " + doing(vm) +
           "; it takes this job or another one of profile " + text_of(job, "profile") + "\n";
  }
  return text + "a VM took it or is about to be started\n";
}

}  // namespace

std::string when_text(WallTime at, WallTime now) {
  if (at <= now) return "now";
  constexpr std::chrono::hours kToday{12};
  const std::time_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count();
  std::tm local{};
  std::array<char, 32> text{};
  ::localtime_r(&seconds, &local);
  const bool is_far = at - now > kToday;
  const std::size_t length = is_far
                                 ? std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local)
                                 : std::strftime(text.data(), text.size(), "%H:%M", &local);
  constexpr Duration kSecond{1000};
  const Duration left = std::chrono::duration_cast<Duration>(at - now);
  return std::string(text.data(), length) + " (in " +
         format_duration(left < kSecond ? left : left / kSecond * kSecond) + ")";
}

json about(const json& status, const std::string& wanted) {
  json out = {{"waits", json::array()}, {"vms", json::array()}, {"jobs", jobs_of(status)}};
  for (const json& wait : status["waits"]) {
    const auto waits = [&wait](const json& job) { return waits_for(wait, job); };
    const bool is_meant = wanted.empty() || is_of(wait["profile"].get<std::string>(), wanted) ||
                          std::ranges::any_of(out["jobs"], waits);
    if (is_meant) out["waits"].push_back(wait);
  }
  for (const json& vm : status["vms"]) {
    const auto comes = [&vm](const json& job) { return is_coming(vm, job); };
    const bool is_meant = is_of(vm["profile"].get<std::string>(), wanted) ||
                          (!wanted.empty() && vm["job"] == wanted) ||
                          std::ranges::any_of(out["jobs"], comes);
    if (is_meant) out["vms"].push_back(vm);
  }
  return out;
}

bool is_unknown(const json& status, const std::string& wanted) {
  if (wanted.empty()) return false;
  const json found = about(status, wanted);
  if (!found["waits"].empty() || !found["vms"].empty() || !found["jobs"].empty()) return false;
  return !status.value("about", json::object()).value("profile", false);
}

std::string explain_text(const json& status, const std::string& wanted, WallTime now) {
  const json found = about(status, wanted);
  std::string text;
  for (const json& wait : found["waits"]) text += wait_text(wait, now);
  for (const json& job : found["jobs"]) {
    const auto waits = [&job](const json& wait) { return waits_for(wait, job); };
    if (std::ranges::none_of(found["waits"], waits)) text += job_text(job, found["vms"]);
  }
  const bool by_job = !found["jobs"].empty();
  for (const json& vm : found["vms"]) {
    const bool is_told = by_job && !is_of(vm["profile"].get<std::string>(), wanted) &&
                         vm["job"] != wanted;  // with its job
    if (is_told) continue;
    text += "VM " + text_of(vm, "vm") + " of profile " + text_of(vm, "profile") + " " + doing(vm) +
            "\n";
  }
  if (!found["waits"].empty() || by_job) return text;
  if (wanted.empty()) return "No job waits.\n";
  return text +
         (found["vms"].empty() ? "No job waits for profile " + printable(wanted) + ".\n" : "");
}

}  // namespace mvr::cli
