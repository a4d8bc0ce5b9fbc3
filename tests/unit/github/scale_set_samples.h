// Answers of the service behind runner scale sets, for a ScriptedServer.
#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"

namespace mvr::test {

// A JWT that nobody signed; 0: without an end.
std::string jwt(std::int64_t exp, const std::string& name = "x");
std::int64_t in_seconds(std::int64_t seconds);  // from now, since the epoch

std::string connection_json(const std::string& url, const std::string& token);
std::string set_json(std::int64_t id, const std::string& name, const std::string& labels);
std::string statistics_json(int assigned, int running = 0, int available = 0);
std::string session_json(const std::string& queue, const std::string& token,
                         const std::string& statistics);
// One entry of a message; more fields may follow the usual ones: ", \"runnerName\": \"r\"".
std::string entry_json(const std::string& type, std::int64_t request, const std::string& job,
                       const std::string& more = {});
// `statistics`: "null" for none.
std::string message_json(std::int64_t id, const std::string& entries,
                         const std::string& statistics);
std::string fault_json(const std::string& type, const std::string& message = "no");

}  // namespace mvr::test
