#include "github/job_facts.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "github/catalogue.h"
#include "github/json_object.h"
#include "github/pages.h"
#include "github/url.h"

namespace mvr::github {
namespace {

using nlohmann::json;
using Keys = std::array<std::string_view, 10>;

constexpr std::size_t kMaxText = 256;
constexpr std::size_t kMostPages = 10;  // a matrix has 256 jobs at most
constexpr std::size_t kMostStarts = 1'000;
constexpr Duration kStartLife{3'600'000};

constexpr Keys kJobKeys{"id",         "run_id",       "run_attempt", "runner_name", "workflow_name",
                        "conclusion", "completed_at", "head_branch", "created_at",  "steps"};

// Depths of keys: 1 the page, 3 a job, 5 a step.
bool is_wanted_of_page(int depth, json::parse_event_t event, json& parsed) {
  if (event != json::parse_event_t::key) return true;
  const auto& key = parsed.get_ref<const json::string_t&>();
  if (depth == 1) return key == "jobs";
  if (depth == 3) return std::ranges::find(kJobKeys, key) != kJobKeys.end();
  return depth == 5 && key == "started_at";
}

bool is_wanted_of_run(int depth, json::parse_event_t event, json& parsed) {
  if (event != json::parse_event_t::key) return true;
  const auto& key = parsed.get_ref<const json::string_t&>();
  if (depth == 1) return key == "event" || key == "actor" || key == "triggering_actor";
  return depth == 2 && key == "login";
}

std::string text_of(const json& object, const char* key) {
  const auto* text = text_member(object, key);
  return text == nullptr ? std::string() : printable(*text, kMaxText);
}

std::optional<WallTime> time_of(const json& object, const char* key) {
  const auto time = parse_iso8601(text_of(object, key));
  return time ? std::optional(*time) : std::nullopt;
}

std::optional<WallTime> first_step_of(const json& job) {
  std::optional<WallTime> first;
  const json* const steps = member(job, "steps");
  if (steps == nullptr || !steps->is_array()) return first;
  for (const json& step : *steps) {
    const auto began = time_of(step, "started_at");
    if (began && (!first || *began < *first)) first = began;
  }
  return first;
}

Result<core::JobFacts> facts_of(const json& job) {
  core::JobFacts facts;
  facts.job = positive_member(job, "id");
  facts.run = positive_member(job, "run_id");
  facts.attempt = positive_member(job, "run_attempt");
  if (facts.job == 0 || facts.run == 0) {
    return fail(undocumented("a job without \"id\" or \"run_id\""));
  }
  facts.workflow = text_of(job, "workflow_name");
  facts.conclusion = text_of(job, "conclusion");
  facts.branch = text_of(job, "head_branch");
  facts.created = time_of(job, "created_at");
  facts.first_step = first_step_of(job);
  facts.completed = time_of(job, "completed_at");
  return facts;
}

}  // namespace

Result<std::optional<core::JobFacts>> decode_completed_job(std::string_view body,
                                                           std::string_view runner) {
  TRY_ASSIGN(const json page, parse_object(body, is_wanted_of_page));
  const json* const jobs = member(page, "jobs");
  if (jobs == nullptr || !jobs->is_array()) {
    return fail(undocumented("no list \"jobs\""));
  }
  for (const json& job : *jobs) {
    if (runner.empty() || text_of(job, "runner_name") != runner) continue;
    TRY_ASSIGN(core::JobFacts facts, facts_of(job));
    if (facts.conclusion.empty()) break;
    return std::optional(std::move(facts));
  }
  return std::optional<core::JobFacts>();
}

Result<RunStart> decode_run_start(std::string_view body) {
  TRY_ASSIGN(const json run, parse_object(body, is_wanted_of_run));
  RunStart start{text_of(run, "event"), {}};
  // Of a re-run, who asked for that.
  for (const char* who : {"triggering_actor", "actor"}) {
    const json* const actor = member(run, who);
    if (start.actor.empty() && actor != nullptr) start.actor = text_of(*actor, "login");
  }
  return start;
}

struct JobFactReader::Search {
  core::Scope scope;
  JobQuestion question;
  Done done;
  std::size_t pages = 0;
};

JobFactReader::JobFactReader(sys::Loop& loop, Transport& transport, std::string base)
    : loop_(loop),
      transport_(transport),
      base_(std::move(base)),
      starts_(kMostStarts, kStartLife) {}

void JobFactReader::read(const core::Scope& scope, const JobQuestion& question, Done done) {
  const auto search = std::make_shared<Search>(Search{scope, question, std::move(done), 0});
  read_page(search, run_jobs_url(base_, question.repository, question.run));
}

void JobFactReader::read_page(const Shared& search, const std::string& url) {
  ApiRequest request;
  request.url = url;
  request.about = CallInfo{Endpoint::list_jobs, search->scope.kind, request_label("GET", url)};
  const std::string label = request.about.label;
  transport_.send(std::move(request), [this, search, url, label](Result<ApiReply> reply) {
    if (!reply) return search->done(fail(std::move(reply.error())));
    auto found = decode_completed_job(reply->body, search->question.runner);
    if (!found) return search->done(fail(with_context(found.error(), label)));
    if (*found) return read_start(search, std::move(**found));
    const auto next = next_of(*reply, url);
    if (!next) return search->done(fail(with_context(next.error(), label)));
    if (next->empty() || ++search->pages == kMostPages) return search->done(std::nullopt);
    read_page(search, *next);
  });
}

void JobFactReader::read_start(const Shared& search, core::JobFacts facts) {
  facts.repository = search->question.repository;
  const auto give = [search, facts](const RunStart& start) {
    core::JobFacts whole = facts;
    whole.event = start.event;
    whole.actor = start.actor;
    search->done(std::move(whole));
  };
  const std::pair key(facts.run, facts.attempt);
  if (const RunStart* known = starts_.find(key, loop_.now())) return give(*known);
  ApiRequest request;
  request.url = run_url(base_, facts.repository, facts.run);
  request.about =
      CallInfo{Endpoint::list_runs, search->scope.kind, request_label("GET", request.url)};
  transport_.send(std::move(request), [this, key, give](Result<ApiReply> reply) {
    if (!reply) return give(RunStart{});
    const auto start = decode_run_start(reply->body);
    if (!start) return give(RunStart{});
    starts_.put(key, *start, loop_.now());
    give(*start);
  });
}

}  // namespace mvr::github
