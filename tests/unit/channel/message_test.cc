// Every message survives a round trip, and looks on the wire as documented.
#include "channel/message.h"

#include "base/text.h"
#include "catch.h"

namespace mvr::channel {
namespace {

const std::string kKey =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

std::string body(const std::string& record) {
  REQUIRE(record.size() > 2);
  REQUIRE(record.front() == '\x1e');
  REQUIRE(record.back() == '\n');
  REQUIRE(record.find('\n') == record.size() - 1);
  return record.substr(1, record.size() - 2);
}

template <class Message>
Message to_agent_and_back(Message message) {
  const auto decoded = decode_to_agent(body(encode(ToAgent(std::move(message)))));
  INFO((decoded ? std::string() : decoded.error().what));
  REQUIRE(decoded);
  REQUIRE(std::holds_alternative<Message>(*decoded));
  auto copy = decode_to_agent(body(encode(*decoded)));
  REQUIRE(copy);
  return std::move(std::get<Message>(*copy));
}

template <class Message>
Message from_agent_and_back(const Message& message) {
  const auto decoded = decode_from_agent(body(encode(FromAgent(message))));
  INFO((decoded ? std::string() : decoded.error().what));
  REQUIRE(decoded);
  REQUIRE(std::holds_alternative<Message>(*decoded));
  return std::get<Message>(*decoded);
}

TEST_CASE("configure with a command survives a round trip") {
  Configure sent;
  sent.hostname = "small-ab2cd3";
  sent.user = "runner";
  sent.env = {{"A", "1"}, {"PATH", "/bin:\"quoted\"\nline"}};
  sent.workdir = "/srv/work";
  sent.profile = "small";
  sent.argv = {"/bin/sh", "-c", "", "echo \x1e"};
  sent.wall_ms = 1'795'000'000'123;
  const auto got = to_agent_and_back(std::move(sent));
  CHECK(got.hostname == "small-ab2cd3");
  CHECK(got.user == "runner");
  CHECK(got.env.at("PATH") == "/bin:\"quoted\"\nline");
  CHECK(got.env.size() == 2);
  CHECK(got.workdir == "/srv/work");
  CHECK(got.argv == std::vector<std::string>{"/bin/sh", "-c", "", "echo \x1e"});
  CHECK(got.jit_config.empty());
  CHECK(got.wall_ms == 1'795'000'000'123);
}

TEST_CASE("an identity survives a round trip") {
  Identity sent;
  sent.words = "mvr.hostname=small-ab2cd3 mvr.ip=10.0.0.2/30";
  sent.mac = "02:6d:76:00:00:0a";
  sent.seed = Secret(std::string("\0\xff seed", 7) + std::string(kMinSeed, 'x'));
  sent.wall_ms = 1'795'000'000'123;
  const std::string seed(sent.seed.expose());
  const auto got = to_agent_and_back(std::move(sent));
  CHECK(got.words == "mvr.hostname=small-ab2cd3 mvr.ip=10.0.0.2/30");
  CHECK(got.mac == "02:6d:76:00:00:0a");
  CHECK(got.seed.expose() == seed);
  CHECK(got.wall_ms == 1'795'000'000'123);
}

TEST_CASE("an identity is refused unless all of it is within its bounds") {
  const auto decoded = [](const std::string& words, const std::string& mac, std::size_t seed) {
    return decode_to_agent(R"({"v":1,"type":"identity","wall_ms":1,"words":")" + words +
                           R"(","mac":")" + mac + R"(","seed":")" +
                           base64_encode(std::string(seed, 's')) + R"("})");
  };
  CHECK(decoded("a", "02:6d:76:00:00:0a", kMinSeed));
  CHECK(decoded("", "", kMaxSeed));
  CHECK_FALSE(decoded("a\\nb", "", kMinSeed));
  CHECK_FALSE(decoded(std::string(5000, 'a'), "", kMinSeed));
  CHECK_FALSE(decoded("", "", kMinSeed - 1));
  CHECK_FALSE(decoded("", "", kMaxSeed + 1));
  const std::string mac =
      GENERATE(as<std::string>{}, "02:6d:76:00:00", "02:6d:76:00:00:0A", "02:6d:76:00:00:0a:0b",
               "03:6d:76:00:00:0a", "2:6d:76:00:0:0a", "02-6d-76-00-00-0a", "02:6d:76:00:00:0g");
  CHECK_FALSE(decoded("", mac, kMinSeed));
}

TEST_CASE("a notice survives a round trip, and is one printable line") {
  CHECK(to_agent_and_back(Notice{"this job is ended in 6m"}).text == "this job is ended in 6m");
  CHECK_FALSE(decode_to_agent(R"({"v":1,"type":"notice"})"));
  CHECK_FALSE(decode_to_agent(R"({"v":1,"type":"notice","text":"a\nb"})"));
  CHECK_FALSE(decode_to_agent(R"({"v":1,"type":"notice","text":"a","more":1})"));
}

TEST_CASE("configure with a JIT configuration survives a round trip") {
  Configure sent;
  sent.hostname = "vm";
  sent.user = "runner";
  sent.profile = "flex-4cpu-16gb";
  sent.jit_config = Secret("c2VjcmV0");
  const auto got = to_agent_and_back(std::move(sent));
  CHECK(got.jit_config.expose() == "c2VjcmV0");
  CHECK(got.argv.empty());
  CHECK(got.profile == "flex-4cpu-16gb");
}

