// Answers in the shape GitHub sends them, with the nested objects and fields we skip.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mvr::test {

extern const std::string_view kRunsPage;          // runs 9000000002 and 9000000001
extern const std::string_view kJobsPage;          // one waiting job of nine: 501
extern const std::string_view kRunnersPage;       // an idle, a busy one
extern const std::string_view kRepositoriesPage;  // acme/app, and two that cannot run jobs
extern const std::string_view kGroupsPage;        // Default = 1, builders = 7
extern const std::string_view kJitAnswer;
extern const std::string_view kInstallation;  // id 77
extern const std::string_view
    kAccessToken;  // until 2026-11-20T11:00:00Z         // runner 23, "mv-h1-00c0ffee"

// A job without a runner.
std::string job_json(std::int64_t id, std::string_view created, std::string_view label,
                     std::string_view status = "queued");
std::string jobs_json(std::string_view jobs);
std::string runs_json(std::string_view ids);  // "1,2,3"

}  // namespace mvr::test
