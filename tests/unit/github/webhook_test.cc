#include "github/webhook.h"

#include <fstream>

#include "catch.h"

namespace mvr::github {
namespace {

const Instant kNow{Duration{1'000'000}};

Secret secret() { return Secret("It's a Secret to Everybody"); }

std::string body_of(const std::string& action, const std::string& status = "queued",
                    const std::string& job = "7", const std::string& attempt = "1") {
  return R"({"action":")" + action + R"(","workflow_job":{"id":)" + job + R"(,"run_attempt":)" +
         attempt + R"(,"status":")" + status +
         R"(","labels":["id",{"id":3}],"steps":[{"status":"x"}]},"repository":{"id":5,)"
         R"("full_name":"acme/app","owner":{"id":1,"full_name":"evil/evil"}},"id":9})";
}

// Signs by openssl's own program, which knows nothing of ours.
std::string signed_by_openssl(const std::string& body, const std::string& key) {
  const std::string command = "printf %s '" + body + "' | openssl dgst -sha256 -hmac '" + key + "'";
  // NOLINTNEXTLINE(cert-env33-c): a fixed command
  FILE* const pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string out(256, '\0');
  out.resize(std::fread(out.data(), 1, out.size(), pipe));
  REQUIRE(pclose(pipe) == 0);
  const std::string digest = out.substr(out.find("= ") + 2);
  return "sha256=" + digest.substr(0, digest.find('\n'));
}

// One that is right but for what a test changes.
struct Sample {
  std::string event = "workflow_job";
  std::string id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
  std::string type = "application/json";
  std::string body = body_of("queued");
  std::string signature = {};
};

Verdict give(WebhookInbox& inbox, const Sample& sample, Instant now = kNow) {
  const std::string key = "a key of the tests, long enough";
  const std::string signature =
      sample.signature.empty() ? signed_by_openssl(sample.body, key) : sample.signature;
  return inbox.take({sample.event, sample.id, signature, sample.type, sample.body}, Secret(key),
                    now);
}

TEST_CASE("GitHub's own example of a signature is right, and any change of it is not") {
  // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
  const std::string right =
      "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  const auto check = [](const std::string& signature, const std::string& body) {
    return is_signed({"", "", signature, "", body}, secret());
  };
  CHECK(check(right, "Hello, World!"));
  CHECK_FALSE(check(right, "Hello, World"));
  for (std::size_t i = 0; i < right.size(); ++i) {
    std::string wrong = right;
    wrong[i] = static_cast<char>(wrong[i] ^ 1);
    CHECK_FALSE(check(wrong, "Hello, World!"));
  }
  CHECK_FALSE(check("", "Hello, World!"));
  CHECK_FALSE(check("sha256=", "Hello, World!"));
  CHECK_FALSE(check(right + "0", "Hello, World!"));
  CHECK_FALSE(check(right.substr(0, right.size() - 1), "Hello, World!"));
  CHECK_FALSE(check("sha1=" + right.substr(7), "Hello, World!"));
  CHECK_FALSE(is_signed({"", "", right, "", "Hello, World!"}, Secret("another secret here")));
}

TEST_CASE("a queued job is a hint for its repository, once") {
  WebhookInbox inbox;
  const Verdict first = give(inbox, {});
  CHECK(first.fate == Fate::hint);
  CHECK(first.repository == "acme/app");
  CHECK(give(inbox, {}).fate == Fate::known);
  Sample other;
  other.id = "another";  // the id is not signed: anybody may change it
  CHECK(give(inbox, other).fate == Fate::known);
  other.id = "third";
  other.body = body_of("queued", "queued", "7", "2");
  CHECK(give(inbox, other).fate == Fate::hint);
}

TEST_CASE("what comes too late says nothing") {
  WebhookInbox inbox;
  const auto step = [&](const std::string& action, const std::string& status) {
    static int count = 0;
    Sample sample;
    sample.id = "id-" + std::to_string(++count);
    sample.body = body_of(action, status);
    return give(inbox, sample).fate;
  };
  CHECK(step("waiting", "waiting") == Fate::passed);
  CHECK(step("queued", "waiting") == Fate::passed);  // the official example with a deployment
  CHECK(step("queued", "queued") == Fate::hint);     // approved
  CHECK(step("completed", "completed") == Fate::passed);
  CHECK(step("queued", "queued") == Fate::known);
  CHECK(step("in_progress", "in_progress") == Fate::known);
}

TEST_CASE("nothing is read of a delivery that nobody signed") {
  WebhookInbox inbox;
  Sample sample;
  sample.signature = "sha256=" + std::string(64, '0');
  CHECK(give(inbox, sample).fate == Fate::refused);
  sample.body = "no JSON";
  CHECK(give(inbox, sample).fate == Fate::refused);
  sample.body = body_of("queued");
  sample.signature.clear();
  CHECK(give(inbox, sample).fate == Fate::hint);  // it was not taken for known
}

