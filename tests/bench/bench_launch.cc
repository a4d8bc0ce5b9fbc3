// What a VM costs the host before its VMM runs, and after it ended: by the daemon's own code
// (daemon::LiveVm), with whatever VMM the configuration names, which only has to stay until it is
// killed. Prints one JSON object, times in milliseconds.
//
//   bench_launch --config FILE [--runs N] [--together N] [--cycles N]
//
// The steps are those between the daemon's fail points, of which this program has its own.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "config/load.h"
#include "daemon/fail_point.h"
#include "daemon/journal.h"
#include "daemon/vm.h"
#include "sys/files.h"
#include "sys/nft.h"
#include "sys/process.h"

namespace mvr::daemon {
namespace {

using Clock = std::chrono::steady_clock;

struct Pass {
  std::string name;
  Clock::time_point at;
};
std::vector<Pass> passed;  // since the last clear

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

const bool kFailPointsOn = true;
void pass_fail_point(const char* name, std::string_view /*detail*/) {
  passed.push_back({name, Clock::now()});
}

namespace {

using Json = nlohmann::json;
constexpr core::Slot kMostSlots = 64;

struct Options {
  std::string config;
  std::uint64_t runs = 50;
  std::uint64_t together = 50;
  std::uint64_t cycles = 1000;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// What there is of things that a VM takes and has to give back.
std::map<std::string, std::int64_t> count_all(const core::Config& config, const Network& network) {
  std::map<std::string, std::int64_t> counts;
  const auto entries = [](const std::string& directory) -> std::int64_t {
    const auto names = sys::list_directory(directory);
    return names ? static_cast<std::int64_t>(names->size()) : 0;
  };
  const core::HostNames names = core::host_names(config);
  counts["descriptors"] = entries("/proc/self/fd");
  counts["directories"] = entries(names.vms_directory);
  const auto children =
      sys::read_file("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  counts["processes"] = children ? static_cast<std::int64_t>(split(*children, ' ').size()) - 1 : 0;
  const auto mounts = sys::read_file("/proc/self/mountinfo", 16U << 20U);
  counts["mounts"] = mounts ? std::count(mounts->begin(), mounts->end(), '\n') : 0;
  for (const std::string& table : {names.nft_table, names.nft_table + "_rates"}) {
    const auto rules = sys::nft_list(&network.netns(), "list table inet " + table);
    counts["firewall"] += rules ? std::count(rules->begin(), rules->end(), '"') : -1;
  }
  sys::RunOptions links;
  links.argv = {"ip", "-n", names.netns, "-o", "link"};
  if (const auto list = sys::run_ok(links)) {
    counts["interfaces"] = std::count(list->begin(), list->end(), '\n');
  }
  return counts;
}

class Host {
 public:
  static Result<std::unique_ptr<Host>> open(const std::string& path) {
    std::unique_ptr<Host> host(new Host);
    config::Loaded loaded = config::load(path, "bench");
    if (!loaded.problems.empty()) return fail(Errc::invalid, loaded.problems[0].to_text());
    host->config_ = std::move(loaded.config);
    TRY_ASSIGN(host->loop_, sys::Loop::create());
    TRY_ASSIGN(host->room_, MachineRoom::open(host->config_));
    TRY_ASSIGN(Network network, Network::up(host->config_, {}));
    host->network_ = std::make_unique<Network>(std::move(network));
    TRY(host->room_->kernel(host->profile()));
    TRY(host->room_->scratch_template(host->profile().size.disk));
    return host;
  }

  Result<void> launch(core::Slot slot) {
    const core::Profile& profile = this->profile();
    core::Launch launch;
    launch.slot = slot;
    launch.vm = "bench-" + std::to_string(slot);
    launch.profile = profile.name;
    launch.size = profile.size;
    launch.egress = profile.egress;
    VmHooks hooks;
    hooks.report = [this](const core::Event& event) {
      if (const auto* exited = std::get_if<core::VmExited>(&event)) exited_.push_back(exited->slot);
    };
    core::Vm record;
    record.slot = slot;
    record.name = launch.vm;
    record.profile = launch.profile;
    const VmContext context{*loop_, config_, *room_, *network_, std::move(hooks)};
    auto vm = std::make_unique<LiveVm>(context, slot, launch.vm, launch.profile);
    TRY(vm->save(record));
    TRY(vm->launch(launch));
    vms_[slot] = std::move(vm);
    return {};
  }

  Result<void> remove(core::Slot slot) {
    vms_.erase(slot);
    return remove_vm(config_, room_->cgroups(), *network_, slot);
  }

  Result<void> kill(core::Slot slot) {
    TRY(vms_.at(slot)->kill());
    while (std::ranges::find(exited_, slot) == exited_.end()) TRY(loop_->run_once(Duration(1'000)));
    std::erase(exited_, slot);
    return {};
  }

  [[nodiscard]] std::map<std::string, std::int64_t> count() const {
    return count_all(config_, *network_);
  }
  Result<void> close() {
    TRY(Network::down(config_));
    return room_->cgroups() ? room_->cgroups()->remove_self() : Result<void>();
  }

 private:
  Host() = default;
  [[nodiscard]] const core::Profile& profile() const { return config_.profiles.front(); }

  core::Config config_;
  std::unique_ptr<sys::Loop> loop_;
  std::unique_ptr<MachineRoom> room_;
  std::unique_ptr<Network> network_;
  std::vector<core::Slot> exited_;
  std::map<core::Slot, std::unique_ptr<LiveVm>> vms_;
};

// Each step's median, in the order in which they come.
class Steps {
 public:
  void add(Clock::time_point start) {
    for (const Pass& pass : passed) {
      if (!times_.contains(pass.name)) order_.push_back(pass.name);
      times_[pass.name].push_back(milliseconds(pass.at - start));
      start = pass.at;
    }
  }
  [[nodiscard]] Json medians() const {
    Json list = Json::array();
    for (const std::string& name : order_)
      list.push_back({{"until", name}, {"ms", median(times_.at(name))}});
    return list;
  }

 private:
  std::vector<std::string> order_;
  std::map<std::string, std::vector<double>> times_;
};

template <class Work>
Result<double> timed(Work work, Steps* steps = nullptr) {
  passed.clear();
  const auto start = Clock::now();
  TRY(work());
  const double took = milliseconds(Clock::now() - start);
  if (steps != nullptr) steps->add(start);
  return took;
}

Result<void> one_by_one(Host& host, std::uint64_t runs, Json& report) {
  std::vector<double> launches;
  std::vector<double> removals;
  Steps launch_steps;
  Steps remove_steps;
  for (std::uint64_t i = 0; i < runs; ++i) {
    TRY_ASSIGN(const double launched, timed([&] { return host.launch(0); }, &launch_steps));
    TRY(host.kill(0));
    TRY_ASSIGN(const double removed, timed([&] { return host.remove(0); }, &remove_steps));
    launches.push_back(launched);
    removals.push_back(removed);
  }
  report["launch_ms"] = launches;
  report["launch_steps"] = launch_steps.medians();
  report["remove_ms"] = removals;
  report["remove_steps"] = remove_steps.medians();
  return {};
}

Result<void> at_once(Host& host, std::uint64_t together, Json& report) {
  std::vector<double> launches;
  std::vector<double> removals;
  const auto start = Clock::now();
  for (core::Slot slot = 0; slot < together; ++slot) {
    TRY_ASSIGN(const double launched, timed([&] { return host.launch(slot); }));
    launches.push_back(launched);
  }
  report["together_all_ms"] = milliseconds(Clock::now() - start);
  for (core::Slot slot = 0; slot < together; ++slot) {
    TRY(host.kill(slot));
    TRY_ASSIGN(const double removed, timed([&] { return host.remove(slot); }));
    removals.push_back(removed);
  }
  report["together_launch_ms"] = launches;
  report["together_remove_ms"] = removals;
  return {};
}

Result<void> cycle(Host& host, std::uint64_t cycles, Json& report) {
  const auto before = host.count();
  for (std::uint64_t i = 0; i < cycles; ++i) {
    const auto slot = static_cast<core::Slot>(i % kMostSlots);
    TRY(host.launch(slot));
    TRY(host.kill(slot));
    TRY(host.remove(slot));
  }
  for (const auto& [what, count] : host.count()) report["leaks"][what] = count - before.at(what);
  return {};
}

Result<void> run(const Options& options, Json& report) {
  TRY(set_log_level("error"));
  TRY_ASSIGN(const auto host, Host::open(options.config));
  TRY(one_by_one(*host, options.runs, report));
  TRY(at_once(*host, std::min<std::uint64_t>(options.together, kMostSlots), report));
  TRY(cycle(*host, options.cycles, report));
  return host->close();
}

Result<Options> read_options(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::uint64_t*> numbers{
      {"--runs", &options.runs}, {"--together", &options.together}, {"--cycles", &options.cycles}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--config") {
      options.config = argv[i + 1];
    } else if (const auto number = numbers.find(option); number != numbers.end()) {
      TRY_ASSIGN(*number->second, parse_u64(argv[i + 1])
                                      ? Result<std::uint64_t>(*parse_u64(argv[i + 1]))
                                      : fail(Errc::invalid, option + " takes a number"));
    } else {
      return fail(Errc::invalid, "unknown option " + option);
    }
  }
  if (options.config.empty()) return fail(Errc::invalid, "--config is missing");
  return options;
}

}  // namespace
}  // namespace mvr::daemon

int main(int argc, char** argv) {
  nlohmann::json report;
  const auto options = mvr::daemon::read_options(argc, argv);
  const auto done = options ? mvr::daemon::run(*options, report) : mvr::fail(options.error());
  if (!done) {
    std::cerr << "bench_launch: " << done.error().what << "\n";
    return 1;
  }
  std::cout << report.dump() << "\n";
  return 0;
}
