// What the other side must not get past decoding.
#include <array>
#include <random>

#include "catch.h"
#include "channel/message.h"

namespace mvr::channel {
namespace {

const std::string kKey =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

const std::vector<std::string>& valid_to_agent() {
  static const std::vector<std::string> kMessages{
      R"({"v":1,"type":"configure","hostname":"a","user":"runner","env":{"A":"b"},"workdir":"",)"
      R"("profile":"p","about":"","serves_public":true,"serves_forks":true,"argv":["x"],)"
      R"("wall_ms":1})",
      R"({"v":1,"type":"configure","hostname":"a","user":"runner","env":{},"workdir":"/w",)"
      R"("profile":"p","about":"a","serves_public":false,"serves_forks":false,)"
      R"("jit_config":"YQ==","wall_ms":0})",
      R"({"v":1,"type":"sync"})",
      R"({"v":1,"type":"shutdown","grace_ms":10})",
      R"({"v":1,"type":"authorize_key","user":"u","lifetime_s":1,"public_key":")" + kKey + "\"}",
      R"({"v":1,"type":"input","data":"YQ==","end":false})",
      R"({"v":1,"type":"hold","time_s":60})",
      R"({"v":1,"type":"open","stream":1,"user":"u","argv":["x"]})",
  };
  return kMessages;
}

const std::vector<std::string>& valid_from_agent() {
  static const std::vector<std::string> kMessages{
      R"({"v":1,"type":"hello","agent_version":"1","kernel":"6","boot_ms":1})",
      R"({"v":1,"type":"state","runner":"exited","job":"j","result":"Failed","exit_code":102})",
      R"({"v":1,"type":"state","runner":"idle","job":"","result":""})",
      R"({"v":1,"type":"output","stream":1,"data":"YQ=="})",
      R"({"v":1,"type":"key_authorized","host_key":")" + kKey + "\"}",
      R"({"v":1,"type":"failed","what":"x"})",
      R"({"v":1,"type":"usage","memory":1,"memory_peak":2,"memory_total":3,"disk":4,"disk_peak":5,)"
      R"("disk_total":6,"cpu_ms":7,"oom_kills":8,"oom_victim":"x","disk_full":false,)"
      R"("network_trouble":"y"})",
      R"({"v":1,"type":"actions","used":["a/b@0123456789abcdef0123456789abcdef01234567"]})",
  };
  return kMessages;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST_CASE("the messages the hostile ones are made from are accepted") {
  for (const auto& text : valid_to_agent()) CHECK(decode_to_agent(text));
  for (const auto& text : valid_from_agent()) CHECK(decode_from_agent(text));
}

TEST_CASE("a message cut at any length is refused") {
  for (const auto& text : valid_to_agent()) {
    for (std::size_t n = 0; n < text.size(); ++n) CHECK_FALSE(decode_to_agent(text.substr(0, n)));
  }
  for (const auto& text : valid_from_agent()) {
    for (std::size_t n = 0; n < text.size(); ++n) CHECK_FALSE(decode_from_agent(text.substr(0, n)));
  }
}

TEST_CASE("a message for the other direction is refused") {
  for (const auto& text : valid_to_agent()) CHECK_FALSE(decode_from_agent(text));
  for (const auto& text : valid_from_agent()) CHECK_FALSE(decode_to_agent(text));
}

TEST_CASE("an unknown field is refused in every message") {
  for (auto text : valid_to_agent()) {
    CHECK_FALSE(decode_to_agent(text.insert(text.size() - 1, R"(,"extra":1)")));
  }
  for (auto text : valid_from_agent()) {
    CHECK_FALSE(decode_from_agent(text.insert(text.size() - 1, R"(,"extra":1)")));
  }
}

TEST_CASE("a repeated field is refused") {
  for (auto text : valid_from_agent()) {
    CHECK_FALSE(decode_from_agent(text.insert(text.size() - 1, R"(,"v":1)")));
  }
  CHECK_FALSE(decode_to_agent(replaced(valid_to_agent()[0], R"("A":"b")", R"("A":"b","A":"c")")));
}

TEST_CASE("another version is refused and the text says what to do") {
  const auto got = decode_to_agent(R"({"v":2,"type":"sync"})");
  REQUIRE_FALSE(got);
  CHECK(got.error().code == Errc::protocol);
  CHECK(got.error().what.find("one build") != std::string::npos);
  CHECK_FALSE(decode_to_agent(R"({"v":1.0,"type":"sync"})"));
  CHECK_FALSE(decode_to_agent(R"({"v":"1","type":"sync"})"));
  CHECK_FALSE(decode_to_agent(R"({"type":"sync"})"));
}

TEST_CASE("numbers out of their bounds are refused") {
  const auto& state = valid_from_agent()[1];
  for (const auto* code : {"-1", "256", "1.0", "1e2", "\"1\"", "null", "99999999999999999999"}) {
    CHECK_FALSE(decode_from_agent(replaced(state, "102", code)));
  }
  for (const auto* time : {"0", "86401", "-1"}) {
    CHECK_FALSE(decode_to_agent(replaced(valid_to_agent()[6], "60", time)));
  }
  for (const auto* bytes : {"-1", "9007199254740993", "1.5"}) {
    const std::string kField = "\"disk\":";
    CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[6], kField + "4", kField + bytes)));
  }
  for (const auto* ack : {R"("bytes":0)", R"("bytes":131073)", R"("bytes":-1)"}) {
    const std::string kStart = R"({"v":1,"type":"stream_ack","stream":1,)";
    CHECK_FALSE(decode_from_agent(kStart + ack + "}"));
    CHECK_FALSE(decode_to_agent(kStart + ack + "}"));
  }
  for (const auto* grace : {"-1", "4294967296", "18446744073709551615"}) {
    CHECK_FALSE(decode_to_agent(replaced(valid_to_agent()[3], "10", grace)));
  }
  CHECK_FALSE(
      decode_to_agent(replaced(valid_to_agent()[4], R"("lifetime_s":1)", R"("lifetime_s":0)")));
  CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[3], R"("stream":1)", R"("stream":4)")));
}

