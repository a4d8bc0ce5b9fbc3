// A GitHub that queues jobs, registers runners and gives jobs to idle ones.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/names.h"
#include "core/survey.h"
#include "core/world.h"
#include "stage.h"

namespace mvr::sim {

struct Job {
  core::JobHint hint;  // the repository is part of it
  std::string scope;
  std::string profile;
  Duration length{};
  bool queued = true;
  Instant left{};  // the queue
};

struct Registration {
  core::Runner runner;
  std::string scope;
  std::string profile;
  bool online = false;
  bool busy = false;
  std::function<void(const Job&)> take;  // the listener's hand
};

enum class Deletion { deleted, busy, missing };

class FakeGithub {
 public:
  explicit FakeGithub(Stage& stage) : stage_(stage) {}

  void add_job(const std::string& scope, const std::string& repository, const std::string& profile,
               Duration length);
  // Another fleet's runner takes a job, or someone cancels it.
  void lose_job();
  void drop_jobs(const std::string& profile);
  [[nodiscard]] std::size_t queued() const;
  // Queued jobs by profile. Those that left the queue less than `lag` ago are still shown.
  [[nodiscard]] std::vector<core::Demand> listing(const std::string& scope, Duration lag) const;

  core::Runner add_runner(const std::string& scope, const std::string& profile,
                          const std::string& name);
  // False: GitHub has no such runner any more, and the listener exits.
  bool connect(std::int64_t id, std::function<void(const Job&)> take);
  Deletion remove_runner(std::int64_t id);
  void finish(std::int64_t id) { runners_.erase(id); }
  // The list of a scope's runners. Now and then it lies about one.
  [[nodiscard]] std::vector<core::RunnerSeen> list_runners(const std::string& scope) const;
  // Gives queued jobs to idle runners.
  void assign();
  // Deletes idle runners that no VM has or may get: the ghost sweep.
  void sweep(const core::World& world);
  [[nodiscard]] std::size_t runners() const { return runners_.size(); }
  [[nodiscard]] bool knows(std::int64_t id) const { return runners_.contains(id); }

 private:
  Stage& stage_;
  std::vector<Job> jobs_;
  std::map<std::int64_t, Registration> runners_;
  std::set<std::string> names_;  // ever used
  std::set<std::int64_t> swept_;
  std::int64_t next_id_ = 1;
};

}  // namespace mvr::sim