TEST_CASE("what a profile serves survives a round trip, either flag for itself") {
  for (const bool serves_public : {false, true}) {
    for (const bool serves_forks : {false, true}) {
      Configure sent;
      sent.hostname = "vm";
      sent.user = "runner";
      sent.profile = "small";
      sent.serves_public = serves_public;
      sent.serves_forks = serves_forks;
      sent.jit_config = Secret("c2VjcmV0");
      const auto got = to_agent_and_back(std::move(sent));
      CHECK(got.serves_public == serves_public);
      CHECK(got.serves_forks == serves_forks);
    }
  }
}

TEST_CASE("sync and shutdown survive a round trip") {
  to_agent_and_back(Sync{});
  CHECK(to_agent_and_back(Shutdown{4'294'967'295}).grace_ms == 4'294'967'295);
}

TEST_CASE("a key with a comment survives a round trip") {
  const auto got = to_agent_and_back(AuthorizeKey{"root", kKey + " me@host", 60});
  CHECK(got.user == "root");
  CHECK(got.public_key == kKey + " me@host");
  CHECK(got.lifetime_s == 60);
}

TEST_CASE("input carries any bytes") {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const auto got = to_agent_and_back(Input{all, true});
  CHECK(got.data == all);
  CHECK(got.end);
}

TEST_CASE("hello survives a round trip") {
  const auto got = from_agent_and_back(Hello{"0.1.0", "6.1.0-56-cloud-amd64", 1500});
  CHECK(got.agent_version == "0.1.0");
  CHECK(got.kernel == "6.1.0-56-cloud-amd64");
  CHECK(got.boot_ms == 1500);
}

TEST_CASE("every runner state survives a round trip") {
  for (const auto state :
       {RunnerState::idle, RunnerState::starting, RunnerState::listening, RunnerState::running}) {
    CHECK(from_agent_and_back(State{state, "build", "", std::nullopt}).runner == state);
  }
  const auto got = from_agent_and_back(State{RunnerState::exited, "build", "Succeeded", 100});
  CHECK(got.runner == RunnerState::exited);
  CHECK(got.job == "build");
  CHECK(got.result == "Succeeded");
  CHECK(got.exit_code == 100);
}

TEST_CASE("output carries any bytes up to one chunk and fits a record") {
  const std::string chunk(kMaxChunk, '\xff');
  CHECK(from_agent_and_back(Output{2, chunk}).data == chunk);
  CHECK(encode(FromAgent(Output{2, chunk})).size() < kMaxRecord);
}

TEST_CASE("the answers to a request survive a round trip") {
  CHECK(from_agent_and_back(KeyAuthorized{kKey}).host_key == kKey);
  CHECK(from_agent_and_back(Failed{"no such user"}).what == "no such user");
}

TEST_CASE("what a guest uses survives a round trip") {
  Usage usage;
  usage.memory = 1;
  usage.memory_peak = 2;
  usage.memory_total = 3;
  usage.disk = 4;
  usage.disk_peak = 5;
  usage.disk_total = std::uint64_t{1} << 52U;
  usage.cpu_ms = 6;
  usage.oom_kills = 7;
  usage.oom_victim = "cc1plus";
  usage.disk_full = true;
  usage.network_trouble = "no route to host";
  CHECK(from_agent_and_back(usage) == usage);
}

TEST_CASE("the actions of a job survive a round trip") {
  const std::vector<ActionRef> used{{"actions/checkout", std::string(40, 'a')},
                                    {"a_b/c.d-e", std::string(64, '9')}};
  CHECK(from_agent_and_back(Actions{used}).used == used);
}

TEST_CASE("what opens, feeds and closes a stream survives a round trip") {
  const auto open = to_agent_and_back(Open{7, "runner", {"sh", "-c", "echo \n"}});
  CHECK(open.stream == 7);
  CHECK(open.user == "runner");
  CHECK(open.argv == std::vector<std::string>{"sh", "-c", "echo \n"});
  CHECK(to_agent_and_back(Open{1, "root", {}}).argv.empty());
  const std::string chunk(kMaxChunk, '\xff');
  CHECK(to_agent_and_back(StreamData{4'294'967'295, chunk, false}).data == chunk);
  CHECK(from_agent_and_back(StreamData{2, "", true}).error);
  CHECK(from_agent_and_back(StreamAck{3, kStreamWindow}).bytes == kStreamWindow);
  CHECK(from_agent_and_back(Close{3, 255}).exit_code == 255);
  CHECK(to_agent_and_back(Hold{1800}).time_s == 1800);
}

TEST_CASE("a job name that is not UTF-8 is encoded with replacement characters") {
  const auto got = from_agent_and_back(State{RunnerState::running, "a\xff", "", std::nullopt});
  CHECK(got.job == "a\xef\xbf\xbd");
}

TEST_CASE("the wire form is the documented one") {
  CHECK(encode(ToAgent(Sync{})) == "\x1e{\"type\":\"sync\",\"v\":1}\n");
  CHECK(encode(FromAgent(State{})) ==
        "\x1e{\"job\":\"\",\"result\":\"\",\"runner\":\"idle\",\"type\":\"state\",\"v\":1}\n");
}

}  // namespace
}  // namespace mvr::channel
