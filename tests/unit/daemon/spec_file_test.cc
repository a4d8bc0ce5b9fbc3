#include "daemon/spec_file.h"

#include "catch.h"

namespace {

using namespace mvr;

core::SavedVm sample() {
  core::SavedVm saved;
  saved.boot_id = "c0ffee";
  saved.pid = 4711;
  saved.start_time = 123456789;
  saved.vm.slot = 7;
  saved.vm.name = "small-abcdef";
  saved.vm.profile = "small";
  saved.vm.scope = "acme/app";
  saved.vm.size = core::Resources{gib(4), 2, gib(20)};
  saved.vm.limits = core::Limits{Duration{60'000}, Duration{300'000}, Duration{3'600'000}};
  saved.vm.origin = "1234";
  saved.vm.repository = "acme/app";
  saved.vm.workflow = "ci";
  saved.vm.queued = WallTime{Duration{1'700'000'000'123}};
  saved.vm.run = 17'000'000'001;
  saved.vm.warned = true;
  saved.vm.expected = Duration{90'000};
  saved.vm.phase = core::Phase::running;
  saved.vm.since = Instant{Duration{5000}};
  saved.vm.created = Instant{Duration{1000}};
  saved.vm.job = "build (\xC3\xBC)";
  saved.vm.trouble = core::EndCause::guest_oom;
  saved.vm.trouble_text = "the kernel killed cc1plus";
  saved.vm.hold = Duration{60'000};
  saved.vm.held_until = Instant{Duration{9000}};
  saved.vm.runner = core::Runner{42, "mv-host-01234567"};
  return saved;
}

}  // namespace

TEST_CASE("a saved VM reads back as it was written") {
  const auto saved = sample();
  const auto read = daemon::decode_spec(daemon::encode_spec(saved));
  REQUIRE(read);
  CHECK(read->vm == saved.vm);
  CHECK(read->boot_id == saved.boot_id);
  CHECK(read->pid == saved.pid);
  CHECK(read->start_time == saved.start_time);
}

TEST_CASE("every phase and cause survives the file") {
  for (int phase = 0; phase <= static_cast<int>(core::Phase::held); ++phase) {
    for (int cause = 0; cause <= static_cast<int>(core::EndCause::killed); ++cause) {
      auto saved = sample();
      saved.vm.phase = static_cast<core::Phase>(phase);
      saved.vm.cause = static_cast<core::EndCause>(cause);
      saved.vm.exit_code = cause;
      const auto read = daemon::decode_spec(daemon::encode_spec(saved));
      REQUIRE(read);
      CHECK(read->vm == saved.vm);
    }
  }
}

TEST_CASE("a spec cut at any byte is refused, never half read") {
  const std::string whole = daemon::encode_spec(sample());
  for (std::size_t length = 0; length + 2 < whole.size(); ++length) {
    CHECK_FALSE(daemon::decode_spec(whole.substr(0, length)));
  }
}

TEST_CASE("a spec of another version or with a field of another type is refused by name") {
  std::string text = daemon::encode_spec(sample());
  text.replace(text.find("\"version\": 2"), 12, "\"version\": 1");
  CHECK_FALSE(daemon::decode_spec(text));
  text = daemon::encode_spec(sample());
  text.replace(text.find("\"pid\": 4711"), 11, "\"pid\": \"x\"");
  const auto read = daemon::decode_spec(text);
  REQUIRE_FALSE(read);
  CHECK(read.error().what.find("'pid'") != std::string::npos);
}
