// mvrunner events: what the daemon logs, as JSON, one object a line.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/client.h"

namespace mvr::cli {
namespace {

int events(const Context& context, bool follow) {
  auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  auto client = Client::connect(*config);
  if (!client) return report(client.error());
  auto sent = client->send({{"op", "events"}, {"follow", follow}});
  if (!sent) return report(sent.error());
  for (;;) {
    auto line = client->receive();
    if (!line) return report(line.error());
    if (!*line) return exit_ok;
    // What a guest or GitHub has named cannot steer a terminal: JSON escapes control characters.
    std::cout << (*line)->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)
              << std::endl;
  }
}

}  // namespace

void register_events(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("events", "what the daemon logs, as JSON, one object a line");
  auto follow = std::make_shared<bool>(false);
  verb->add_flag("-f,--follow", *follow, "go on with what happens");
  verb->callback([&context, &exit_code, follow] { exit_code = events(context, *follow); });
}

}  // namespace mvr::cli
