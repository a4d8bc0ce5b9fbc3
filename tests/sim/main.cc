// test_sim [--seeds N] [--seed S] [--ticks T]: N seeds from S on; a failing seed replays with
// `--seeds 1 --seed S`.
#include <cstdlib>
#include <iostream>
#include <span>
#include <string_view>

#include "base/text.h"
#include "simulation.h"

namespace {

struct Options {
  std::uint64_t seeds = 300;
  std::uint64_t seed = 1;
  std::uint64_t ticks = 2'000;
};

mvr::Result<Options> parse_options(std::span<char*> words) {
  Options options;
  for (std::size_t n = 1; n + 1 < words.size(); n += 2) {
    const std::string_view name = words[n];
    TRY_ASSIGN(const std::uint64_t value, mvr::parse_u64(words[n + 1]));
    if (name == "--seeds") {
      options.seeds = value;
    } else if (name == "--seed") {
      options.seed = value;
    } else if (name == "--ticks") {
      options.ticks = value;
    } else {
      return mvr::fail(mvr::Errc::invalid, "unknown option: " + std::string(name));
    }
  }
  if (words.size() % 2 == 0) return mvr::fail(mvr::Errc::invalid, "an option lacks its value");
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_options({argv, static_cast<std::size_t>(argc)});
  if (!options) {
    std::cerr << options.error().what << "\n";
    return 2;
  }
  std::uint64_t launches = 0;
  for (std::uint64_t n = 0; n < options->seeds; ++n) {
    mvr::sim::Simulation simulation(options->seed + n);
    if (!simulation.run(static_cast<std::uint32_t>(options->ticks)).empty()) {
      std::cerr << simulation.report();
      return EXIT_FAILURE;
    }
    launches += simulation.launches();
  }
  std::cout << options->seeds << " seeds, " << launches << " VMs\n";
  return EXIT_SUCCESS;
}
