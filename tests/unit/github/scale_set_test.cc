// The message queue of a runner scale set, from the way in to its faults.
#include "base/text.h"
#include "catch.h"
#include "set_bench.h"

namespace mvr::github {
namespace {

using namespace mvr::test;
using Log = std::vector<std::string>;

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Answer message(int id, const std::string& entries, const std::string& statistics) {
  return answer(message_json(id, entries, statistics));
}
std::string assigned(std::int64_t id) {
  return entry_json("JobAssigned", id, "u-" + std::to_string(id));
}

}  // namespace

TEST_CASE("a set is looked up, its session opened, its queue listened to") {
  SetBench bench;
  bench.server->add(kOpen, session_answer(bench, "queue-1", statistics_json(3, 1)));
  bench.listen();
  bench.run_until_level(2);
  bench.run_until_asked(kPoll);
  CHECK(bench.server->log() ==
        Log{"GET /repos/acme/app", kRegistrationToken, kRegister, kFindSet, kOpen, kPoll});
  CHECK(bench.last(kRegister).headers.at("authorization") == "RemoteAuth REG");
  CHECK(bench.last(kRegister).body ==
        R"({"runner_event":"register","url":")" + bench.server->url() + "/acme/app\"}");
  CHECK(bench.last(kOpen).body == R"({"ownerName":"h1"})");
  CHECK(says(bench.last(kOpen).headers.at("authorization"), "Bearer eyJ"));
  const auto poll = bench.last(kPoll).headers;
  CHECK(poll.at("authorization") == "Bearer queue-1");
  CHECK(poll.at("x-scalesetmaxcapacity") == "4");
  CHECK(poll.at("accept") == "application/json; api-version=6.0-preview");
  CHECK(bench.failures->empty());
}

TEST_CASE("a set that is not there is made, one that differs is changed") {
  SetBench bench;
  const std::string change = set_call("PATCH", "");
  std::string wanted = kMakeSet;
  SECTION("made") { bench.server->add(kFindSet, answer(R"({"count":0,"value":[]})")); }
  SECTION("changed") {
    wanted = change;
    bench.server->add(kFindSet,
                      answer(R"({"count":1,"value":[)" + set_json(5, "mv", "other") + "]}"));
  }
  bench.server->add(wanted, answer(set_json(5, "mv", "mv,linux")));
  bench.settings.extra_labels = {"Linux", "MV"};
  (void)bench.client->renew(bench.settings, keyring_of(bench.settings, "ghp_test"));
  bench.listen();
  bench.run_until_asked(kPoll);
  CHECK(says(bench.last(wanted).body, R"("labels":[{"name":"mv","type":"System"},)"
                                      R"({"name":"Linux","type":"System"}])"));
  CHECK(says(bench.last(wanted).body, R"("RunnerSetting":{"disableUpdate":true})"));
}

TEST_CASE("a message is acquired from, reported, and then deleted") {
  SetBench bench;
  bench.server->add(kPoll, message(7, assigned(1) + "," + assigned(2), statistics_json(2)));
  bench.listen();
  bench.run_until_asked(poll_after(7));
  CHECK(bench.level() == 2);
  CHECK(bench.demands->back().demands.at(0).jobs.at(0).name == "build u-1");
  CHECK(bench.count(ack_of(7)) == 1);
  CHECK(bench.last(ack_of(7)).headers.at("authorization") == "Bearer queue-1");
  const Log log = bench.server->log();
  CHECK(Log(log.end() - 3, log.end()) == Log{kPoll, ack_of(7), poll_after(7)});
}

TEST_CASE("no message for a while: the demand is as it was, and confirmed") {
  SetBench bench;
  bench.server->add(kOpen, session_answer(bench, "queue-1", statistics_json(1)));
  bench.server->add(kPoll, status(202));
  bench.listen();
  bench.run_until_asked(kPoll, 2);
  CHECK(bench.demands->size() == 2);
  CHECK(bench.level() == 1);
  CHECK(bench.demands->at(1).as_of >= bench.demands->at(0).as_of);
}

