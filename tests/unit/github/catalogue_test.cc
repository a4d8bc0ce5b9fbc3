#include "github/catalogue.h"

#include <set>

#include "base/text.h"
#include "catch.h"
#include "github/scale_set_wire.h"
#include "github/wire.h"

namespace mvr::github {
namespace {

using core::ScopeKind;
using Kind = Authority::Kind;
using Headers = std::map<std::string, std::string>;

constexpr std::string_view kStart = "{\"message\":\"";

// An answer of the REST API and the entry it is.
struct Example {
  std::string id;
  int status;
  std::string message;
  Headers headers{};
  Endpoint endpoint = Endpoint::list_runners;
  Kind asker = Kind::token;
  ScopeKind scope = ScopeKind::repository;
  Duration offset{0};
};

Refusal refusal(const Example& e) {
  const WallTime now = *parse_iso8601("2026-11-20T10:00:00Z");
  const std::string body = std::string(kStart) + e.message + "\"}";
  return explain_refusal(sys::HttpResponse{e.status, e.headers, body},
                         CallInfo{e.endpoint, e.scope, "GET /x"},
                         Authority{e.asker, "/etc/mvrunner/key", "77"}, Clocks{now, e.offset});
}

const std::vector<Example>& examples() {
  static const std::vector<Example> kExamples{
      {"app_clock_off",
       401,
       "'Issued at' claim is in the future",
       {},
       Endpoint::create_token,
       Kind::app,
       ScopeKind::repository,
       Duration{400'000}},
      {"app_refused",
       401,
       "A JSON web token could not be decoded",
       {},
       Endpoint::create_token,
       Kind::app},
      {"installation_token_refused",
       401,
       "Bad credentials",
       {},
       Endpoint::list_runs,
       Kind::installation},
      {"token_refused", 401, "Bad credentials"},
      {"secondary_limit_told",
       403,
       "You have exceeded a secondary rate limit.",
       {{"retry-after", "60"}}},
      {"pause_told", 429, "Slow down", {{"retry-after", "60"}}},
      {"budget_used_up",
       403,
       "API rate limit exceeded for user ID 1.",
       {{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "1795168900"}}},
      {"secondary_limit",
       403,
       "You have exceeded a secondary rate limit.",
       {{"x-ratelimit-remaining", "4000"}, {"x-ratelimit-reset", "1795168900"}}},
      {"secondary_limit", 403, "You have triggered an abuse detection mechanism."},
      {"rate_limited", 403, "API rate limit exceeded for 192.0.2.1."},
      {"too_many_requests", 429, "Too many requests"},
      {"single_sign_on", 403, "", {{"x-github-sso", "required; url=https://x"}}},
      {"saml_enforced", 403, "Resource protected by organization SAML enforcement."},
      {"address_not_allowed", 403,
       "the `acme` organization has an IP allow list enabled, and 192.0.2.1 is not permitted"},
      {"address_not_allowed", 403, "Your IP address is not allowed"},
      {"user_agent_refused", 403, "Please make sure your request has a User-Agent header"},
      {"token_kind_forbidden", 403,
       "`acme` forbids access via a personal access token (classic). Please use a GitHub App"},
      {"repository_blocked", 403, "Repository access blocked"},
      {"repository_read_only", 403, "Repository was archived so is read-only."},
      {"actions_off", 403, "Actions has been disabled for this repository."},
      {"installation_suspended",
       403,
       "This installation has been suspended",
       {},
       Endpoint::create_token,
       Kind::app},
      {"installation_gives_none", 403, "Forbidden", {}, Endpoint::create_token, Kind::app},
      {"account_suspended", 403, "Sorry. Your account was suspended."},
      {"not_an_administrator", 403, "Must have admin rights to Repository."},
      {"token_not_granted", 403, "Resource not accessible by personal access token"},
      {"app_not_granted",
       403,
       "Resource not accessible by integration",
       {},
       Endpoint::list_runs,
       Kind::installation},
      {"token_denied", 403, "Forbidden"},
      {"app_denied", 403, "Forbidden", {}, Endpoint::list_runs, Kind::installation},
      {"app_not_installed", 404, "Not Found", {}, Endpoint::find_installation, Kind::app},
      {"installation_gone", 404, "Not Found", {}, Endpoint::create_token, Kind::app},
      {"runner_gone", 404, "Not Found", {}, Endpoint::delete_runner},
      {"release_unknown", 404, "Not Found", {}, Endpoint::runner_release},
      {"groups_not_found",
       404,
       "Not Found",
       {},
       Endpoint::list_groups,
       Kind::token,
       ScopeKind::organization},
      {"repository_not_found",
       404,
       "Not Found",
       {},
       Endpoint::list_jobs,
       Kind::token,
       ScopeKind::organization},
      {"enterprise_not_found",
       404,
       "Not Found",
       {},
       Endpoint::generate_jit,
       Kind::token,
       ScopeKind::enterprise},
      {"organization_not_found",
       404,
       "Not Found",
       {},
       Endpoint::generate_jit,
       Kind::token,
       ScopeKind::organization},
      {"not_found", 404, "Not Found", {}, Endpoint::generate_jit},
      {"name_taken",
       409,
       "Already exists - A runner with the name *** already exists.",
       {},
       Endpoint::generate_jit},
      {"conflict", 409, "Conflict"},
      {"api_version_gone", 410, "This API version is no longer supported"},
      {"gone", 410, "Gone"},
      {"api_version_refused", 400, "'2022-11-28' is not a supported version."},
      {"bad_request", 400, "Problems parsing JSON"},
      {"media_type_refused", 415, "Unsupported Media Type"},
      {"runner_busy",
       422,
       "Runner is currently running a job and cannot be deleted.",
       {},
       Endpoint::delete_runner},
      {"group_refused", 422, "Invalid runner group id", {}, Endpoint::generate_jit},
      {"labels_refused", 422, "Validation Failed: labels is too long", {}, Endpoint::generate_jit},
      {"runner_refused", 422, "Validation Failed", {}, Endpoint::generate_jit},
      {"app_token_refused",
       422,
       "The permissions requested are not granted",
       {},
       Endpoint::create_token,
       Kind::app},
      {"parameters_refused", 422, "Validation Failed"},
      {"repository_locked", 423, "Locked"},
      {"blocked_by_law", 451, "Repository access blocked"},
      {"maintenance", 503, "GitHub is down for maintenance"},
      {"github_fails", 500, ""},
      {"github_fails", 504, "We couldn't respond to your request in time"},
      {"unchanged", 304, ""},
      {"redirect", 302, "Found"},
      {"unknown", 418, "I'm a teapot"},
      {"unknown", 0, ""},
      {"unknown", -1, ""}};
  return kExamples;
}

struct SetExample {
  std::string id;
  int status;
  std::string type;
};
const std::vector<SetExample>& set_examples() {
  static const std::vector<SetExample> kExamples{
      {"set_name_taken", 409, "GitHub.AgentExistsException, GitHub"},
      {"set_runner_gone", 404, "GitHub.AgentNotFoundException, GitHub"},
      {"set_runner_busy", 400, "GitHub.JobStillRunningException, GitHub"},
      {"set_session_taken", 409, "GitHub.RunnerScaleSetSessionConflictException, GitHub"},
      {"set_request_refused", 400, ""},
      {"set_settings_refused", 422, ""},
      {"set_unauthorized", 401, ""},
      {"set_denied", 403, ""},
      {"set_not_found", 404, ""},
      {"set_conflict", 409, ""},
      {"set_limited", 429, ""},
      {"set_service_fails", 503, ""},
      {"set_unknown", 307, ""}};
  return kExamples;
}

struct Loss {
  std::string id;
  Errc code;
  std::string text;
};
const std::vector<Loss>& losses() {
  static const std::vector<Loss> kLosses{
      {"timed_out", Errc::timed_out, "Operation timed out after 30000 milliseconds"},
      {"too_large", Errc::too_large, "the body exceeded the limit"},
      {"proxy_fails", Errc::unavailable, "Received HTTP code 407 from proxy after CONNECT"},
      {"no_such_host", Errc::unavailable, "Could not resolve host: api.github.com"},
      {"not_trusted", Errc::unavailable, "SSL certificate problem: unable to get local issuer"},
      {"no_connection", Errc::unavailable, "Failed to connect to x port 443: Connection refused"},
      {"connection_lost", Errc::unavailable, "Empty reply from server"}};
  return kLosses;
}

bool ends_with_id(const Error& error, const std::string& id) {
  return error.what.find(" [" + id + "]") != std::string::npos;
}

}  // namespace

TEST_CASE("each answer of GitHub is the entry it should be") {
  for (const Example& example : examples()) {
    INFO(example.id << " " << example.status << " " << example.message);
    const Refusal told = refusal(example);
    CHECK(told.error.code == known_answer(example.id).code);
    CHECK(ends_with_id(told.error, example.id));
    CHECK_FALSE(told.error.remedy.empty());
    // Whatever is to be filled in has been.
    CHECK(full_text(told.error).find('{') == std::string::npos);
  }
}

TEST_CASE("each fault of the scale set service is the entry it should be") {
  for (const SetExample& example : set_examples()) {
    INFO(example.id);
    const Error told =
        explain_service(example.status, {}, "{\"typeName\":\"" + example.type + "\"}", "open");
    CHECK(ends_with_id(told, example.id));
    CHECK(told.remedy == known_answer(example.id).remedy);
  }
}

TEST_CASE("each way to get no answer is the entry it should be") {
  for (const Loss& loss : losses()) {
    INFO(loss.id);
    const Error told = explain_loss(Error{loss.code, "GET https://x: " + loss.text});
    CHECK(told.code == loss.code);
    CHECK(ends_with_id(told, loss.id));
    CHECK(told.remedy == known_answer(loss.id).remedy);
  }
  CHECK(explain_loss(Error{Errc::invalid, "bad HTTP method"}) ==
        Error{Errc::invalid, "bad HTTP method"});
}

TEST_CASE("an answer that cannot be read has a remedy, too") {
  CHECK(decode_runners("<html>").error().remedy == known_answer("not_json").remedy);
  CHECK(decode_runners("[]").error().remedy == known_answer("not_documented").remedy);
  CHECK(decode_runners(R"({"runners":[{"id":"x"}]})").error().remedy ==
        known_answer("not_documented").remedy);
}

TEST_CASE("each entry has an example, an id of its own, and says what helps") {
  std::set<std::string> shown{"not_json", "not_documented"};
  for (const Example& example : examples()) shown.insert(example.id);
  for (const SetExample& example : set_examples()) shown.insert(example.id);
  for (const Loss& loss : losses()) shown.insert(loss.id);
  std::set<std::string> ids;
  for (const KnownAnswer& known : catalogue()) {
    INFO(known.id);
    CHECK(ids.insert(std::string(known.id)).second);
    CHECK_FALSE(known.when.empty());
    CHECK_FALSE(known.meaning.empty());
    CHECK_FALSE(known.remedy.empty());
    CHECK(known.meaning.find('\n') == std::string_view::npos);
    CHECK(known.remedy.find('\n') == std::string_view::npos);
  }
  CHECK(ids == shown);
}

TEST_CASE("the request id is shown of what GitHub's support must look into") {
  const auto told = [](int status, const std::string& id) {
    return refusal({"", status, "x", {{"x-github-request-id", id}}}).error.what;
  };
  CHECK(told(500, "F00:1").ends_with("[github_fails]; X-GitHub-Request-Id F00:1"));
  CHECK(told(418, "F00:1").ends_with("[unknown]; X-GitHub-Request-Id F00:1"));
  CHECK(told(404, "F00:1").find("F00:1") == std::string::npos);
  const std::string hostile = told(502, std::string(10'000, 'x') + "\x1b[31m\n");
  CHECK(hostile.size() < 300);
  CHECK(hostile.find('\x1b') == std::string::npos);
}

TEST_CASE("no answer of any size or shape makes more than a line") {
  const std::vector<std::string> bodies{
      std::string(8U << 20U, 'x'),
      std::string(100'000, '['),
      "{\"message\":\"" + std::string(60'000, 'y') + "\"}",
      "{\"message\":{\"a\":[1,2,null]},\"errors\":7}",
      "{\"message\":\"x\",\"errors\":[" + std::string(30'000, '7') + "]}",
      "{\"message\":\"\\u0000\\u001b[2J\\n\"}",
      std::string("\xff\xfe\x00{", 4),
      "{\"message\":\"cut",
      ""};
  for (const std::string& body : bodies) {
    INFO(body.size());
    for (const int status : {200, 401, 403, 404, 422, 429, 500, 999}) {
      for (const Endpoint endpoint : {Endpoint::list_runs, Endpoint::generate_jit}) {
        const Refusal told = explain_refusal(
            sys::HttpResponse{status, {{"retry-after", body.substr(0, 60'000)}}, body},
            CallInfo{endpoint, ScopeKind::repository, "GET /x"},
            Authority{Kind::token, "/etc/mvrunner/token", ""}, Clocks{});
        const std::string text = full_text(told.error);
        CHECK(text.size() < 2'000);
        CHECK(text == printable(text, 4'096));
      }
      CHECK(full_text(explain_service(status, {}, body, "x")).size() < 2'000);
    }
  }
}

TEST_CASE("what is filled in is not filled in again") {
  CHECK(fill("a {x} b", {{"x", "{y}"}, {"y", "no"}}) == "a {y} b");
  CHECK(fill("{unknown} {", {}) == "{unknown} {");
  CHECK(fill("} {x", {{"x", "1"}}) == "} {x");
  CHECK(fill("", {}).empty());
}

}  // namespace mvr::github
