// mvrunner simulate: what another host or configuration would have made of past jobs.
#include <cmath>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "core/names.h"
#include "core/replay.h"
#include "history/past_jobs.h"
#include "sys/files.h"
#include "sys/host.h"
#include "sys/loop.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

constexpr std::uint32_t kMostVms = 1000;

struct Options {
  std::string history;
  std::string trace;
  std::string memory;
  std::string cpus;
  std::string disk;
  std::string max_vms;
  std::string config;  // instead of the one in effect
  [[nodiscard]] bool has_change() const {
    return !(memory + cpus + disk + max_vms + config).empty();
  }
};

struct Setup {
  core::Config config;
  core::Capacity capacity;
  core::Replayed result;
};

// What the options say of the host stands for a whole host, as in the configuration's `host`.
Result<void> apply(const Options& options, core::HostSettings& host) {
  const auto number = [](const std::string& text, std::uint32_t most) -> Result<std::uint32_t> {
    TRY_ASSIGN(const std::uint64_t value, parse_u64(text));
    if (value == 0 || value > most) return fail(Errc::invalid, "1 to " + std::to_string(most));
    return static_cast<std::uint32_t>(value);
  };
  if (!options.memory.empty()) {
    TRY_ASSIGN(host.memory, context(parse_bytes(options.memory), "--memory"));
  }
  if (!options.disk.empty()) {
    TRY_ASSIGN(host.disk, context(parse_bytes(options.disk), "--disk"));
  }
  if (!options.cpus.empty()) {
    constexpr std::uint32_t kMostCpus = 65'536;
    TRY_ASSIGN(host.cpus, context(number(options.cpus, kMostCpus), "--cpus"));
  }
  if (!options.max_vms.empty()) {
    TRY_ASSIGN(host.max_vms, context(number(options.max_vms, kMostVms), "--max-vms"));
  }
  return {};
}

// Free space, with what VMs hold now. A size that was configured is taken at its word: it may be
// that of another machine.
Result<Bytes> disk_for(const core::Config& config) {
  if (config.host.disk) return *config.host.disk;
  TRY_ASSIGN(const sys::DiskSpace disk,
             context(sys::disk_space(config.state_dir), "the disk cannot be measured, use --disk"));
  Bytes held;
  for (core::Slot slot = 0; slot < config.host.max_vms; ++slot) {
    held += sys::allocated_size(core::slot_names(config, slot).scratch);
  }
  return disk.free + held;
}

Result<Setup> set_up(core::Config config) {
  TRY_ASSIGN(const sys::HostFacts facts, sys::host_facts());
  TRY_ASSIGN(const Bytes disk, disk_for(config));
  const core::HostSettings& host = config.host;
  core::Capacity capacity;
  capacity.memory = host.memory.value_or(facts.memory) - host.reserve_memory;
  capacity.vcpus = static_cast<std::uint32_t>(host.cpus.value_or(facts.cpus) * host.cpu_overcommit);
  capacity.disk = disk - host.reserve_disk;
  capacity.vms = host.max_vms;
  return Setup{std::move(config), capacity, {}};
}

struct Past {
  std::vector<core::ReplayJob> jobs;
  std::optional<Duration> boot;  // as measured here
};

Result<Past> read_past(const Options& options, const core::Config& config) {
  const std::string file = config.state_dir + "/history.sqlite";
  constexpr std::size_t kAll = history::History::kMaxEntries;
  if (!options.trace.empty()) {
    std::ifstream in(options.trace, std::ios::binary);
    if (!in) return fail(Errc::not_found, options.trace + ": cannot be opened");
    Past past;
    TRY_ASSIGN(past.jobs, history::read_trace(in, options.trace));
    // A host that has no history yet can still replay a trace.
    const auto known = history::History::open_to_read(file);
    const auto entries = known ? (*known)->recent(kAll) : std::vector<history::FinishedJob>{};
    if (entries) past.boot = history::typical_boot(*entries);
    return past;
  }
  TRY_ASSIGN(const Duration span, context(parse_duration(options.history), "--history"));
  if (!sys::exists(file)) {
    return fail(Errc::not_found, file + ": no job has ended here yet; use --trace");
  }
  TRY_ASSIGN(const auto known, history::History::open_to_read(file));
  const WallTime now = sys::wall_now();
  TRY_ASSIGN(const auto entries, known->between(now - span, now, kAll));
  return Past{history::past_jobs(entries), history::typical_boot(entries)};
}

std::string percent(double part) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << part * 100 << " %";
  return text.str();
}

json to_json(const Setup& setup) {
  const core::WaitSummary waits = core::summary(setup.result.waits);
  return {{"capacity",
           {{"memory", setup.capacity.memory.value},
            {"vcpus", setup.capacity.vcpus},
            {"disk", setup.capacity.disk.value},
            {"vms", setup.capacity.vms}}},
          {"never_fit", setup.result.too_big},
          {"no_profile", setup.result.unmatched},
          {"stuck", setup.result.stuck},
          {"cut", setup.result.cut},
          {"wait_ms",
           {{"mean", waits.mean.count()},
            {"p50", waits.p50.count()},
            {"p95", waits.p95.count()},
            {"p99", waits.p99.count()},
            {"max", waits.most.count()}}},
          {"memory_used", setup.result.memory_used},
          {"vcpus_used", setup.result.vcpus_used},
          {"launches", setup.result.launches},
          {"makespan_ms", setup.result.makespan.count()}};
}