TEST_CASE("an exit code belongs to exited and to nothing else") {
  CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[1], "exited", "running")));
  CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[2], "idle", "exited")));
}

TEST_CASE("control characters in what people will see are refused") {
  for (const auto* bad : {R"(\u001b[2J)", R"(\n)", R"(\u0000)", R"(\u007f)"}) {
    CHECK_FALSE(decode_from_agent(
        replaced(valid_from_agent()[1], R"("j")", std::string("\"") + bad + "\"")));
    CHECK_FALSE(decode_from_agent(
        replaced(valid_from_agent()[5], R"("x")", std::string("\"") + bad + "\"")));
  }
}

TEST_CASE("long text from the guest is refused") {
  const std::string text(5000, 'a');
  CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[1], R"("j")", "\"" + text + "\"")));
  CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[5], R"("x")", "\"" + text + "\"")));
  CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[0], R"("6")", "\"" + text + "\"")));
}

TEST_CASE("a host key that would add a line or an option to known_hosts is refused") {
  const auto& text = valid_from_agent()[4];
  const std::vector<std::string> bad{kKey + " comment",
                                     kKey + "\\nevil " + kKey,
                                     "* " + kKey,
                                     "ssh-ed25519",
                                     "ssh-dss " + kKey,
                                     kKey + "!",
                                     ""};
  for (const auto& key : bad) CHECK_FALSE(decode_from_agent(replaced(text, kKey, key)));
}

TEST_CASE("a public key that would add an option or a line to authorized_keys is refused") {
  const auto& text = valid_to_agent()[4];
  const std::vector<std::string> bad{"command=\\\"x\\\" " + kKey, kKey + "\\n" + kKey, "",
                                     kKey + " \\u001b"};
  for (const auto& key : bad) CHECK_FALSE(decode_to_agent(replaced(text, kKey, key)));
}

TEST_CASE("names that are no names are refused") {
  for (const auto* user : {"", "-r", "a b", "a/b", "a:b", "..", "a\\n"}) {
    CHECK_FALSE(
        decode_to_agent(replaced(valid_to_agent()[4], R"("u")", std::string("\"") + user + "\"")));
  }
  for (const auto* name : {"", "A=B", "1A", "A-B", "A\\u0000"}) {
    CHECK_FALSE(
        decode_to_agent(replaced(valid_to_agent()[0], R"("A")", std::string("\"") + name + "\"")));
  }
  for (const auto* host : {"", "a b", "-a", "a.b/c", "A"}) {
    CHECK_FALSE(decode_to_agent(replaced(valid_to_agent()[0], R"("hostname":"a")",
                                         std::string(R"("hostname":")") + host + "\"")));
  }
}

TEST_CASE("configure needs exactly one of a JIT configuration and a command") {
  const auto& command = valid_to_agent()[0];
  CHECK_FALSE(decode_to_agent(replaced(command, R"("argv":["x"],)", "")));
  CHECK_FALSE(
      decode_to_agent(replaced(command, R"("argv":["x"])", R"("argv":["x"],"jit_config":"YQ==")")));
  CHECK_FALSE(decode_to_agent(replaced(command, R"(["x"])", "[]")));
  CHECK_FALSE(decode_to_agent(replaced(command, R"(["x"])", R"([""])")));
  CHECK_FALSE(decode_to_agent(replaced(command, R"(["x"])", R"(["x\u0000y"])")));
  CHECK_FALSE(decode_to_agent(replaced(command, R"(["x"])", R"([1])")));
  CHECK_FALSE(decode_to_agent(replaced(valid_to_agent()[1], "YQ==", "not base64")));
  CHECK_FALSE(decode_to_agent(replaced(valid_to_agent()[1], "YQ==", "")));
}

