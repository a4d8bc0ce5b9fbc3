// mvrunner action: the archives of actions that jobs use, on a drive for all VMs.
#include <algorithm>
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/meter.h"
#include "cli/output.h"
#include "daemon/action_update.h"
#include "image/action_store.h"
#include "image/action_uses.h"
#include "sys/loop.h"

namespace mvr::cli {
namespace {

using image::ActionUse;
using nlohmann::json;

constexpr std::size_t kShownDigits = 12;

struct Known {
  ActionRef action;
  ActionUse use;
  std::string state;
  std::string why;  // of one that was refused
  std::optional<Bytes> size;
};

Known describe(const ActionRef& action, const ActionUse& use, const image::ActionStore& store,
               const daemon::ActionAttempts& attempts) {
  Known known{action, use, "waiting", "", store.size_of(action)};
  const auto attempt = attempts.find(action);
  if (known.size) {
    known.state = "cached";
  } else if (use.vms < image::kLeastVms) {
    known.state = "seen once";
  } else if (attempt != attempts.end()) {
    known.why = attempt->second.why;
    known.state = known.why.empty() ? "no room" : "refused";
    if (known.why.empty()) known.size = attempt->second.size;
  }
  return known;
}

// The most wanted first.
Result<std::vector<Known>> known_actions(const core::Config& config) {
  TRY_ASSIGN(const image::ActionUses uses, image::read_uses(config.state_dir));
  TRY_ASSIGN(const daemon::ActionAttempts attempts, daemon::read_attempts(config.state_dir));
  std::vector<ActionRef> order = image::wanted_actions(uses, sys::wall_now());
  for (const auto& [action, use] : uses) {
    if (std::ranges::find(order, action) == order.end()) order.push_back(action);
  }
  const image::ActionStore store(config.state_dir);
  std::vector<Known> all;
  all.reserve(order.size());
  for (const ActionRef& action : order) {
    all.push_back(describe(action, uses.at(action), store, attempts));
  }
  return all;
}

json to_json(const Known& known) {
  return {{"repository", known.action.repository},
          {"sha", known.action.sha},
          {"state", known.state},
          {"why", known.why},
          {"size", known.size ? json(known.size->value) : json(nullptr)},
          {"vms", known.use.vms},
          {"last_used", format_iso8601(known.use.last)}};
}

Row to_row(const Known& known) {
  return {known.action.repository,
          known.action.sha.substr(0, kShownDigits),
          known.state,
          known.size ? format_bytes(*known.size) : "-",
          std::to_string(known.use.vms),
          format_iso8601(known.use.last),
          known.why};
}

int list(const Context& context) {
  const auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  const auto all = known_actions(*config);
  if (!all) return report(all.error());
  json objects = json::array();
  std::vector<Row> rows;
  for (const Known& known : *all) {
    objects.push_back(to_json(known));
    rows.push_back(to_row(known));
  }
  if (context.json) {
    std::cout << objects.dump(2) << "\n";
  } else {
    print_table({"ACTION", "COMMIT", "STATE", "SIZE", "VMS", "LAST USED", "WHY"}, rows);
  }
  return exit_ok;
}

int update(const Context& context, bool fetches) {
  const auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  if (fetches && !config->action_cache.enabled) {
    return report(Error{Errc::invalid,
                        "action_cache is off: say `action_cache: on` in " + context.config_path});
  }
  Meter meter;
  const auto done = daemon::update_actions(*config, fetches,
                                           [&meter](const std::string& line) { meter.line(line); });
  if (!done) return report(done.error());
  if (!config->action_cache.enabled) {
    std::cout << "action_cache is off: nothing is kept\n";
    return exit_ok;
  }
  std::cout << done->archives << (done->archives == 1 ? " archive, " : " archives, ")
            << format_bytes(done->size) << "; " << done->fetched << " fetched, "
            << (done->is_new ? "new VMs get another drive" : "the drive stays") << "\n";
  return exit_ok;
}

}  // namespace

void register_action(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("action", "list and update the archives of actions VMs get");
  verb->require_subcommand(1);
  CLI::App* ls = verb->add_subcommand("ls", "list the actions VMs used, and which are cached");
  add_output_option(*ls, context);
  ls->callback([&context, &exit_code] { exit_code = list(context); });
  CLI::App* now = verb->add_subcommand("update", "fetch what VMs used, and make a drive of it");
  now->callback([&context, &exit_code] { exit_code = update(context, true); });
  CLI::App* less = verb->add_subcommand(
      "prune", "remove what is no longer wanted, and all of it where action_cache is off");
  less->callback([&context, &exit_code] { exit_code = update(context, false); });
}

}  // namespace mvr::cli
