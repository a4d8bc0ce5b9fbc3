// mvrunner explain: why queued jobs wait, and what is known of one job or profile.
#include <iostream>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"
#include "cli/waits.h"
#include "sys/loop.h"

namespace mvr::cli {
namespace {

int explain(const Context& context, const std::string& wanted) {
  auto status = ask(context, {{"op", "ps"}, {"about", wanted}});
  if (!status) return report(status.error());
  if (is_unknown(*status, wanted)) {
    return report(
        Error{Errc::not_found, "no profile and no queued or running job is called '" +
                                   printable(wanted, 100) +
                                   "': it may have ended (`mvrunner ps -a`), or no scope of the "
                                   "configuration lists it"});
  }
  if (context.json) {
    std::cout << about(*status, wanted).dump(2) << "\n";
  } else {
    std::cout << explain_text(*status, wanted, sys::wall_now());
  }
  return exit_ok;
}

}  // namespace

void register_explain(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("explain", "say why queued jobs wait");
  auto wanted = std::make_shared<std::string>();
  verb->add_option("what", *wanted, "only this: a profile, or a job by its name or id");
  add_output_option(*verb, context);
  verb->callback([&context, &exit_code, wanted] { exit_code = explain(context, *wanted); });
}

}  // namespace mvr::cli
