#include "github/scale_set_wire.h"

#include "base/text.h"
#include "catch.h"
#include "scale_set_samples.h"

namespace mvr::github {
namespace {

using namespace mvr::test;
using Kind = JobMessage::Kind;

const std::string kBom = "\xEF\xBB\xBF";
const std::string kQueue = "https://q.example/queue?sessionId=1";

bool says(const Error& error, const std::string& text) {
  return error.what.find(text) != std::string::npos;
}

QueueMessage message(const std::string& entries, const std::string& statistics = "null") {
  auto decoded = decode_queue_message(message_json(7, entries, statistics));
  REQUIRE(decoded);
  return std::move(*decoded);
}

}  // namespace

TEST_CASE("a connection is read, with or without a byte order mark") {
  for (const std::string& mark : {std::string(), kBom}) {
    const auto made =
        decode_admin_connection(mark + connection_json("https://p.example/tenant", "abc"), false);
    REQUIRE(made);
    CHECK(made->url == "https://p.example/tenant/");
    CHECK(made->token.expose() == "abc");
  }
}

TEST_CASE("a connection leads nowhere it may not") {
  for (const char* url : {"http://p.example/", "ftp://p.example/", "", "p.example",
                          "https://u@p.example/", "https://p.example/?x=1", "https://p/#f"}) {
    CHECK(decode_admin_connection(connection_json(url, "abc"), false).error().code ==
          Errc::protocol);
  }
  CHECK(decode_admin_connection(connection_json("http://p.example/", "abc"), true));
  CHECK(!decode_admin_connection(connection_json("https://p.example/", "a b"), true));
  CHECK(!decode_admin_connection("[]", true));
}

TEST_CASE("texts about tokens never hold them") {
  const auto bad = decode_registration_token(R"({"token": "ghs_secret with a space"})");
  REQUIRE(!bad);
  CHECK(!says(bad.error(), "ghs_secret"));
}

TEST_CASE("the end of a JWT is read without its signature") {
  CHECK(jwt_expiry(jwt(1'800'000'000)) == WallTime{std::chrono::seconds{1'800'000'000}});
  for (const std::string& token : {jwt(0), std::string("abc"), std::string("a.b.c"),
                                   std::string("a.e30.c"), jwt(INT64_MAX), std::string()}) {
    CHECK(!jwt_expiry(token));
  }
}

TEST_CASE("a scale set is written as GitHub's client does") {
  const SetWish wish{"mv", "", {"mv", "linux"}};
  CHECK(encode_scale_set(wish, 1) ==
        R"({"RunnerSetting":{"disableUpdate":true},"labels":[{"name":"mv","type":"System"},)"
        R"({"name":"linux","type":"System"}],"name":"mv","runnerGroupId":1})");
}

TEST_CASE("a scale set is as wished, whatever case and order of its labels") {
  const SetWish wish{"mv", "", {"mv", "linux"}};
  const auto set = decode_scale_set(set_json(5, "mv", "Linux,MV"));
  REQUIRE(set);
  CHECK(set->id == 5);
  CHECK(!differs(*set, wish));
  CHECK(differs(*decode_scale_set(set_json(5, "mv", "mv")), wish));
  ScaleSet updating = *set;
  updating.is_update_disabled = false;
  CHECK(differs(updating, wish));
}

TEST_CASE("lists of sets and groups are read") {
  const auto sets =
      decode_scale_sets(kBom + R"({"count":1,"value":[)" + set_json(5, "mv", "mv") + "]}");
  REQUIRE(sets);
  CHECK(sets->size() == 1);
  CHECK(decode_scale_sets(R"({"count":0,"value":[]})")->empty());
  CHECK(!decode_scale_sets(R"({"value":{}})"));
  CHECK(!decode_scale_sets(R"({"value":[{"id":-1,"name":"x"}]})"));
  const std::string groups = R"({"count":1,"value":[{"id":4,"name":"Big"},{"id":1,"name":"x"}]})";
  CHECK(decode_group_id(groups, "big").value() == 4);
  CHECK(!decode_group_id(groups, "none").value());
}

TEST_CASE("a session is read, and one that makes no sense refused") {
  const auto session = decode_session(session_json(kQueue, "tok", statistics_json(3, 1)), false);
  REQUIRE(session);
  CHECK(session->queue == kQueue);
  CHECK(session->statistics == QueueStatistics{0, 0, 3, 1});
  CHECK(!decode_session(session_json("http://q.example/", "tok", "null"), false));
  CHECK(!decode_session(session_json(kQueue, "", "null"), false));
  CHECK(!decode_session(session_json(kQueue, "tok", "[]"), false));
  CHECK(!decode_session(session_json(kQueue, "tok", R"({"totalAssignedJobs":-1})"), false));
  CHECK(!decode_session(R"({"sessionId":"../x","messageQueueUrl":"https://q.example/",)"
                        R"("messageQueueAccessToken":"tok"})",
                        false));
}

TEST_CASE("an entry becomes a job") {
  const QueueMessage read =
      message(entry_json("JobAssigned", 55, "u-1", R"(,"queueTime":"2026-11-20T10:00:00Z")"),
              statistics_json(1));
  CHECK(read.id == 7);
  CHECK(read.statistics == QueueStatistics{0, 0, 1, 0});
  REQUIRE(read.jobs.size() == 1);
  const JobMessage& entry = read.jobs[0];
  CHECK(entry.kind == Kind::assigned);
  CHECK(entry.request == 55);
  CHECK(entry.job.id == 55);
  CHECK(entry.job.run_id == 9001);
  CHECK(entry.job.repository == "acme/app");
  CHECK(entry.job.workflow == "ci.yml");
  CHECK(entry.job.name == "build u-1");
  CHECK(entry.job.labels == std::vector<std::string>{"mv"});
  CHECK(entry.job.created == *parse_iso8601("2026-11-20T10:00:00Z"));
}

TEST_CASE("a job without a request id has one by its uuid") {
  const QueueMessage read =
      message(entry_json("JobAssigned", 0, "u-1") + "," + entry_json("JobStarted", 0, "u-1") + "," +
              entry_json("JobAssigned", 0, "u-2"));
  REQUIRE(read.jobs.size() == 3);
  CHECK(read.jobs[0].request == 0);
  CHECK(read.jobs[0].job.id > 0);
  CHECK(read.jobs[0].job.id == read.jobs[1].job.id);
  CHECK(read.jobs[0].job.id != read.jobs[2].job.id);
}

TEST_CASE("an entry that makes no sense does not hold up the others") {
  const QueueMessage read =
      message(R"({"messageType":7},{"messageType":"JobPaused","jobId":"u"},)"
              R"({"messageType":"JobAssigned"},{"messageType":"JobAssigned","jobId":["u"]},)" +
              entry_json("JobCompleted", 3, "u-3"));
  REQUIRE(read.jobs.size() == 1);
  CHECK(read.jobs[0].kind == Kind::completed);
}

TEST_CASE("fifty entries are read") {
  std::string entries;
  for (int n = 1; n <= 50; ++n) {
    entries += (n > 1 ? "," : "") + entry_json("JobAssigned", n, std::to_string(n));
  }
  CHECK(message(entries).jobs.size() == 50);
}

TEST_CASE("names in a message are made printable and short") {
  const std::string text =
      R"([{"messageType":"JobAssigned","jobId":"u","jobDisplayName":"a\u001bb",)"
      R"("ownerName":"..","repositoryName":"x/y","requestLabels":["\u0007"]}])";
  const auto read = decode_queue_message(
      R"({"messageId":1,"messageType":"RunnerScaleSetJobMessages","body":)" + std::string("\"") +
      [&] {
        std::string quoted;
        for (const char c : text) {
          if (c == '"' || c == '\\') quoted += '\\';
          quoted += c;
        }
        return quoted;
      }() +
      "\"}");
  REQUIRE(read);
  REQUIRE(read->jobs.size() == 1);
  CHECK(read->jobs[0].job.name == "a\\x1Bb");
  CHECK(read->jobs[0].job.labels == std::vector<std::string>{"\\x07"});
  CHECK(read->jobs[0].job.repository.empty());
}

TEST_CASE("messages of other types carry statistics only") {
  const auto read = decode_queue_message(
      R"({"messageId":9,"messageType":"Other","body":"not json","statistics":)" +
      statistics_json(4) + "}");
  REQUIRE(read);
  CHECK(read->jobs.empty());
  CHECK(read->statistics->assigned == 4);
}

TEST_CASE("a message that is none is refused") {
  for (const char* body :
       {"", "[]", "null", R"({"messageId":0,"messageType":"x"})", R"({"messageId":1})",
        R"({"messageId":1,"messageType":"RunnerScaleSetJobMessages","body":"{"})",
        R"({"messageId":1,"messageType":"RunnerScaleSetJobMessages","body":"[1]"})",
        R"({"messageId":1,"messageType":"x","statistics":{"totalAssignedJobs":"2"}})"}) {
    const auto read = decode_queue_message(body);
    REQUIRE(!read);
    CHECK(read.error().code == Errc::protocol);
  }
}

TEST_CASE("the addresses of a queue keep its query") {
  CHECK(queue_poll_url(kQueue, 0) == kQueue);
  CHECK(queue_poll_url(kQueue, 8) == kQueue + "&lastMessageId=8");
  CHECK(queue_poll_url("https://q/m", 8) == "https://q/m?lastMessageId=8");
  CHECK(queue_message_url(kQueue, 8) == "https://q.example/queue/8?sessionId=1");
  CHECK(queue_message_url("https://q/m/", 8) == "https://q/m/8");
}

TEST_CASE("the configuration of a runner of a set is read") {
  const auto jit = decode_set_jit(
      kBom +
      R"({"runner":{"id":23,"name":"mv-1","runnerScaleSetId":5},"encodedJITConfig":"eyJ9"})");
  REQUIRE(jit);
  CHECK(jit->runner == core::Runner{23, "mv-1"});
  CHECK(jit->encoded.expose() == "eyJ9");
  const auto bad =
      decode_set_jit(R"({"runner":{"id":23,"name":"x"},"encodedJITConfig":"secret!"})");
  REQUIRE(!bad);
  CHECK(!says(bad.error(), "secret"));
  CHECK(!decode_set_jit(R"({"encodedJITConfig":"eyJ9"})"));
  CHECK(!decode_set_jit(R"({"runner":{"id":0,"name":"x"},"encodedJITConfig":"eyJ9"})"));
}

TEST_CASE("refusals of the service are told apart, and can be looked up") {
  const auto code = [](int status, const std::string& body) {
    return explain_service(status, {}, body, "x").code;
  };
  CHECK(code(400, fault_json("JobStillRunningException")) == Errc::busy);
  CHECK(code(404, fault_json("AgentNotFoundException")) == Errc::not_found);
  CHECK(code(409, fault_json("AgentExistsException")) == Errc::exists);
  CHECK(code(409, fault_json("RunnerScaleSetSessionConflictException")) == Errc::busy);
  CHECK(code(401, "") == Errc::unauthorized);
  CHECK(code(403, "plain text") == Errc::denied);
  CHECK(code(404, "") == Errc::not_found);
  CHECK(code(429, "") == Errc::rate_limited);
  CHECK(code(503, "<html>") == Errc::unavailable);
  CHECK(code(418, "") == Errc::protocol);
  const Error error =
      explain_service(409, {{"activityid", "a-1"}, {"x-github-request-id", "F:1"}},
                      kBom + fault_json("RunnerScaleSetSessionConflictException", "taken"), "open");
  CHECK(says(error, "open: HTTP 409 \"taken\""));
  CHECK(error.remedy.find("two hosts need a runner group each") != std::string::npos);
  CHECK(says(error, "ActivityId a-1; X-GitHub-Request-Id F:1"));
}

}  // namespace mvr::github
