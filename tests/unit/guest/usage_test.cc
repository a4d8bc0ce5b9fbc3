#include "guest/usage.h"

#include "catch.h"

namespace mvr::guest {
namespace {

TEST_CASE("the process the kernel killed for lack of memory is named") {
  CHECK(oom_victim_of("3,1,2,-;Out of memory: Killed process 812 (cc1plus) total-vm:1000kB, "
                      "anon-rss:900kB") == "cc1plus");
  CHECK(oom_victim_of("Out of memory: Killed process 8 (a) b) total-vm:1kB") == "a");
  CHECK(oom_victim_of("Out of memory: Killed process 8") == "a process");
  // A container's own limit is its own business.
  CHECK(oom_victim_of("Memory cgroup out of memory: Killed process 8 (x) total-vm:1kB").empty());
  CHECK(oom_victim_of("something else").empty());
  CHECK(oom_victim_of("Out of memory: Killed process 8 (\x1b[2J) total").find('\x1b') ==
        std::string::npos);
}

TEST_CASE("fields of /proc/meminfo are read in bytes") {
  const char* text = "MemTotal:        2031616 kB\nMemFree:  5 kB\nMemAvailable:    1000 kB\n";
  CHECK(memory_field(text, "MemTotal:") == 2031616ULL * 1024);
  CHECK(memory_field(text, "MemAvailable:") == 1000ULL * 1024);
  CHECK(memory_field(text, "SwapTotal:") == 0);
  CHECK(memory_field("MemTotal: lots", "MemTotal:") == 0);
}

TEST_CASE("the time CPUs have worked leaves out that they were idle or waited") {
  CHECK(busy_milliseconds("cpu  10 1 20 1000 500 3 4 7 0 0\ncpu0 1 2 3\n") == 380);
  CHECK(busy_milliseconds("cpu  10") == 100);
  CHECK(busy_milliseconds("intr 5\n") == 0);
  CHECK(busy_milliseconds("") == 0);
}

TEST_CASE("a sample sees this machine, and peaks stay") {
  UsageMeter meter;
  meter.begin();
  (void)meter.sample();
  const channel::Usage first = meter.usage();
  CHECK(first.memory_total > 0);
  CHECK(first.memory <= first.memory_total);
  CHECK(first.memory_peak >= first.memory);
  CHECK(first.disk_total > 0);
  CHECK(first.disk_peak >= first.disk);
  (void)meter.sample();
  CHECK(meter.usage().memory_peak >= first.memory_peak);
  meter.begin();
  CHECK(meter.usage().memory_peak == 0);
}

TEST_CASE("a change of the connection is news once") {
  UsageMeter meter;
  CHECK(meter.set_network_trouble("no route"));
  CHECK_FALSE(meter.set_network_trouble("no route"));
  CHECK(meter.set_network_trouble(""));
  CHECK_FALSE(meter.set_network_trouble(""));
}

}  // namespace
}  // namespace mvr::guest
