// mvrunner ps: VMs, and jobs that wait with the reason.
#include <iostream>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/vm_row.h"
#include "cli/waits.h"
#include "sys/loop.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

void print_vms(const json& vms) {
  std::vector<Row> rows;
  for (const auto& vm : vms) rows.push_back(vm_row(vm));
  print_table({"VM", "PROFILE", "PHASE", "AGE", "REPOSITORY", "JOB", "MEMORY", "CPUS"}, rows);
}

void print_waits(const json& waits) {
  if (waits.empty()) return;
  std::vector<Row> rows;
  for (const auto& wait : waits) {
    rows.push_back(
        {std::to_string(wait["jobs"].get<int>()), wait["profile"], wait["scope"], wait["text"]});
  }
  std::cout << "\n";
  print_table({"WAITING", "PROFILE", "SCOPE", "WHY"}, rows);
}

void print_finished(const json& finished) {
  std::vector<Row> rows;
  for (const auto& vm : finished) {
    rows.push_back({vm["vm"], vm["profile"], vm["ended"], vm["scope"], vm["job"], vm["result"],
                    vm["cause"], vm["cause_text"]});
  }
  std::cout << "\n";
  print_table({"ENDED VM", "PROFILE", "ENDED", "SCOPE", "JOB", "RESULT", "CAUSE", "DETAIL"}, rows);
}

void print_draining(const json& status) {
  std::cout << "\nDraining: no new VMs; `mvrunner undrain` ends it.\n";
  if (const auto end = parse_iso8601(status.value("drain_deadline", std::string()))) {
    std::cout << "Jobs that still run are stopped at " << when_text(*end, sys::wall_now()) << ".\n";
  }
}

int ps(const Context& context, bool all) {
  auto status = ask(context, {{"op", "ps"}, {"all", all}});
  if (!status) return report(status.error());
  if (context.json) {
    status->erase("ok");
    std::cout << status->dump(2) << "\n";
    return exit_ok;
  }
  print_vms((*status)["vms"]);
  print_waits((*status)["waits"]);
  if (all) print_finished((*status)["finished"]);
  if ((*status)["draining"] == true) print_draining(*status);
  return exit_ok;
}

}  // namespace

void register_ps(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("ps", "list the VMs, and the jobs that wait");
  auto all = std::make_shared<bool>(false);
  verb->add_flag("-a,--all", *all, "also VMs that have ended, and how");
  add_output_option(*verb, context);
  verb->callback([&context, &exit_code, all] { exit_code = ps(context, *all); });
}

}  // namespace mvr::cli
