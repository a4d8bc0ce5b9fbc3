// The daemon's web listener and status page on made-up hosts, for tests in a browser.
//
//   page_host ADDRESS empty|few|full|hostile|gone     a line on stdout once it listens; ends by
//   SIGTERM. Every request makes a new page: times go on.
#include <array>
#include <cmath>
#include <csignal>
#include <iostream>
#include <map>

#include "base/text.h"
#include "daemon/metrics.h"
#include "daemon/page.h"
#include "daemon/web.h"
#include "sys/loop.h"

namespace mvr::test {
namespace {

using core::Phase;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr const char* kMarkup = "<img src=x onerror=alert(1)></td><script>alert(2)</script>";
// A direction override, a quote, and bytes that are no UTF-8.
const std::string kTwisted = "build \u202egnp.exe\u202c \" onload=\"alert(3) \xff\x00\x1b[31m";

struct Host {
  core::Config config;
  core::World world;
  core::Plan plan;
  daemon::Samples samples;
  std::vector<history::FinishedJob> past;
  std::string past_error;
};

core::Vm vm(core::Slot slot, Phase phase, const core::Resources& size, Duration age, Instant now) {
  core::Vm made;
  made.slot = slot;
  made.phase = phase;
  made.size = size;
  made.profile = size.memory >= gib(16) ? "large" : "small";
  made.name = made.profile + "-" +
              hex(std::array<unsigned char, 3>{static_cast<unsigned char>(slot * 37 + 11),
                                               static_cast<unsigned char>(slot * 91 + 7),
                                               static_cast<unsigned char>(slot * 13 + 3)});
  made.scope = "acme";
  made.created = now - age;
  made.since = now - age / 2;
  if (phase < Phase::running) return made;
  made.repository = "acme/web-" + std::to_string(slot % 9);
  made.job = "integration (" + std::to_string(slot % 5) + ", ubuntu)";
  return made;
}

history::FinishedJob ended(int number, WallTime wall) {
  history::FinishedJob job;
  job.vm = "small-" + std::to_string(100'000 + number);
  job.profile = number % 7 == 3 ? "large" : "small";
  job.scope = "acme";
  job.repository = "acme/web-" + std::to_string(number % 9);
  job.workflow = number % 2 == 0 ? "ci" : "nightly";
  job.job = "test (" + std::to_string(number % 4) + ")";
  job.result = number % 9 == 4 ? "Failed" : "Succeeded";
  job.cause = "finished";
  job.size = {gib(4), 2, gib(20)};
  const WallTime end = wall - minutes(4) - minutes(11) * number;
  job.started = end - seconds(95 + number * 37 % 600);
  job.listening = *job.started - Duration(800 + number * 131 % 900);
  job.created = *job.listening - Duration(2'900 + number * 71 % 700);
  job.queued = *job.created - Duration(900 + number % 6 * 14'000);
  job.ended = end;
  if (number % 13 == 6) {
    job.cause = "job_timeout";
    job.cause_text = "it ran for longer than 6h";
    job.result = "";
  }
  if (number % 17 == 9) {
    job.cause = "boot_timeout";
    job.cause_text = "no word from the guest within 2m";
    job.job = job.result = "";
    job.listening = job.started = std::nullopt;
  }
  return job;
}

// A day of use with a hole in it, and the waits of the past jobs.
void fill_samples(Host& host, WallTime wall, double level) {
  core::Capacity all{gib(1000), 1000, gib(1), 1};
  for (int minute = 24 * 60; minute > 0; --minute) {
    if (minute > 860 && minute < 1010) continue;
    const double wave = 0.5 + 0.5 * std::sin(minute / 140.0) * std::cos(minute / 37.0);
    core::Capacity used;
    used.memory = gib(static_cast<std::uint64_t>(1000 * level * wave));
    used.vcpus = static_cast<std::uint32_t>(700 * level * (0.2 + 0.8 * wave));
    host.samples.note_use(used, all, wall - minutes(minute));
    const WallTime at = wall - minutes(minute);
    const auto ms = 2'500 + minute * 7919 % 9'000 + (minute % 11 == 0 ? 60'000 * wave : 0);
    host.samples.note_wait(at - Duration(static_cast<std::int64_t>(ms)), at);
  }
}

core::Wait waits(core::Reason reason, const std::string& profile, std::uint32_t jobs, Duration age,
                 WallTime wall) {
  core::Wait wait;
  wait.scope = "acme";
  wait.profile = profile;
  wait.jobs = jobs;
  wait.reason = std::move(reason);
  wait.oldest = core::JobHint{};
  wait.oldest->name = "release (linux, x64)";
  wait.oldest->repository = "acme/web-3";
  wait.oldest->created = wall - age;
  return wait;
}

void empty(Host& host, Instant, WallTime) {
  host.config.host.reserve_memory = gib(2);
  host.world.capacity = {gib(62), 16, gib(400), 50};
}

void few(Host& host, Instant now, WallTime wall) {
  empty(host, now, wall);
  host.world.vms[0] = vm(0, Phase::running, {gib(16), 4, gib(40)}, minutes(12), now);
  host.world.vms[1] = vm(1, Phase::listening, {gib(4), 2, gib(20)}, seconds(9), now);
  host.world.vms[2] = vm(2, Phase::booting, {gib(8), 2, gib(20)}, Duration(1'900), now);
  core::Wait wait = waits(core::NoMemory{gib(48), gib(34)}, "huge", 2, minutes(3), wall);
  wait.next = now + minutes(7);
  host.plan.waits = {wait};
  for (int i = 0; i < 12; ++i) host.past.push_back(ended(i, wall));
  fill_samples(host, wall, 0.4);
}

void full(Host& host, Instant now, WallTime wall) {
  host.config.host.reserve_memory = gib(24);
  host.world.capacity = {gib(1000), 480, gib(8000), 200};
  for (core::Slot slot = 0; slot < 200; ++slot) {
    const bool is_large = slot % 12 == 5;
    const Phase phase = slot % 9 == 1    ? Phase::booting
                        : slot % 9 == 4  ? Phase::listening
                        : slot % 23 == 7 ? Phase::ending
                        : slot == 60     ? Phase::held
                                         : Phase::running;
    const core::Resources size =
        is_large ? core::Resources{gib(16), 6, gib(60)} : core::Resources{gib(4), 2, gib(20)};
    host.world.vms[slot] = vm(slot, phase, size, seconds(30 + slot * 17), now);
  }
  host.world.pressure = "1.5GiB of memory available, 2GiB are wanted";
  host.plan.waits = {
      waits(core::NoSlot{200}, "small", 41, minutes(6), wall),
      waits(core::Reserved{"large", now + minutes(4)}, "small", 7, minutes(2), wall),
      waits(core::NoProfile{{"self-hosted", "gpu"}}, "", 3, hours(5), wall),
      waits(core::Backoff{now + seconds(40), 3, "boot_timeout"}, "large", 1, minutes(1), wall)};
  for (int i = 0; i < 60; ++i) host.past.push_back(ended(i, wall));
  fill_samples(host, wall, 0.97);
}

void hostile(Host& host, Instant now, WallTime wall) {
  few(host, now, wall);
  for (auto& [slot, each] : host.world.vms) {
    each.phase = Phase::running;
    each.job = slot == 1 ? kTwisted : kMarkup;
    each.repository = std::string(3'000, 'A') + kMarkup;
    each.scope = kMarkup;
  }
  host.plan.waits = {waits(core::NoProfile{{kMarkup, kTwisted}}, "", 1, minutes(1), wall)};
  host.plan.waits[0].scope = kMarkup;
  host.plan.waits[0].oldest->name = kTwisted;
  host.plan.waits[0].oldest->repository = "\u05d0\u05d1\u05d2/\u202e" + std::string(kMarkup);
  for (auto& job : host.past) {
    job.job = kMarkup;
    job.repository = kTwisted;
    job.workflow = std::string(500, '"');
    job.result = kMarkup;
    job.cause_text = kTwisted;
    std::swap(job.queued, job.ended);  // by clocks that disagree
  }
  host.world.pressure = kMarkup;
}

// No history can be read, and nothing was measured.
void gone(Host& host, Instant, WallTime) { host.past_error = "history: the file is damaged"; }

std::string page_of(const Host& host, Instant now, WallTime wall) {
  daemon::Page page = daemon::make_page(host.config, host.world, host.plan, now, wall);
  page.uses = host.samples.uses(wall);
  page.waited = host.samples.waits(wall);
  page.recent = daemon::page_jobs(host.past);
  page.recent_error = host.past_error;
  return daemon::page_html(page);
}

Result<void> serve(const std::string& address, void (*fill)(Host&, Instant, WallTime)) {
  TRY_ASSIGN(const auto loop, sys::Loop::create());
  bool is_ending = false;
  TRY(loop->on_signals({SIGTERM, SIGINT}, [&is_ending](int) { is_ending = true; }));
  Host host;
  host.config.host.id = "build-7";
  fill(host, loop->now(), sys::wall_now());
  const daemon::Tally tally;
  daemon::Web web(
      *loop,
      [&] {
        return daemon::metrics_text(
            {host.config, host.world, host.plan, tally, loop->now(), sys::wall_now()});
      },
      [&] { return daemon::why_not_ready(host.config, host.world); },
      [&] { return page_of(host, loop->now(), sys::wall_now()); });
  web.listen_on(address);
  std::cout << "listens" << std::endl;
  while (!is_ending) TRY(loop->run_once());
  return {};
}

}  // namespace
}  // namespace mvr::test

int main(int count, char** arguments) {
  using namespace mvr::test;
  const std::map<std::string, void (*)(Host&, mvr::Instant, mvr::WallTime)> hosts{
      {"empty", empty}, {"few", few}, {"full", full}, {"hostile", hostile}, {"gone", gone}};
  const auto found = count == 3 ? hosts.find(arguments[2]) : hosts.end();
  if (found == hosts.end()) {
    std::cerr << "usage: page_host ADDRESS empty|few|full|hostile|gone\n";
    return 2;
  }
  const auto done = serve(arguments[1], found->second);
  if (done) return 0;
  std::cerr << "page_host: " << done.error().what << "\n";
  return 1;
}
