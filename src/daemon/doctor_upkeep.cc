#include "base/text.h"
#include "daemon/doctor.h"
#include "daemon/upkeep.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kDate = 10;  // of ISO 8601

std::string date_of(const std::optional<WallTime>& time) {
  return time ? format_iso8601(*time).substr(0, kDate) : "never";
}

// As somebody would type it who wants to see what is wrong.
std::string by_hand(const Chore& chore) {
  std::string text = "mvrunner";
  for (const std::string& word : chore.verb) {
    if (word != "--unattended" && word != "--") text += " " + word;
  }
  return text;
}

Finding judge(const Chore& chore, const ChoreRecord& record) {
  Finding finding{"upkeep", Verdict::ok, chore.name + ": ", ""};
  if (record.failures == 0) {
    finding.text += record.success ? "renewed or found fresh on " + date_of(record.success)
                                   : "every " + format_duration(chore.every) + ", not yet";
    return finding;
  }
  finding.verdict = Verdict::warn;
  finding.text += "failed " + std::to_string(record.failures) + " times in a row, last on " +
                  date_of(record.failure) + " (success: " + date_of(record.success) +
                  "): " + record.why;
  finding.remedy = "see what it says: " + by_hand(chore);
  return finding;
}

}  // namespace

std::vector<Finding> check_upkeep(const core::Config& config) {
  const std::vector<Chore> chores = chores_of(config);
  if (chores.empty()) return {};
  const auto records = read_records(config.state_dir);
  if (!records) {
    return {{"upkeep", Verdict::warn, records.error().what, "remove that file: it is made anew"}};
  }
  std::vector<Finding> findings;
  for (const Chore& chore : chores) {
    const auto record = records->find(chore.name);
    findings.push_back(judge(chore, record == records->end() ? ChoreRecord{} : record->second));
  }
  return findings;
}

}  // namespace mvr::daemon
