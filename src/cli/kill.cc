// mvrunner kill: end a VM now, job or not.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/client.h"

namespace mvr::cli {

void register_kill(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("kill", "end a VM now; its job fails at GitHub");
  auto vm = std::make_shared<std::string>();
  verb->add_option("vm", *vm, "name or slot number, as `mvrunner ps` shows them")->required();
  verb->callback([&context, &exit_code, vm] {
    auto answer = ask(context, {{"op", "kill"}, {"vm", *vm}});
    if (!answer) {
      exit_code = report(answer.error());
      return;
    }
    std::cout << "ending " << (*answer)["vm"].get<std::string>() << "\n";
  });
}

}  // namespace mvr::cli