void print(const std::vector<Setup>& setups, std::size_t jobs, Duration boot) {
  std::vector<Row> rows;
  const auto add = [&](const std::string& name, const auto& value) {
    Row row{name};
    for (const Setup& setup : setups) row.push_back(value(setup));
    rows.push_back(std::move(row));
  };
  const auto add_wait = [&](const std::string& name, Duration core::WaitSummary::*part) {
    add(name, [part](const Setup& setup) {
      return format_duration(core::summary(setup.result.waits).*part);
    });
  };
  add("memory", [](const Setup& setup) { return format_bytes(setup.capacity.memory); });
  add("vCPUs", [](const Setup& setup) { return std::to_string(setup.capacity.vcpus); });
  add("disk", [](const Setup& setup) { return format_bytes(setup.capacity.disk); });
  add("VMs at once", [](const Setup& setup) { return std::to_string(setup.capacity.vms); });
  add("jobs", [jobs](const Setup&) { return std::to_string(jobs); });
  add("never fit", [](const Setup& setup) { return std::to_string(setup.result.too_big); });
  add("no profile", [](const Setup& setup) { return std::to_string(setup.result.unmatched); });
  add("stuck", [](const Setup& setup) { return std::to_string(setup.result.stuck); });
  add_wait("wait, mean", &core::WaitSummary::mean);
  add_wait("wait, p50", &core::WaitSummary::p50);
  add_wait("wait, p95", &core::WaitSummary::p95);
  add_wait("wait, p99", &core::WaitSummary::p99);
  add_wait("wait, max", &core::WaitSummary::most);
  add("memory used", [](const Setup& setup) { return percent(setup.result.memory_used); });
  add("vCPUs used", [](const Setup& setup) { return percent(setup.result.vcpus_used); });
  add("launches", [](const Setup& setup) { return std::to_string(setup.result.launches); });
  Row header{"WHAT", "CURRENT"};
  if (setups.size() > 1) header.emplace_back("CHANGED");
  print_table(header, rows);
  std::cout << "\nA VM boots in " << format_duration(boot) << ".\n";
}

Result<std::vector<Setup>> set_ups(const Context& context, const Options& options,
                                   core::Config current) {
  core::Config changed = current;
  if (!options.config.empty()) {
    Context other = context;
    other.config_path = options.config;
    TRY_ASSIGN(changed, load_config(other, true));
  }
  TRY(apply(options, changed.host));
  std::vector<Setup> setups;
  TRY_ASSIGN(Setup now, set_up(std::move(current)));
  setups.push_back(std::move(now));
  if (!options.has_change()) return setups;
  TRY_ASSIGN(Setup then, set_up(std::move(changed)));
  setups.push_back(std::move(then));
  return setups;
}

int simulate(const Context& context, const Options& options) {
  auto config = load_config(context, true);
  if (!config) return report_config(config.error());
  const auto past = read_past(options, *config);
  if (!past) return report(past.error());
  auto setups = set_ups(context, options, std::move(*config));
  if (!setups) return report(setups.error());
  core::ReplaySettings settings;
  settings.boot = past->boot.value_or(settings.boot);
  for (Setup& setup : *setups) {
    settings.poll = setup.config.github.poll_interval;
    setup.result = core::replay(setup.config, setup.capacity, past->jobs, settings);
  }
  if (!context.json) {
    print(*setups, past->jobs.size(), settings.boot);
    return exit_ok;
  }
  json answer{{"jobs", past->jobs.size()}, {"boot_ms", settings.boot.count()}};
  answer["current"] = to_json(setups->front());
  if (setups->size() > 1) answer["changed"] = to_json(setups->back());
  std::cout << answer.dump(2) << "\n";
  return exit_ok;
}

}  // namespace

void register_simulate(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb =
      app.add_subcommand("simulate", "replay past jobs on this host and on one that differs");
  auto options = std::make_shared<Options>();
  CLI::Option_group* from = verb->add_option_group("jobs", "where the jobs come from");
  from->add_option("--history", options->history, "what ran here in this time: 30d");
  from->add_option("--trace", options->trace, "a file with one JSON object a line");
  from->require_option(1);
  verb->add_option("--memory", options->memory, "of a changed host: 128GiB");
  verb->add_option("--cpus", options->cpus, "of a changed host");
  verb->add_option("--disk", options->disk, "of a changed host: 1TiB");
  verb->add_option("--max-vms", options->max_vms, "of a changed host");
  verb->add_option("--with", options->config, "a configuration instead of the one in effect");
  add_output_option(*verb, context);
  verb->callback([&context, &exit_code, options] { exit_code = simulate(context, *options); });
}

}  // namespace mvr::cli