TEST_CASE("offers are acquired before the message is deleted") {
  SetBench bench;
  const std::string acquire = set_call("POST", "/acquirejobs");
  bench.server->add(kPoll, message(7,
                                   entry_json("JobAvailable", 31, "a") + "," +
                                       entry_json("JobAvailable", 0, "b") + "," +
                                       entry_json("JobAvailable", 32, "c"),
                                   statistics_json(0, 0, 3)));
  bench.server->add(acquire, answer(R"({"count":2,"value":[31,32]})"));
  bench.listen();
  bench.run_until_asked(ack_of(7));
  CHECK(bench.last(acquire).body == "[31,32]");
  CHECK(bench.last(acquire).headers.at("authorization") == "Bearer queue-1");
  CHECK(bench.level() == 0);
}

TEST_CASE("a message whose offers cannot be acquired stays in the queue") {
  SetBench bench;
  const std::string acquire = set_call("POST", "/acquirejobs");
  bench.server->always(kPoll, message(7, entry_json("JobAvailable", 31, "a"), "null"));
  bench.server->add(acquire, status(401));
  bench.server->add(acquire, answer(R"({"count":1,"value":[31]})"));
  bench.server->add(kRefresh, session_answer(bench, "queue-2", "null"));
  bench.listen();
  bench.run_until_asked(ack_of(7));
  CHECK(bench.count(acquire) == 2);
  CHECK(bench.last(acquire).headers.at("authorization") == "Bearer queue-2");
}

TEST_CASE("a queue token that is refused is refreshed, once") {
  SetBench bench;
  bench.server->add(kPoll, status(401));
  bench.server->add(kRefresh, session_answer(bench, "queue-2", "null"));
  SECTION("which helps") {
    bench.listen();
    bench.run_until_asked(kPoll, 2);
    CHECK(bench.last(kPoll).headers.at("authorization") == "Bearer queue-2");
    CHECK(bench.count(kOpen) == 1);
    CHECK(bench.failures->empty());
  }
  SECTION("later, when GitHub fails meanwhile") {
    SetBench later;
    for (int n = 0; n < 2; ++n) later.server->add(kPoll, status(401));
    later.server->add(kRefresh, status(502));
    later.server->add(kRefresh, session_answer(later, "queue-2", "null"));
    later.listen();
    later.run_until_asked(kPoll, 3);
    CHECK(later.count(kRefresh) == 2);
    CHECK(later.count(kOpen) == 1);
  }
  SECTION("or a new session is opened") {
    bench.server->add(kPoll, status(401));
    bench.listen();
    bench.run_until_asked(kOpen, 2);
    CHECK(bench.count(kRefresh) == 1);
    CHECK(bench.count(kClose) == 1);
    CHECK(bench.failures->size() == 1);
  }
}

TEST_CASE("a queue token is refreshed before it ends") {
  SetBench bench;
  bench.server->add(kOpen, session_answer(bench, jwt(in_seconds(2)), statistics_json(0)));
  bench.server->always(kRefresh, session_answer(bench, "queue-2", "null"));
  Answer none = status(202);
  none.delay = Duration{300};
  bench.server->always(kPoll, none);
  bench.listen();
  bench.run_until_asked(kRefresh);
  CHECK(bench.failures->empty());
}

TEST_CASE("somebody else's session is waited for, and the error says what helps") {
  SetBench bench;
  for (int n = 0; n < 2; ++n) {
    bench.server->add(kOpen, status(409, fault_json("RunnerScaleSetSessionConflictException")));
  }
  bench.listen();
  const std::string text = bench.run_until_failure();
  CHECK(says(text, "profile small"));
  CHECK(says(text, "the scale sets of acme/app"));
  CHECK(says(text, "two hosts need a runner group each"));
  CHECK(bench.failures->back().error.code == Errc::busy);
  bench.run_until_level(0);
  CHECK(bench.count(kOpen) == 3);
}

TEST_CASE("one failure of GitHub's is nobody's business, the second is") {
  SetBench bench;
  bench.server->add(kPoll, status(503));
  bench.listen();
  bench.run_until_asked(kPoll, 2);
  CHECK(bench.failures->empty());
  SetBench worse;
  for (int n = 0; n < 2; ++n) worse.server->add(kPoll, status(502, "<html>"));
  worse.listen();
  CHECK(says(worse.run_until_failure(), "HTTP 502"));
  worse.run_until_asked(kPoll, 3);
  CHECK(worse.count(kOpen) == 1);  // an outage does not end the session
  CHECK(worse.count(kClose) == 0);
  CHECK(worse.count("GET /repos/acme/app") == 1);
}