TEST_CASE("what a profile serves must be said, with its name, in so many words") {
  const auto& runner = valid_to_agent()[1];
  for (const std::string name : {"serves_public", "serves_forks"}) {
    const std::string field = "\"" + name + "\":false";
    CHECK_FALSE(decode_to_agent(replaced(runner, field + ",", "")));
    for (const auto* value : {"0", "null", "\"false\"", "[]"}) {
      CHECK_FALSE(decode_to_agent(replaced(runner, field, "\"" + name + "\":" + value)));
    }
  }
  CHECK_FALSE(decode_to_agent(replaced(runner, R"("profile":"p",)", "")));
  for (const auto* name : {"", "a b", "a'b", "P", "a\\n"}) {
    CHECK_FALSE(decode_to_agent(
        replaced(runner, R"("profile":"p")", std::string(R"("profile":")") + name + "\"")));
  }
}

TEST_CASE("a secret is not repeated in the error text") {
  const auto got = decode_to_agent(replaced(valid_to_agent()[1], "YQ==", "hunter2!"));
  REQUIRE_FALSE(got);
  CHECK(got.error().what.find("hunter2") == std::string::npos);
}

TEST_CASE("bytes of no chunk's size are refused") {
  const std::string text(4 * (kMaxChunk / 3 + 1), 'A');
  CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[3], "YQ==", text)));
  CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[3], "YQ==", "YQ=")));
}

TEST_CASE("deep nesting is refused without following it") {
  CHECK_FALSE(decode_to_agent(std::string(kMaxRecord, '[')));
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += R"({"a":)";
  CHECK_FALSE(decode_to_agent(text));
  CHECK_FALSE(decode_to_agent(replaced(valid_to_agent()[0], R"("b")", R"({"c":"d"})")));
}

TEST_CASE("what is no object of ours is refused") {
  for (const auto* text :
       {"", "null", "1", "[]", "\"sync\"", "{}", "{\"v\":1}", "{} {}", "\xff",
        R"({"v":1,"type":"sync"} x)", R"({"v":1,"type":7})", R"({"v":1,"type":"nonsense"})"}) {
    CHECK_FALSE(decode_to_agent(text));
    CHECK_FALSE(decode_from_agent(text));
  }
  CHECK_FALSE(decode_from_agent(std::string(kMaxRecord + 1, ' ')));
}

TEST_CASE("strings that are not UTF-8 are refused") {
  CHECK_FALSE(decode_from_agent(replaced(valid_from_agent()[1], R"("j")", "\"\xff\"")));
}

// Mutants of valid messages reach the branches that random bytes do not. Decoding may accept or
// refuse them; what it accepts must encode to something it accepts again.
TEST_CASE("what survives decoding of a mutant can be encoded and decoded again") {
  std::mt19937 random(7);  // NOLINT(cert-msc32-c,cert-msc51-cpp): a fixed seed, to be repeatable
  constexpr std::string_view kBytes = "\"\\{}[]:,0-9aevut\x01\xff ";
  for (int round = 0; round < 20'000; ++round) {
    std::string text = valid_from_agent()[random() % valid_from_agent().size()];
    for (auto count = random() % 3 + 1; count > 0; --count) {
      text[random() % text.size()] = kBytes[random() % kBytes.size()];
    }
    const auto got = decode_from_agent(text);
    if (!got) continue;
    const std::string again = encode(*got);
    CHECK(decode_from_agent(std::string_view(again).substr(1, again.size() - 2)));
  }
}

TEST_CASE("actions are few, and named as GitHub names them") {
  const std::string good = "a/b@" + std::string(40, '0');
  const auto message = [](const std::string& used) {
    return R"({"v":1,"type":"actions","used":)" + used + "}";
  };
  const auto many = [&](std::size_t count) {
    std::string list;
    for (std::size_t n = 0; n < count; ++n) list += (n > 0 ? ",\"" : "\"") + good + "\"";
    return message("[" + list + "]");
  };
  CHECK(decode_from_agent(many(kMaxActions)));
  CHECK_FALSE(decode_from_agent(many(kMaxActions + 1)));
  for (const std::string& used :
       {std::string("[]"), std::string("{}"), std::string("[1]"), "[\"" + good + "0\"]",
        "[\"../" + good + "\"]", "[\"a/" + good + "\"]", "[\"" + good + "\",\"x\"]"}) {
    INFO(used);
    CHECK_FALSE(decode_from_agent(message(used)));
  }
}

}  // namespace
}  // namespace mvr::channel
