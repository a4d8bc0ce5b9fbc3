// One command in a fresh VM: what `run` does, for whoever needs to know something from inside one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/cli.h"

namespace mvr::cli {

// stream 1: standard output, 2: standard error.
using OnOutput = std::function<void(int stream, const std::string& data)>;

struct OneOff {
  std::string profile;  // may be empty where there is only one
  std::vector<std::string> argv;
  OnOutput on_output;
  std::optional<Duration> quiet_limit;  // how long nothing may be heard of it
  std::string image;                    // in place of the profile's, which then need not be
  std::optional<std::string> runner;    // in place of the configured release; "": the image's own
  std::function<void(const std::string& vm)> on_vm;  // what it runs or failed in, as it is known
};

// Uses the running daemon; without one, a daemon of its own for as long as the command takes.
// Returns the command's exit status. Err timed_out beyond the quiet limit: it waits for room, or
// hangs.
Result<int> run_one_off(const Context& context, const core::Config& config, const OneOff& command);

// "github.com" of "https://github.com:8080": what VMs are asked to look up.
std::string host_of(const std::string& url);

}  // namespace mvr::cli
