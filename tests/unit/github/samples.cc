#include "samples.h"

namespace mvr::test {

const std::string_view kRunsPage = R"({
  "total_count": 2,
  "workflow_runs": [
    {"id": 9000000002, "name": "CI", "node_id": "WFR_kw", "head_branch": "main", "head_sha": "ac3f",
     "path": ".github/workflows/ci.yml", "display_title": "Fix \u00e4 \"thing\"", "run_number": 8,
     "event": "push", "status": "queued", "conclusion": null, "workflow_id": 77,
     "url": "https://api.github.com/repos/acme/app/actions/runs/9000000002",
     "pull_requests": [], "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-20T10:00:01Z",
     "actor": {"login": "octocat", "id": 1, "site_admin": false},
     "run_attempt": 1, "referenced_workflows": [{"path": "x", "sha": "y", "id": 5}],
     "head_commit": {"id": "ac3f", "message": "Fix", "author": {"name": "O", "email": "o@x"}},
     "repository": {"id": 217723378, "full_name": "acme/app", "owner": {"login": "acme", "id": 2},
                    "private": true, "fork": false, "topics": ["a", "b"]},
     "head_repository": {"id": 217723378, "full_name": "acme/app"}},
    {"id": 9000000001, "name": null, "status": "queued", "conclusion": null, "score": 1.5e3,
     "repository": {"id": 217723378, "workflow_runs": [{"id": 3}]}, "run_attempt": 2}
  ]
})";

const std::string_view kJobsPage = R"json({
  "total_count": 9,
  "jobs": [
    {"id": 501, "run_id": 9000000001, "workflow_name": "CI", "head_branch": "main",
     "run_url": "https://api.github.com/x", "run_attempt": 1, "node_id": "CR_kw", "head_sha": "ac3f",
     "url": "u", "html_url": "h", "status": "queued", "conclusion": null,
     "created_at": "2026-11-20T02:00:00.5-08:00", "started_at": "2026-11-20T10:00:00Z",
     "completed_at": null, "name": "build (linux, 4)",
                       "steps"
    : [ {"name" : "Set up", "status" : "queued", "number" : 1, "labels" : ["no"]} ],
                       "check_run_url" : "c",
                       "labels" : [ "Self-Hosted", "mv-4c8g" ],
                       "runner_id" : 0,
                       "runner_name" : "",
                       "runner_group_id" : null,
                       "runner_group_name" : null
},
    {"id": 502, "run_id": 9000000001, "status": "in_progress", "labels": ["mv-4c8g"],
     "created_at": "2026-11-20T10:00:00Z", "runner_id": 5, "runner_name": "other"},
    {"id": 503, "run_id": 9000000001, "status": "waiting", "labels": ["mv-4c8g"],
     "created_at": "2026-11-20T10:00:00Z", "runner_id": null, "runner_name": null},
    {"id": 504, "run_id": 9000000001, "status": "pending", "labels": ["mv-4c8g"],
     "created_at": "2026-11-20T10:00:00Z"},
    {"id": 505, "run_id": 9000000001, "status": "requested", "labels": ["mv-4c8g"]},
    {"id": 506, "run_id": 9000000001, "status": "queued", "labels": [],
     "created_at": "2026-11-20T10:00:00Z", "runner_id": null, "runner_name": null},
    {"id": 507, "run_id": 9000000001, "status": "queued", "labels": ["mv-4c8g"],
     "created_at": "2026-11-20T10:00:00Z", "runner_id": 9, "runner_name": ""},
    {"id": 508, "run_id": 9000000001, "status": "queued", "labels": ["mv-4c8g"],
     "created_at": "2026-11-20T10:00:00Z", "runner_id": 0, "runner_name": "taken"},
    {"id": 509, "run_id": 9000000001, "status": "completed", "conclusion": "success",
     "labels": ["mv-4c8g"], "created_at": "2026-11-20T10:00:00Z", "runner_id": 5}
  ]
})json";

const std::string_view kRunnersPage = R"({
  "total_count": 2,
  "runners": [
    {"id": 23, "name": "mv-h1-00c0ffee", "os": "linux", "status": "online", "busy": false,
     "ephemeral": true, "labels": [{"id": 5, "name": "mv-4c8g", "type": "custom"}]},
    {"id": 24, "name": "someone-else", "os": "macos", "status": "offline", "busy": true,
     "runner_group_id": 1, "labels": []}
  ]
})";

const std::string_view kRepositoriesPage = R"([
  {"id": 1, "full_name": "acme/app", "name": "app", "private": true, "archived": false,
   "disabled": false, "owner": {"login": "acme", "full_name": "no/no"}, "permissions": {"admin": true}},
  {"id": 2, "full_name": "acme/old", "archived": true, "disabled": false},
  {"id": 3, "full_name": "acme/off", "archived": false, "disabled": true}
])";

const std::string_view kGroupsPage = R"({
  "total_count": 2,
  "runner_groups": [
    {"id": 1, "name": "Default", "visibility": "all", "default": true, "inherited": false,
     "allows_public_repositories": false, "selected_workflows": []},
    {"id": 7, "name": "builders", "visibility": "selected", "default": false}
  ]
})";

const std::string_view kJitAnswer = R"({
  "runner": {"id": 23, "name": "mv-h1-00c0ffee", "os": "unknown", "status": "offline", "busy": false,
             "labels": [{"id": 5, "name": "mv-4c8g", "type": "custom"}], "runner_group_id": 1},
  "encoded_jit_config": "eyIucnVubmVyIjoiZXlKOSJ9"
})";

const std::string_view kInstallation = R"({
  "id": 77, "account": {"login": "acme", "id": 2}, "app_id": 12, "target_type": "Organization",
  "permissions": {"actions": "read", "administration": "write", "metadata": "read"},
  "repository_selection": "selected", "suspended_at": null, "suspended_by": null
})";

const std::string_view kAccessToken = R"({
  "token": "ghs_12_abc", "expires_at": "2026-11-20T11:00:00Z", "repository_selection": "selected",
  "permissions": {"actions": "read", "administration": "write", "metadata": "read"}
})";

std::string job_json(std::int64_t id, std::string_view created, std::string_view label,
                     std::string_view status) {
  return R"({"id": )" + std::to_string(id) +
         R"(, "run_id": 1, "name": "j", "workflow_name": "w",)" + R"( "status": ")" +
         std::string(status) + R"(", "created_at": ")" + std::string(created) +
         R"(", "labels": [")" + std::string(label) + R"("], "runner_id": null})";
}

std::string jobs_json(std::string_view jobs) {
  return R"({"total_count": 1, "jobs": [)" + std::string(jobs) + "]}";
}

// Of a private repository, without a fork.
constexpr const char* kPrivate = R"(, "status": "queued", "repository": {"id": 9, "private": true},
                                     "head_repository": {"id": 9}})";

std::string runs_json(std::string_view ids) {
  std::string runs;
  std::string id;
  for (const char c : std::string(ids) + ",") {
    if (c != ',') {
      id += c;
    } else if (!id.empty()) {
      runs += (runs.empty() ? "" : ",") + (R"({"id": )" + id + kPrivate);
      id.clear();
    }
  }
  return R"({"total_count": 1, "workflow_runs": [)" + runs + "]}";
}

}  // namespace mvr::test
