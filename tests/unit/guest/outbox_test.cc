// What waits for the host, and what is dropped when it does not come.
#include "guest/outbox.h"

#include "catch.h"

namespace mvr::guest {
namespace {

using channel::FromAgent;
using channel::Output;
using channel::State;

std::vector<FromAgent> drain(Outbox& outbox) {
  channel::Deframer deframer;
  while (!outbox.empty()) {
    const std::string bytes(outbox.next().substr(0, 1000));
    REQUIRE(deframer.push(bytes));
    outbox.consume(bytes.size());
  }
  std::vector<FromAgent> messages;
  while (const auto record = deframer.pop()) {
    auto message = channel::decode_from_agent(*record);
    REQUIRE(message);
    messages.push_back(std::move(*message));
  }
  return messages;
}

State state(const std::string& job) {
  return State{channel::RunnerState::running, job, "", std::nullopt};
}

TEST_CASE("messages leave in their order") {
  Outbox outbox;
  outbox.push(channel::Hello{"1", "6", 1});
  outbox.push(Output{1, "a"});
  outbox.push(state("j"));
  const auto messages = drain(outbox);
  REQUIRE(messages.size() == 3);
  CHECK(std::holds_alternative<channel::Hello>(messages[0]));
  CHECK(std::get<Output>(messages[1]).data == "a");
  CHECK(std::get<State>(messages[2]).job == "j");
  CHECK(outbox.size() == 0);
}

TEST_CASE("too much output loses its oldest part and nothing else") {
  Outbox outbox;
  outbox.push(channel::Failed{"kept"});
  outbox.push(state("kept"));
  const std::string chunk(30'000, 'x');
  for (int i = 0; i < 100; ++i) outbox.push(Output{1, chunk + std::to_string(i)});
  CHECK(outbox.size() <= Outbox::kMaxBytes);
  const auto messages = drain(outbox);
  CHECK(std::holds_alternative<channel::Failed>(messages[0]));
  CHECK(std::holds_alternative<State>(messages[1]));
  CHECK(std::get<Output>(messages.back()).data == chunk + "99");
  CHECK(messages.size() > 20);
  CHECK(messages.size() < 40);
}

TEST_CASE("a state replaces the one that waits") {
  Outbox outbox;
  for (int i = 0; i < 1000; ++i) outbox.push(state(std::to_string(i)));
  const auto messages = drain(outbox);
  REQUIRE(messages.size() == 1);
  CHECK(std::get<State>(messages[0]).job == "999");
}

TEST_CASE("a record that is partly written stays whole") {
  Outbox outbox;
  outbox.push(state("first"));
  const std::string begun(outbox.next().substr(0, 5));
  outbox.consume(5);
  outbox.push(state("second"));
  const std::string rest(outbox.next());
  CHECK(begun + rest == channel::encode(FromAgent(state("first"))));
  const std::string chunk(60'000, 'x');
  for (int i = 0; i < 40; ++i) outbox.push(Output{1, chunk});
  CHECK(outbox.next() == rest);
}

TEST_CASE("a new reader gets what was begun from its start") {
  Outbox outbox;
  outbox.push(Output{1, "hello"});
  const std::string whole(outbox.next());
  outbox.consume(3);
  outbox.restart();
  CHECK(outbox.next() == whole);
}

}  // namespace
}  // namespace mvr::guest
