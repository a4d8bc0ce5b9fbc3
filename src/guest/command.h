// A one-off command as a program to start.
#pragma once

#include "base/result.h"
#include "channel/message.h"
#include "guest/process.h"

namespace mvr::guest {

SpawnSpec command_spec(const channel::Configure& configure, const User& user);
// What a shell would end with when the program cannot be executed: 127 not found, 126 otherwise.
int exit_code_of_failed_start(const Error& error);

}  // namespace mvr::guest
