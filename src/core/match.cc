#include "core/match.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "core/plan.h"

namespace mvr::core {
namespace {

constexpr std::string_view kCpus = "{cpus}";
constexpr std::string_view kMemory = "{memory}";
constexpr std::size_t kMaxDigits = 4;

struct Spelled {
  std::uint32_t vcpus = 0;
  std::uint32_t memory_gib = 0;
};

// Takes a number without leading zeros off the front.
std::optional<std::uint32_t> take_number(std::string_view& text) {
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  if (digits == 0 || digits > kMaxDigits || text.front() == '0') return std::nullopt;
  std::uint32_t value = 0;
  for (const char digit : text.substr(0, digits)) {
    value = value * 10 + static_cast<std::uint32_t>(digit - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take_literal(std::string_view& text, std::string_view literal) {
  if (!text.starts_with(literal)) return false;
  text.remove_prefix(literal.size());
  return true;
}

// The numbers in `label` where `pattern` has its place holders.
std::optional<Spelled> read_label(std::string_view pattern, std::string_view label) {
  Spelled spelled;
  while (true) {
    const std::size_t brace = std::min(pattern.find('{'), pattern.size());
    if (!take_literal(label, pattern.substr(0, brace))) return std::nullopt;
    pattern.remove_prefix(brace);
    if (pattern.empty()) break;
    const auto number = take_number(label);
    if (!number) return std::nullopt;
    (take_literal(pattern, kCpus) ? spelled.vcpus : spelled.memory_gib) = *number;
    (void)take_literal(pattern, kMemory);
  }
  if (!label.empty()) return std::nullopt;
  return spelled;
}

std::string write_label(std::string pattern, const Spelled& spelled) {
  const auto put = [&pattern](std::string_view holder, std::uint32_t number) {
    pattern.replace(pattern.find(holder), holder.size(), std::to_string(number));
  };
  put(kCpus, spelled.vcpus);
  put(kMemory, spelled.memory_gib);
  return pattern;
}

// The same spelling for every pattern: it is part of VM names.
std::string instance_pattern(const Profile& profile) {
  return profile.name + "-{cpus}cpu-{memory}gb";
}

bool is_within(const Profile& pattern, const Spelled& spelled) {
  const Bytes memory = gib(spelled.memory_gib);
  return spelled.vcpus >= pattern.size.vcpus && spelled.vcpus <= pattern.most->vcpus &&
         memory >= pattern.size.memory && memory <= pattern.most->memory;
}

bool has(const std::vector<std::string>& offered, const std::string& label) {
  return std::ranges::any_of(offered, [&](const auto& each) { return ascii_lower(each) == label; });
}

// The name under which `profile` serves these labels, if it does.
std::optional<std::string> serve(const Config& config, const Profile& profile,
                                 const std::vector<std::string>& labels) {
  std::optional<Spelled> spelled;
  for (const std::string& label : labels) {
    if (has(profile.labels, label) || has(config.github.extra_labels, label)) continue;
    if (!profile.most || spelled) return std::nullopt;  // two sizes are none
    for (const std::string& offered : profile.labels) {
      if (is_pattern_label(offered)) spelled = read_label(ascii_lower(offered), label);
    }
    if (!spelled || !is_within(profile, *spelled)) return std::nullopt;
  }
  if (!profile.most) return profile.name;
  if (!spelled) return std::nullopt;  // no size at all
  return write_label(instance_pattern(profile), *spelled);
}

template <class May>
std::optional<std::string> first_match(const Config& config, const std::vector<std::string>& labels,
                                       const May& may) {
  if (labels.empty()) return std::nullopt;
  std::vector<std::string> wanted;
  wanted.reserve(labels.size());
  for (const std::string& label : labels) wanted.push_back(ascii_lower(label));
  for (const Profile& profile : config.profiles) {
    if (!may(profile)) continue;
    if (auto name = serve(config, profile, wanted)) return name;
  }
  return std::nullopt;
}

// Both lower case. After a star fails, the last one takes one more character.
bool matches_pattern(std::string_view pattern, std::string_view name) {
  std::size_t at = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  for (std::size_t n = 0; n < name.size();) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = ++at;
      resume = n;
    } else if (at < pattern.size() && pattern[at] == name[n]) {
      ++at;
      ++n;
    } else if (star != std::string_view::npos) {
      at = star;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

bool admits(const Profile& profile, const JobHint& job) {
  return (profile.public_repositories || !job.is_public) &&
         (profile.fork_pull_requests || !job.is_fork);
}

bool is_name_pattern(std::string_view name) { return name.find('*') != std::string_view::npos; }

struct Instance {
  const Profile* profile = nullptr;
  std::optional<Spelled> spelled;
};

std::optional<Instance> find_instance(const Config& config, std::string_view name) {
  const auto same = std::ranges::find(config.profiles, name, &Profile::name);
  if (same != config.profiles.end()) return Instance{&*same, std::nullopt};
  const auto trial = std::ranges::find(config.trials, name, &Profile::name);
  if (trial != config.trials.end()) return Instance{&*trial, std::nullopt};
  for (const Profile& profile : config.profiles) {
    if (!profile.most || !name.starts_with(profile.name)) continue;
    const auto spelled = read_label(instance_pattern(profile), name);
    if (spelled && is_within(profile, *spelled)) return Instance{&profile, spelled};
  }
  return std::nullopt;
}

}  // namespace

bool is_pattern_label(std::string_view label) {
  const std::size_t cpus = label.find(kCpus);
  const std::size_t memory = label.find(kMemory);
  if (cpus == std::string_view::npos || memory == std::string_view::npos) return false;
  if (std::ranges::count(label, '{') != 2 || std::ranges::count(label, '}') != 2) return false;
  // Two numbers side by side could not be told apart.
  return cpus + kCpus.size() != memory && memory + kMemory.size() != cpus;
}

const Profile* Config::profile(std::string_view name) const {
  const auto found = find_instance(*this, name);
  return found ? found->profile : nullptr;
}

bool Config::is_trial(std::string_view name) const {
  return std::ranges::find(trials, name, &Profile::name) != trials.end();
}

std::optional<std::string> match_profile(const Config& config,
                                         const std::vector<std::string>& labels) {
  return first_match(config, labels, [](const Profile&) { return true; });
}

std::optional<std::string> match_job(const Config& config, const JobHint& job) {
  if (job.bar != GroupBar::none) return std::nullopt;
  return first_match(config, job.labels,
                     [&job](const Profile& profile) { return admits(profile, job); });
}

Reason why_unserved(const Config& config, const Scope* scope, const JobHint& job) {
  const auto name = match_profile(config, job.labels);
  if (!name) return NoProfile{job.labels};
  const Profile* profile = config.profile(*name);
  if (job.is_public && !profile->public_repositories) return PublicRepository{*name};
  if (job.is_fork && !profile->fork_pull_requests) return ForkPullRequest{*name};
  return GroupBarred{scope == nullptr ? "" : scope->runner_group, job.bar};
}

bool is_selected(const Scope& scope, std::string_view repository) {
  const std::string name = ascii_lower(repository);
  const auto matches = [&name](const std::string& pattern) {
    return matches_pattern(ascii_lower(pattern), name);
  };
  const bool is_asked =
      scope.repositories.empty() || std::ranges::any_of(scope.repositories, matches);
  return is_asked && std::ranges::none_of(scope.exclude, matches);
}

bool are_named(const Scope& scope) {
  if (scope.kind == ScopeKind::repository) return true;
  return scope.kind == ScopeKind::organization && !scope.repositories.empty() &&
         std::ranges::none_of(scope.repositories, is_name_pattern);
}

std::optional<Resources> size_of(const Config& config, std::string_view name) {
  const auto found = find_instance(config, name);
  if (!found) return std::nullopt;
  Resources size = found->profile->size;
  if (found->spelled) {
    size.memory = gib(found->spelled->memory_gib);
    size.vcpus = found->spelled->vcpus;
  }
  return size;
}

std::vector<std::string> labels_of(const Config& config, std::string_view name) {
  const auto found = find_instance(config, name);
  if (!found) return {};
  std::vector<std::string> labels = found->profile->labels;
  for (std::string& label : labels) {
    if (found->spelled && is_pattern_label(label)) label = write_label(label, *found->spelled);
  }
  return labels;
}

}  // namespace mvr::core
