// What the daemon does by itself to keep runner release, images and actions fresh: chores, each a
// child of this same program at the lowest priority, one at a time. Under systemd those that build
// run in a unit of their own (chore_unit.h). What came of them is kept in
// <state>/upkeep.json, so that neither a restart nor a crash makes one be forgotten or repeated.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "core/config.h"
#include "sys/loop.h"
#include "sys/process.h"

namespace mvr::daemon {

struct Chore {
  std::string name;  // "runner", "actions", "image debian-12": in logs, metrics, doctor
  std::vector<std::string> verb;  // the words after `mvrunner`
  Duration every{};
  std::string image;  // due by the age of this image of the store; empty: by its last success only
  bool builds = false;  // it takes more of the host than a daemon's service may have
};

// What came of a chore so far.
struct ChoreRecord {
  std::optional<WallTime> success;
  std::optional<WallTime> failure;
  std::uint32_t failures = 0;  // since the last success
  std::string why;             // of the last failure
  friend bool operator==(const ChoreRecord&, const ChoreRecord&) = default;
};
using ChoreRecords = std::map<std::string, ChoreRecord>;

// What this configuration asks for (pure).
std::vector<Chore> chores_of(const core::Config& config);
// When it is to be done (pure). `made`: when what it renews was made, by whomever.
WallTime due_at(const Chore& chore, const ChoreRecord& record, std::optional<WallTime> made,
                WallTime now);
// Both ways strict and bounded (pure).
std::string records_json(const ChoreRecords& records);
Result<ChoreRecords> parse_records(const std::string& json);
// Of this state directory; none: nothing was done yet.
Result<ChoreRecords> read_records(const std::string& state_dir);

// For metrics.
struct ChoreState {
  std::string name;
  ChoreRecord record;
  bool is_running = false;
};

class Upkeep {
 public:
  // `ended`: a chore has ended, so that stores may hold something else. Chores read `config_path`
  // themselves.
  Upkeep(sys::Loop& loop, const std::string& config_path, const std::string& state_dir,
         std::function<void()> ended);
  ~Upkeep() = default;  // the child dies with us; all it does may be cut off at any point
  Upkeep(const Upkeep&) = delete;
  Upkeep& operator=(const Upkeep&) = delete;

  // Begins what is due unless one is under way. Call it now and then.
  void tend(const core::Config& config);
  [[nodiscard]] std::vector<ChoreState> states(const core::Config& config) const;

 private:
  struct Running {
    Chore chore;
    sys::Process process;
    Fd output;
    std::string said;  // the last of it
    sys::Watch on_output;
    sys::Watch on_exit;
    Instant begun{};
    bool is_over_time = false;
  };
  Result<void> begin(const Chore& chore);
  [[nodiscard]] Result<std::vector<std::string>> command(const Chore& chore) const;
  void fail_to_begin(const Chore& chore, const Error& error);
  void read_output();
  void check_exit();
  void finish(const sys::Exit& exit);
  void limit();
  void save() const;

  sys::Loop& loop_;
  std::string config_path_;
  std::string state_dir_;
  std::function<void()> ended_;
  ChoreRecords records_;
  std::unique_ptr<Running> running_;
};

}  // namespace mvr::daemon
