#include "mixes.h"

#include <algorithm>
#include <array>

#include "../prng.h"

namespace mvr::bench {
namespace {

constexpr std::uint64_t kRepositories = 20;
constexpr std::uint64_t kNames = 6;  // of jobs per repository
constexpr std::int64_t kBootMs = 15'000;

class Random : public Prng {
 public:
  using Prng::Prng;
  // A product of many factors is near to log-normal; in whole per mille, so that it is the same
  // everywhere.
  std::int64_t spread(std::int64_t value, int factors, std::uint64_t least, std::uint64_t most) {
    for (int n = 0; n < factors; ++n) {
      value = value * static_cast<std::int64_t>(least + below(most - least + 1)) / 1000;
    }
    return value;
  }
};

// Which profile a job has, in parts of 100.
using Shares = std::array<std::uint64_t, 5>;

class Maker {
 public:
  Maker(std::uint64_t seed, Shares shares) : random_(seed), shares_(shares) {
    for (auto& repository : typical_) {
      for (Typical& each : repository) {
        each.profile = profile();
        each.run_ms =
            std::clamp<std::int64_t>(random_.spread(120'000, 6, 500, 2000), 5'000, 3'600'000);
      }
    }
  }

  core::ReplayJob job(std::int64_t created_ms) {
    // Some repositories are busier than others.
    const std::uint64_t repository =
        std::min(random_.below(kRepositories), random_.below(kRepositories));
    const std::uint64_t name = random_.below(kNames);
    const Typical& typical = typical_.at(repository).at(name);
    core::ReplayJob made;
    made.created = Instant{Duration{created_ms}};
    made.repository = "octo/repository-" + std::to_string(repository);
    made.workflow = "ci";
    made.name = "job " + std::to_string(name);
    made.profile = mix_config().profiles.at(typical.profile).name;
    made.run =
        Duration{std::max<std::int64_t>(random_.spread(typical.run_ms, 4, 750, 1300), 1'000)};
    return made;
  }
  Random& random() { return random_; }

 private:
  struct Typical {
    std::size_t profile = 0;
    std::int64_t run_ms = 0;
  };
  std::size_t profile() {
    std::uint64_t part = random_.below(100);
    std::size_t n = 0;
    while (part >= shares_.at(n)) part -= shares_.at(n++);
    return n;
  }

  Random random_;
  Shares shares_;
  std::array<std::array<Typical, kNames>, kRepositories> typical_{};
};

// The part of the host a job takes, times its length.
double work_ms(const core::Config& config, const core::ReplayJob& job) {
  const core::Resources& size = config.profile(job.profile)->size;
  const double memory =
      static_cast<double>(size.memory.value) / static_cast<double>(mix_capacity().memory.value);
  const double vcpus = static_cast<double>(size.vcpus) / mix_capacity().vcpus;
  return std::max(memory, vcpus) * static_cast<double>(job.run.count() + kBootMs);
}

// Spreads the jobs over so long a time that they are `load` per cent of the host.
void spread_evenly(Mix& mix, std::uint64_t load, Random& random) {
  double work = 0;
  for (const core::ReplayJob& job : mix.jobs) work += work_ms(mix.config, job);
  const auto span = static_cast<std::uint64_t>(work * 100 / static_cast<double>(load));
  for (core::ReplayJob& job : mix.jobs) {
    job.created = Instant{Duration{static_cast<std::int64_t>(random.below(span)) + 1'000'000}};
  }
  std::ranges::stable_sort(mix.jobs, {}, &core::ReplayJob::created);
}

Mix make(std::string name, std::uint64_t seed, Shares shares, std::size_t jobs,
         std::uint64_t load) {
  Mix mix{std::move(name), mix_config(), mix_capacity(), {}};
  Maker maker(seed, shares);
  for (std::size_t n = 0; n < jobs; ++n) mix.jobs.push_back(maker.job(0));
  spread_evenly(mix, load, maker.random());
  return mix;
}

}  // namespace

core::Config mix_config() {
  core::Config config;
  config.host.id = "bench";
  const auto add = [&config](const char* name, std::uint64_t memory, std::uint32_t vcpus) {
    core::Profile profile;
    profile.name = name;
    profile.labels = {name};
    profile.size = core::Resources{gib(memory), vcpus, gib(20)};
    profile.limits =
        core::Limits{std::chrono::minutes(2), std::chrono::minutes(5), std::chrono::hours(6)};
    config.profiles.push_back(profile);
  };
  add("tiny", 2, 1);
  add("small", 4, 2);
  add("medium", 8, 4);
  add("large", 16, 8);
  add("huge", 64, 16);
  core::Scope scope;
  scope.kind = core::ScopeKind::organization;
  scope.owner = "octo";
  config.github.scopes = {scope};
  return config;
}

core::Capacity mix_capacity() { return core::Capacity{gib(256), 64, gib(16'000), 500}; }

Mix steady(std::size_t jobs, std::uint64_t load) {
  return make("steady " + std::to_string(load) + " %", 1, {30, 30, 25, 12, 3}, jobs, load);
}

Mix morning_burst(std::size_t jobs) {
  constexpr std::uint64_t kBurstMs = 2 * 3'600'000;
  Mix mix = make("morning burst", 2, {30, 30, 25, 12, 3}, jobs, 50);
  Random random(3);
  const Instant middle = mix.jobs[jobs / 3].created;
  for (std::size_t n = 0; n < jobs; n += 3) {
    mix.jobs[n].created = middle + Duration{static_cast<std::int64_t>(random.below(kBurstMs))};
  }
  std::ranges::stable_sort(mix.jobs, {}, &core::ReplayJob::created);
  return mix;
}

Mix few_huge(std::size_t jobs) {
  Mix mix = make("few huge, many small", 4, {60, 40, 0, 0, 0}, jobs, 85);
  Random random(5);
  for (core::ReplayJob& job : mix.jobs) {
    if (random.below(50) != 0) continue;
    job.profile = "huge";
    job.name = "huge";
  }
  Random times(6);
  spread_evenly(mix, 85, times);
  return mix;
}

}  // namespace mvr::bench
