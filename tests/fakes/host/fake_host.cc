// A daemon without machines: production discovery, client, sweep, observe() and plan() against a
// GitHub over HTTP; VMs are timers, and their runners talk to the stand-in GitHub's runner
// endpoint. A job runs for the time its name ends with ("build 15s").
//
//   fake_host CONFIG [RUNNER_URL] [--keep]    where runners are, when that is not github.url; ends
//   by SIGTERM; a JSON line on stdout for each thing that happened
//
// With --keep it also does what the daemon does with jobs that ran, see keeper.h, below state_dir,
// and nothing is said of single jobs.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <set>

#include <nlohmann/json.hpp>
#include <openssl/sha.h>

#include "base/overloaded.h"
#include "base/text.h"
#include "config/load.h"
#include "core/backoff.h"
#include "core/match.h"
#include "core/plan.h"
#include "core/room.h"
#include "core/survey.h"
#include "core/world.h"
#include "github/client.h"
#include "github/discovery.h"
#include "github/keyring.h"
#include "github/sweep.h"
#include "keeper.h"
#include "sys/http.h"
#include "sys/loop.h"

namespace mvr::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kBoot{3'000};
constexpr Duration kLook{30'000};
constexpr Duration kSwept{300'000};
constexpr Duration kWatched{45'000};

void say(json line) {
  line["at_ms"] = sys::wall_now().time_since_epoch().count();
  std::cout << line.dump() << std::endl;
}

// The session secret of the runner whose configuration this is.
std::pair<std::string, std::string> runner_of(const Secret& encoded) {
  const auto read = [](std::string_view text) {
    return json::parse(base64_decode(text).value_or(""), nullptr, false);
  };
  const json files = read(encoded.expose());
  const json runner = read(files.value(".runner", ""));
  const std::string key = read(files.value(".credentials_rsaparams", "")).value("d", "");
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  ::SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  std::string hex;
  for (const unsigned char byte : digest) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex += kDigits[byte >> 4U];
    hex += kDigits[byte & 15U];
  }
  return {runner.value("AgentName", ""), hex};
}

Duration length_of(const std::string& job) {
  const auto length = parse_duration(job.substr(job.rfind(' ') + 1));
  return length ? *length : Duration{1'000};
}

class FakeHost {
 public:
  FakeHost(sys::Loop& loop, core::Config config, std::string runner_url, bool keeps)
      : loop_(loop),
        config_(std::move(config)),
        runner_url_(runner_url.empty() ? config_.github.url : std::move(runner_url)),
        keeps_(keeps) {
    world_.seed = static_cast<std::uint64_t>(sys::wall_now().time_since_epoch().count());
  }

  Result<void> start() {
    TRY_ASSIGN(github::Keyring keyring, github::load_keyring(config_.github));
    TRY_ASSIGN(client_, github::Client::create(loop_, config_.github, std::move(keyring)));
    TRY_ASSIGN(http_, sys::HttpClient::create(loop_, "fake-host"));
    if (keeps_) {
      TRY_ASSIGN(keeper_, Keeper::open(loop_, config_, *client_));
    }
    const core::HostSettings& host = config_.host;
    post(core::CapacityMeasured{{host.memory.value_or(gib(64)), host.cpus.value_or(64),
                                 host.disk.value_or(gib(4096)), host.max_vms}});
    for (const auto& profile : config_.profiles) {
      post(core::ProfileChecked{profile.name, "", "origin"});
    }
    const auto room = [this](const std::string& scope, const std::string& profile) {
      return core::room_for(config_, world_, scope, profile);
    };
    discovery_ = github::make_discovery(loop_, config_, *client_, room);
    discovery_->start([this](core::Event event) { post(std::move(event)); });
    turn();
    return {};
  }

  void turn() {
    for (int round = 0; round < 64; ++round) {
      while (!inbox_.empty()) {
        const core::Event event = std::move(inbox_.front());
        inbox_.pop_front();
        fold(event);
      }
      const core::Plan plan = core::plan(config_, world_, loop_.now());
      for (const auto& action : plan.actions) {
        fold(core::Dispatched{action});
        perform(action);
      }
      look(plan);
      if (plan.actions.empty() && inbox_.empty()) {
        if (plan.wake_at) wake_ = loop_.call_at(*plan.wake_at, [] {});
        break;
      }
    }
    sweep();
  }

  void stop(std::function<void()> done) { discovery_->stop(std::move(done)); }

  void report() const {
    json accounts = json::array();
    for (const auto& account : client_->accounts()) {
      json counts = json::object();
      for (const auto& [request, outcome, count] : account.counts) {
        counts[std::string(request)][std::string(outcome)] = count;
      }
      accounts.push_back({{"name", account.name},
                          {"limit", account.limit},
                          {"remaining", account.remaining},
                          {"allowance", account.allowance},
                          {"charged", account.charged},
                          {"requests", counts}});
    }
    say({{"event", "end"}, {"accounts", accounts}, {"vms", world_.vms.size()}});
  }

 private:
  struct Guest {
    std::string name;
    std::string profile;
    Secret jit;
    std::string session;
    sys::Timer timer;
    std::unique_ptr<sys::HttpCall> call;
  };

  void post(core::Event event) { inbox_.push_back(std::move(event)); }

  // As the daemon does it.
  void fold(const core::Event& event) {
    const auto slot = core::slot_of(event);
    std::optional<core::Vm> before;
    if (slot && world_.vms.contains(*slot)) before = world_.vms.at(*slot);
    if (keeper_) keeper_->before(event, world_);
    tell_failure(event);
    const std::string ignored = core::observe(world_, event, loop_.now());
    if (const auto* demand = std::get_if<core::DemandSeen>(&event); demand && ignored.empty())
      tell_jobs(*demand);
    if (!keeper_ || !ignored.empty() || !before) return;
    const auto now = world_.vms.find(before->slot);
    keeper_->after(event, *before, now == world_.vms.end() ? *before : now->second);
  }

  void look(const core::Plan& plan) {
    if (!keeper_ || loop_.now() < look_due_) return;
    look_due_ = loop_.now() + kLook;
    look_ = loop_.call_at(look_due_, [] {});
    const std::size_t bytes = keeper_->look(world_, plan, *discovery_);
    say({{"event", "looked"}, {"bytes", bytes}, {"ended", ended_}, {"vms", world_.vms.size()}});
  }

  // Of single jobs.
  void tell(json line) const {
    if (!keeper_) say(std::move(line));
  }

  void tell_jobs(const core::DemandSeen& demand) {
    std::set<std::int64_t> listed;
    for (const auto& one : demand.demands) {
      for (const auto& job : one.jobs) listed.insert(job.id);
    }
    std::set<std::int64_t>& known = known_[demand.scope];
    for (const auto& one : demand.demands) {
      for (const auto& job : one.jobs) {
        if (!known.contains(job.id)) tell({{"event", "seen"}, {"job", job.id}, {"name", job.name}});
      }
    }
    known = std::move(listed);
  }

  // Of a part of a scope, once for each try.
  void tell_failure(const core::Event& event) {
    const auto told = [](const std::string& scope, const Error& error) {
      say({{"event", "discovery_failed"}, {"scope", scope}, {"error", error.what}});
    };
    if (const auto* failed = std::get_if<core::DiscoveryFailed>(&event))
      told(failed->scope, failed->error);
    const auto* seen = std::get_if<core::DemandSeen>(&event);
    if (seen == nullptr || !seen->failure) return;
    const auto former = world_.scopes.find(seen->scope);
    const bool is_known =
        former != world_.scopes.end() && former->second.retry_at == seen->retry_at;
    if (!is_known) told(seen->scope, *seen->failure);
  }

  Guest* find(core::Slot slot, const std::string& name) {
    const auto found = guests_.find(slot);
    return found == guests_.end() || found->second.name != name ? nullptr : &found->second;
  }

  void perform(const core::Action& action) {
    std::visit(Overloaded{
                   [this](const core::Launch& a) { launch(a); },
                   [this](const core::RequestJit& a) { request_jit(a); },
                   [this](const core::Claim& a) { claim(a.slot); },
                   [](const core::Warn&) {},
                   [](const core::Hold&) {},
                   [this](const core::Stop& a) { end(a.slot); },
                   [this](const core::Kill& a) { end(a.slot); },
                   [this](const core::Remove& a) { remove(a.slot); },
                   [this](const core::Deregister& a) { deregister(a); },
               },
               action);
  }

  void launch(const core::Launch& action) {
    Guest& guest = guests_[action.slot];
    guest.name = action.vm;
    guest.profile = action.profile;
    post(core::VmStarted{action.slot});
    if (keeper_) keeper_->launched(action.slot);
    const Duration boot =
        kBoot + milliseconds(static_cast<std::int64_t>(stable_hash(action.vm) % 2'000));
    guest.timer = loop_.call_at(loop_.now() + boot,
                                [this, slot = action.slot] { post(core::AgentReady{slot}); });
  }

  void remove(core::Slot slot) {
    if (keeper_) {
      const core::Vm& vm = world_.vms.at(slot);
      if (!vm.job.empty()) ++ended_;
      if (auto learned = keeper_->removed(vm)) post(std::move(*learned));
    }
    guests_.erase(slot);
    post(core::Removed{slot});
  }

  void request_jit(const core::RequestJit& action) {
    const core::Scope* scope = config_.scope(action.scope);
    const core::Slot slot = action.slot;
    const Guest& guest = guests_.at(slot);
    client_->generate_jit(*scope, action.runner, core::labels_of(config_, guest.profile),
                          [this, slot, name = guest.name, scope = *scope,
                           runner = action.runner](Result<github::JitConfig> made) {
                            if (!made) {
                              say({{"event", "jit_failed"}, {"error", made.error().what}});
                              const Instant again =
                                  loop_.now() + core::backoff_delay(core::kApiBackoff, 1, runner);
                              return post(core::JitFailed{
                                  slot, made.error(), std::max(again, client_->not_before(scope))});
                            }
                            if (Guest* guest_now = find(slot, name))
                              guest_now->jit = std::move(made->encoded);
                            post(core::JitReady{slot, made->runner});
                          });
  }

  // ---- the runner in the guest -----------------------------------------------------------------

  void ask(core::Slot slot, const std::string& method, const std::string& path,
           const std::string& body, std::function<void(int, const json&)> answered) {
    sys::HttpRequest request;
    request.method = method;
    request.url = runner_url_ + "/_runner/session" + path;
    request.body = body;
    request.deadline = seconds(90);
    Guest& guest = guests_.at(slot);
    guest.call = http_->send(
        std::move(request), [this, slot, name = guest.name, answered = std::move(answered)](
                                const Result<sys::HttpResponse>& response) {
          if (find(slot, name) == nullptr) return;
          const json said = response ? json::parse(response->body, nullptr, false) : json();
          answered(response ? response->status : 0, said);
        });
  }

  void claim(core::Slot slot) {
    const auto [name, secret] = runner_of(guests_.at(slot).jit);
    const json body{{"agentName", name}, {"secret", secret}, {"version", "2.336.0"}};
    ask(slot, "POST", "", body.dump(), [this, slot](int status, const json& said) {
      if (status != 201) return exit(slot, 1);
      guests_.at(slot).session = "/" + said.value("session", "");
      post(core::RunnerListening{slot});
      poll(slot);
    });
  }

  void poll(core::Slot slot) {
    ask(slot, "GET", guests_.at(slot).session + "/job?wait=20", "",
        [this, slot](int status, const json& said) {
          if (status == 204 || status == 0 || status >= 500) return again(slot);
          if (status != 200) return exit(slot, 0);
          work(slot, said);
        });
  }

  void again(core::Slot slot) {
    guests_.at(slot).timer =
        loop_.call_at(loop_.now() + milliseconds(200), [this, slot] { poll(slot); });
  }

  void work(core::Slot slot, const json& job) {
    const std::string name = job.value("name", "");
    tell({{"event", "started"}, {"job", job.value("id", 0LL)}, {"name", name}});
    post(core::JobStarted{slot, name});
    guests_.at(slot).timer =
        loop_.call_at(loop_.now() + length_of(name), [this, slot] { complete(slot); });
  }

  void complete(core::Slot slot) {
    ask(slot, "POST", guests_.at(slot).session + "/complete", R"({"result": "Succeeded"})",
        [this, slot](int status, const json&) {
          if (status != 200) say({{"event", "not_completed"}, {"status", status}});
          post(core::JobFinished{slot, "Succeeded"});
          exit(slot, 0);
        });
  }

  void exit(core::Slot slot, int code) {
    post(core::RunnerExited{slot, code});
    guests_.at(slot).timer =
        loop_.call_at(loop_.now() + milliseconds(500), [this, slot] { end(slot); });
  }

  void end(core::Slot slot) {
    const auto found = guests_.find(slot);
    if (found != guests_.end()) {
      found->second.call.reset();
      found->second.timer = sys::Timer();
    }
    post(core::VmExited{slot, "ended"});
  }

  void deregister(const core::Deregister& action) {
    core::Scope scope;
    if (const core::Scope* known = config_.scope(action.scope)) scope = *known;
    const core::Slot slot = action.slot;
    client_->delete_runner(scope, action.runner.id, [this, slot](const Result<bool>& done) {
      if (done) return post(core::Deregistered{slot});
      post(core::DeregisterFailed{slot, done.error(), loop_.now() + seconds(15)});
    });
  }

  void sweep() {
    if (loop_.now() < sweep_due_) return;
    const bool listens = std::ranges::any_of(
        world_.vms, [](const auto& vm) { return vm.second.phase == core::Phase::listening; });
    sweep_due_ = loop_.now() + (listens ? kWatched : kSwept);
    sweep_ = loop_.call_at(sweep_due_, [] {});
    for (const core::Scope& scope : config_.github.scopes) {
      github::sweep_ghosts(
          *client_, scope, config_.host.id,
          [this](const std::string& name) { return core::is_runner_in_use(world_, name); },
          [this, id = scope.id(), as_of = loop_.now()](const Result<github::SweepReport>& report) {
            if (!report) return;
            for (const auto& runner : report->deleted) {
              say({{"event", "ghost_deleted"}, {"runner", runner.name}});
            }
            core::RunnersSeen runners{id, as_of, {}};
            for (const auto& runner : report->live) {
              runners.runners.push_back(core::RunnerSeen{runner.id, runner.busy});
            }
            post(std::move(runners));
          });
    }
  }

  sys::Loop& loop_;
  core::Config config_;
  std::string runner_url_;
  core::World world_;
  std::deque<core::Event> inbox_;
  // The keeper goes before the client it asks.
  std::unique_ptr<github::Client> client_;
  std::unique_ptr<Keeper> keeper_;
  std::unique_ptr<github::Discovery> discovery_;
  std::unique_ptr<sys::HttpClient> http_;
  std::map<core::Slot, Guest> guests_;
  std::map<std::string, std::set<std::int64_t>> known_;  // jobs by scope
  bool keeps_ = false;
  std::uint64_t ended_ = 0;  // jobs, with a keeper
  Instant look_due_{};
  sys::Timer look_;
  Instant sweep_due_{};
  sys::Timer sweep_;
  sys::Timer wake_;
};

Result<void> run(const std::string& path, const std::string& runner_url, bool keeps) {
  config::Loaded loaded = config::load(path, "soak");
  for (const auto& problem : loaded.problems) std::cerr << problem.to_text() << "\n";
  if (!loaded.problems.empty()) return fail(Errc::invalid, "the configuration is wrong");
  TRY_ASSIGN(const auto loop, sys::Loop::create());
  bool is_ending = false;
  TRY(loop->on_signals({SIGTERM, SIGINT}, [&is_ending](int) { is_ending = true; }));
  FakeHost host(*loop, std::move(loaded.config), runner_url, keeps);
  TRY(host.start());
  while (!is_ending) {
    TRY(loop->run_once());
    host.turn();
  }
  bool has_left = false;
  host.stop([&has_left] { has_left = true; });
  const Instant latest = loop->now() + seconds(10);
  while (!has_left && loop->now() < latest) TRY(loop->run_once(seconds(1)));
  host.report();
  return {};
}

}  // namespace
}  // namespace mvr::test

int main(int count, char** arguments) {
  std::vector<std::string> words(arguments + 1, arguments + count);
  const bool keeps = !words.empty() && words.back() == "--keep";
  if (keeps) words.pop_back();
  if (words.empty() || words.size() > 2) {
    std::cerr << "usage: fake_host CONFIG [RUNNER_URL] [--keep]\n";
    return 2;
  }
  const auto done = mvr::test::run(words[0], words.size() == 2 ? words[1] : "", keeps);
  if (done) return 0;
  std::cerr << "fake_host: " << done.error().what << "\n";
  return 1;
}