TEST_CASE("a byte order mark in front of an answer does no harm") {
  SetBench bench;
  const std::string mark = "\xEF\xBB\xBF";
  bench.server->add(kRegister, answer(mark + connection_json(bench.server->url() + "/svc", "t")));
  bench.server->add(kFindSet, answer(mark + R"({"value":[)" + set_json(5, "mv", "mv") + "]}"));
  bench.server->add(kPoll, answer(mark + message_json(7, assigned(1), statistics_json(1))));
  bench.listen();
  bench.run_until_level(1);
}

TEST_CASE("a registration token just made is tried again where it is refused") {
  SetBench bench;
  bench.server->add(kRegister, status(401));
  bench.server->add(kRegister, status(403));
  bench.listen();
  bench.run_until_asked(kPoll);
  CHECK(bench.count(kRegister) == 3);
  CHECK(bench.failures->empty());
}

TEST_CASE("a refused connection is made anew, and may lead elsewhere") {
  SetBench bench;
  bench.server->add(kFindSet, status(401));
  bench.server->add(kRegister, answer(connection_json(bench.server->url() + "/svc", "old")));
  bench.server->add(kRegister, answer(connection_json(bench.server->url() + "/other", "new")));
  const auto moved = [](std::string request) {
    return request.replace(request.find("/svc/"), 5, "/other/");
  };
  bench.server->add(moved(kFindSet), answer(R"({"value":[)" + set_json(5, "mv", "mv") + "]}"));
  bench.server->add(moved(kOpen), session_answer(bench, "queue-1", statistics_json(1)));
  bench.listen();
  bench.run_until_level(1);
  CHECK(bench.last(moved(kOpen)).headers.at("authorization") == "Bearer new");
}

TEST_CASE("a message that is none costs the session, not the demand") {
  SetBench bench;
  bench.server->add(kOpen, session_answer(bench, "queue-1", statistics_json(1)));
  bench.server->add(kOpen, session_answer(bench, "queue-2", statistics_json(2)));
  bench.server->add(kPoll, answer("[]"));
  bench.listen();
  CHECK(says(bench.run_until_failure(), "message queue of acme/app"));
  CHECK(bench.level() == 1);
  bench.run_until_level(2);
  CHECK(bench.count(kClose) == 1);
}

TEST_CASE("a message that comes again is deleted, and counts once") {
  SetBench bench;
  bench.server->add(ack_of(7), status(500));
  bench.server->add(kPoll, message(7, assigned(1), statistics_json(1)));
  bench.server->add(kPoll, message(7, assigned(1), statistics_json(9)));
  bench.listen();
  bench.run_until_asked(poll_after(7));
  CHECK(bench.count(ack_of(7)) == 2);
  CHECK(bench.level() == 1);
}

TEST_CASE("the statistics rule, the body fills in") {
  SetBench bench;
  bench.server->add(kPoll, message(1, assigned(1) + "," + assigned(2), statistics_json(0)));
  bench.server->add(poll_after(1), message(2, "", statistics_json(5, 2)));
  bench.listen();
  bench.run_until_level(2);
  bench.run_until_level(3);
}

TEST_CASE("the queue is told at once when the host's capacity changes") {
  Tuning tuning = quick();
  tuning.capacity_look = Duration{10};
  SetBench bench(tuning);
  bench.listen();
  bench.run_until_asked(kPoll);
  bench.capacity = 9;
  bench.run_until_asked(kPoll, 2);
  CHECK(bench.last(kPoll).headers.at("x-scalesetmaxcapacity") == "9");
}

TEST_CASE("stopping gives the session back") {
  SetBench bench;
  bool is_over = false;
  SECTION("while listening") {
    bench.listen();
    bench.run_until_asked(kPoll);
  }
  SECTION("while the session is being opened") {
    Answer slow = session_answer(bench, "queue-1", statistics_json(0));
    slow.delay = Duration{30};
    bench.server->add(kOpen, slow);
    bench.listen();
    bench.run_until_asked(kOpen);
  }
  const std::size_t reports = bench.demands->size();
  bench.discovery->stop([&] {
    is_over = true;
    bench.discovery.reset();
  });
  bench.run_until([&] { return is_over; });
  CHECK(bench.count(kClose) == 1);
  CHECK(bench.demands->size() == reports);
}

TEST_CASE("stopping without a session takes no time") {
  SetBench bench;
  bool is_over = false;
  bench.listen();
  bench.discovery->stop([&] { is_over = true; });
  CHECK(is_over);
}

}  // namespace mvr::github