TEST_CASE("other events are passed over, what is not as documented is named") {
  WebhookInbox inbox;
  for (const char* event : {"ping", "push", "", "check_run"}) {
    Sample sample;
    sample.event = event;
    CHECK(give(inbox, sample).fate == Fate::passed);
  }
  Sample form;
  form.type = "application/x-www-form-urlencoded";
  CHECK(give(inbox, form).fate == Fate::unreadable);
  CHECK(give(inbox, form).why.find("content type") != std::string::npos);
  Sample typed;
  typed.type = "Application/JSON; charset=utf-8";
  typed.id = "";
  CHECK(give(inbox, typed).fate == Fate::unreadable);
  typed.id = std::string(65, 'a');
  CHECK(give(inbox, typed).fate == Fate::unreadable);
  typed.id = "fine";
  CHECK(give(inbox, typed).fate == Fate::hint);
}

TEST_CASE("bodies that are not as documented are refused") {
  for (const char* body : {
           "",
           "null",
           "[]",
           "{}",
           "{",
           "\"queued\"",
           R"({"action":"queued"})",
           R"({"action":"queued","workflow_job":[],"repository":{"full_name":"a/b"}})",
           R"({"action":"queued","workflow_job":{"id":0},"repository":{"full_name":"a/b"}})",
           R"({"action":"queued","workflow_job":{"id":-1},"repository":{"full_name":"a/b"}})",
           R"({"action":"queued","workflow_job":{"id":1.5},"repository":{"full_name":"a/b"}})",
           R"({"action":"queued","workflow_job":{"id":"1"},"repository":{"full_name":"a/b"}})",
           R"({"action":"queued","workflow_job":{"id":18446744073709551615},)"
           R"("repository":{"full_name":"a/b"}})",
           R"({"action":"queued","workflow_job":{"id":1},"repository":{"full_name":"a/../b"}})",
           R"({"action":"queued","workflow_job":{"id":1},"repository":{"full_name":""}})",
           R"({"action":"queued","workflow_job":{"id":1},"repository":"a/b"})",
           R"({"action":{"a":1},"workflow_job":{"id":1},"repository":{"full_name":"a/b"}})",
       }) {
    CAPTURE(body);
    const auto change = decode_job_change(body);
    REQUIRE_FALSE(change);
    CHECK(change.error().code == Errc::protocol);
  }
  std::string with_nul = body_of("queued");
  with_nul += '\0';
  CHECK_FALSE(decode_job_change(with_nul));
  CHECK_FALSE(decode_job_change(std::string(500'000, '[')));
}

TEST_CASE("only the job's and the repository's own members count") {
  const JobChange wanted{7, 1, JobStep::queued, "acme/app"};
  CHECK(decode_job_change(body_of("queued")).value() == wanted);
  CHECK(decode_job_change(R"({"nested":{"action":"queued"},"action":"completed","x":[[{"id":4}]],)"
                          R"("workflow_job":{"id":3,"run":{"id":4},"status":"queued"},)"
                          R"("repository":{"full_name":"a/b"}})")
            .value() == JobChange{3, 1, JobStep::completed, "a/b"});
}

TEST_CASE("more than a burst at once waits for the next look, and unsigned ones take no room") {
  WebhookInbox inbox;
  const std::string key = "a key of the tests, long enough";
  Sample ping;
  ping.event = "ping";
  const std::string signature = signed_by_openssl(ping.body, key);
  const auto send = [&](const std::string& with, Instant now) {
    return inbox.take({ping.event, ping.id, with, ping.type, ping.body}, Secret(key), now).fate;
  };
  for (int i = 0; i < 10'000; ++i) CHECK(send("sha256=0", kNow) == Fate::refused);
  int served = 0;
  while (served < 10'000 && send(signature, kNow) == Fate::passed) ++served;
  CHECK(served >= 100);
  CHECK(served < 1'000);
  CHECK(send(signature, kNow + Duration(10'000)) == Fate::passed);
}

TEST_CASE("what is remembered is bounded in number and time") {
  Recent<int, int> recent(3, Duration(100));
  for (int i = 0; i < 5; ++i) recent.put(i, i * 10, kNow);
  CHECK(recent.size() == 3);
  CHECK(recent.find(1, kNow) == nullptr);
  REQUIRE(recent.find(2, kNow) != nullptr);
  CHECK(*recent.find(4, kNow) == 40);
  recent.put(2, 21, kNow + Duration(50));
  CHECK(recent.find(3, kNow + Duration(100)) == nullptr);
  REQUIRE(recent.find(2, kNow + Duration(100)) != nullptr);
  CHECK(*recent.find(2, kNow + Duration(149)) == 21);
  CHECK(recent.find(2, kNow + Duration(150)) == nullptr);
  CHECK(recent.size() == 0);
}

TEST_CASE("a webhook's secret is one line that nobody guesses") {
  CHECK(parse_webhook_secret("0123456789abcdef\n").value().expose() == "0123456789abcdef");
  CHECK(parse_webhook_secret("0123 456789 abcdef\r\n\n").value().expose() == "0123 456789 abcdef");
  CHECK(parse_webhook_secret("0123456789\xc3\xa4"
                             "bcdef")
            .value()
            .expose()
            .size() == 17);
  for (const char* text :
       {"", "\n0123456789abcdef", "short", "0123456789abcdef\nmore", "0123456789\tabcdef"}) {
    CAPTURE(text);
    const auto refused = parse_webhook_secret(text);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid);
    CHECK(refused.error().what.find("abcdef") == std::string::npos);
  }
}

}  // namespace
}  // namespace mvr::github
