// What came of the chores, as the file that outlives the daemon has it.
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "daemon/upkeep.h"
#include "sys/files.h"

namespace mvr::daemon {
namespace {

using nlohmann::json;

constexpr std::size_t kMostBytes = 1U << 20U;
constexpr std::uint64_t kMostFailures = 1'000'000;

json time_json(const std::optional<WallTime>& time) {
  return time ? json(format_iso8601(*time)) : json(nullptr);
}

Result<std::optional<WallTime>> time_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::optional<WallTime>();
  const auto time = parse_iso8601(found->is_string() ? found->get<std::string>() : "");
  if (!time) return fail(Errc::invalid, std::string(key) + " is no time");
  return std::optional<WallTime>(*time);
}

Result<ChoreRecord> record_of(const json& object) {
  if (!object.is_object()) return fail(Errc::invalid, "a record is no object");
  ChoreRecord record;
  TRY_ASSIGN(record.success, time_of(object, "success"));
  TRY_ASSIGN(record.failure, time_of(object, "failure"));
  const auto failures = object.find("failures");
  if (failures == object.end() || !failures->is_number_unsigned() ||
      failures->get<std::uint64_t>() > kMostFailures) {
    return fail(Errc::invalid, "failures is no number");
  }
  record.failures = failures->get<std::uint32_t>();
  const auto why = object.find("why");
  if (why != object.end() && why->is_string()) record.why = why->get<std::string>();
  return record;
}

}  // namespace

std::string records_json(const ChoreRecords& records) {
  json all = json::object();
  for (const auto& [name, record] : records) {
    all[name] = {{"success", time_json(record.success)},
                 {"failure", time_json(record.failure)},
                 {"failures", record.failures},
                 {"why", record.why}};
  }
  return all.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<ChoreRecords> parse_records(const std::string& text) {
  const json all = json::parse(text, nullptr, false);
  if (!all.is_object()) return fail(Errc::invalid, "no JSON object");
  ChoreRecords records;
  for (const auto& [name, object] : all.items()) {
    TRY_ASSIGN(records[name], record_of(object));
  }
  return records;
}

Result<ChoreRecords> read_records(const std::string& state_dir) {
  const std::string path = state_dir + "/upkeep.json";
  const auto text = sys::read_file(path, kMostBytes);
  if (!text && text.error().code == Errc::not_found) return ChoreRecords{};
  if (!text) return fail(text.error());
  return context(parse_records(*text), path);
}

}  // namespace mvr::daemon
