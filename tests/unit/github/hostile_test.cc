// Decoders on bytes GitHub never sends.
#include <functional>

#include "catch.h"
#include "github/json_rows.h"
#include "github/wire.h"
#include "samples.h"

namespace mvr::github {
namespace {

using namespace mvr::test;

using Decode = std::function<bool(std::string_view)>;  // true: accepted

struct Decoder {
  const char* name;
  std::string_view sample;
  Decode accepts;
};

std::vector<Decoder> decoders() {
  return {
      {"runs", kRunsPage, [](auto body) { return decode_runs(body).has_value(); }},
      {"jobs", kJobsPage, [](auto body) { return decode_waiting_jobs(body, "o/r").has_value(); }},
      {"runners", kRunnersPage, [](auto body) { return decode_runners(body).has_value(); }},
      {"repositories", kRepositoriesPage,
       [](auto body) { return decode_repositories(body).has_value(); }},
      {"groups", kGroupsPage, [](auto body) { return decode_groups(body).has_value(); }},
      {"jit", kJitAnswer, [](auto body) { return decode_jit(body).has_value(); }},
      {"installation", kInstallation,
       [](auto body) { return decode_installation(body).has_value(); }},
      {"release dates",
       R"({"runner_version":"2.3.4","registration_deprecates_at":"2026-08-01T00:00:00Z"})",
       [](auto body) { return decode_release_dates(body).has_value(); }},
      {"access token", kAccessToken,
       [](auto body) { return decode_access_token(body).has_value(); }}};
}

Errc code_of(std::string_view body) {
  const auto runs = decode_runs(body);
  REQUIRE_FALSE(runs);
  return runs.error().code;
}

}  // namespace

TEST_CASE("an answer cut off anywhere is refused") {
  for (const Decoder& decoder : decoders()) {
    INFO(decoder.name);
    REQUIRE(decoder.accepts(decoder.sample));
    for (std::size_t size = 0; size < decoder.sample.size(); ++size) {
      INFO(size);
      REQUIRE_FALSE(decoder.accepts(decoder.sample.substr(0, size)));
    }
  }
}

TEST_CASE("no single changed byte breaks a decoder") {
  for (const Decoder& decoder : decoders()) {
    std::string body(decoder.sample);
    for (std::size_t at = 0; at < body.size(); ++at) {
      const char before = body[at];
      // Two of these a place: all of them everywhere take long under the sanitizers.
      static constexpr std::string_view kOthers("\0\"[]{},\\9-\xff", 11);
      for (const std::size_t turn : {at, at + 5}) {
        body[at] = kOthers[turn % kOthers.size()];
        (void)decoder.accepts(body);  // either way: it returns, and the sanitizers stay silent
      }
      body[at] = before;
    }
    CHECK(decoder.accepts(body));
  }
}

TEST_CASE("something after the answer makes it no answer") {
  for (const Decoder& decoder : decoders()) {
    INFO(decoder.name);
    CHECK_FALSE(decoder.accepts(std::string(decoder.sample) + "{}"));
    CHECK_FALSE(decoder.accepts(std::string(decoder.sample) + std::string(1, '\0')));
  }
}

TEST_CASE("bytes that are not UTF-8 are refused") {
  CHECK(code_of("{\"workflow_runs\": [{\"id\": 1, \"name\": \"\xc3\x28\"}]}") == Errc::protocol);
}

TEST_CASE("an id that is not a positive whole number is refused") {
  for (const char* id : {"0", "-1", "1.0", "1e3", "\"1\"", "null", "true", "[]", "{}", "[1]",
                         "9223372036854775808", "1e999"}) {
    INFO(id);
    CHECK(code_of(std::string(R"({"workflow_runs": [{"id": )") + id + "}]}") == Errc::protocol);
  }
}

TEST_CASE("a list that is no list of objects is refused") {
  for (const char* body :
       {R"({"workflow_runs": {}})", R"({"workflow_runs": null})", R"({"workflow_runs": [1]})",
        R"({"workflow_runs": ["x"]})", R"({"workflow_runs": [null]})", R"({"workflow_runs": [[]]})",
        R"({"workflow_runs": [[{"id": 1}]]})", R"([{"workflow_runs": [{"id": 1}]}])", "[]", "{}",
        R"({"x": {"workflow_runs": [{"id": 1}]}})", "5", "\"workflow_runs\"", "null", ""}) {
    INFO(body);
    CHECK(code_of(body) == Errc::protocol);
  }
}

TEST_CASE("a list that is there twice is refused") {
  CHECK(code_of(R"({"workflow_runs": [{"id": 1}], "workflow_runs": []})") == Errc::protocol);
}

TEST_CASE("nesting beyond the bound is refused, whatever its depth") {
  const std::string deep(1'000'000, '[');
  CHECK(code_of(deep) == Errc::protocol);
  CHECK(code_of(R"({"workflow_runs": [{"id": 1, "x": )" + deep) == Errc::protocol);
  std::string fine =
      R"({"x": )" + std::string(kMaxDepth - 1, '[') + std::string(kMaxDepth - 1, ']');
  CHECK(decode_runs(fine + R"(, "workflow_runs": []})").has_value());
}

TEST_CASE("more items on a page than the bound are refused") {
  std::string ids = "1";
  for (std::size_t i = 1; i < kMaxRows; ++i) ids += ",1";
  CHECK(decode_runs(runs_json(ids))->size() == kMaxRows);
  CHECK(code_of(runs_json(ids + ",1")) == Errc::too_large);
}

TEST_CASE("labels that are not a list of strings are refused, for a job that would be served") {
  for (const char* labels : {"\"mv\"", "[1]", "[\"mv\", null]", "[[\"mv\"]]",
                             "[{\"name\": \"mv\"}]", "[\"mv\", [\"mv\"]]", "{}", "7"}) {
    INFO(labels);
    const auto jobs =
        decode_waiting_jobs(std::string(R"({"jobs": [{"id": 1, "run_id": 2, "status": "queued",
            "created_at": "2026-11-20T10:00:00Z", "labels": )") +
                                labels + "}]}",
                            "o/r");
    REQUIRE_FALSE(jobs);
    CHECK(jobs.error().code == Errc::protocol);
  }
}

TEST_CASE("a member given twice counts as its last value") {
  const auto runs = decode_runs(R"({"workflow_runs": [{"id": 1, "id": 2}]})");
  REQUIRE(runs);
  REQUIRE(runs->size() == 1);
  CHECK(runs->front().id == 2);
}

}  // namespace mvr::github
