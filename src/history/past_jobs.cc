#include "history/past_jobs.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "core/world.h"

namespace mvr::history {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 2;  // an object with a list of labels
constexpr std::size_t kMaxText = 256;
constexpr std::size_t kMaxLabels = 64;
constexpr std::uint64_t kMaxRunSeconds = 30 * 24 * 3600;

// Nothing: not one JSON object, or a name stands twice in it.
std::optional<json> parse_object(std::string_view text) {
  bool good = true;
  std::set<std::string> names;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    const bool opens =
        event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    if (opens && depth >= kMaxDepth) good = false;
    if (good && event == json::parse_event_t::key) {
      good = names.insert(value.get_ref<const std::string&>()).second;
    }
    return good;
  };
  json value = json::parse(text.begin(), text.end(), watch, false);
  if (!good || !value.is_object()) return std::nullopt;
  return value;
}

// Reads the fields of one line; the first error sticks.
class Line {
 public:
  explicit Line(const json& object) : object_(object) {}

  std::string text(const char* name, bool required) {
    const json* value = field(name, required);
    if (value == nullptr) return {};
    if (!value->is_string()) return reject(name, "must be a string");
    auto content = value->get<std::string>();
    if (content.empty() && required) return reject(name, "must not be empty");
    return checked(name, std::move(content));
  }

  std::vector<std::string> labels(const char* name) {
    const json* value = field(name, true);
    std::vector<std::string> list;
    if (value == nullptr) return list;
    if (!value->is_array() || value->empty() || value->size() > kMaxLabels) {
      reject(name, "must be a list of 1 to " + std::to_string(kMaxLabels) + " strings");
      return list;
    }
    for (const json& entry : *value) {
      if (!entry.is_string()) reject(name, "must hold strings");
      if (!error_.empty()) return {};
      list.push_back(checked(name, entry.get<std::string>()));
    }
    return list;
  }

  Duration run(const char* name) {
    const json* value = field(name, true);
    if (value == nullptr) return {};
    const bool good = value->is_number_unsigned() && value->get<std::uint64_t>() <= kMaxRunSeconds;
    if (!good) {
      reject(name, "must be a whole number of seconds from 0 to " + std::to_string(kMaxRunSeconds));
      return {};
    }
    return std::chrono::seconds(value->get<std::int64_t>());
  }

  Instant time(const char* name) {
    const std::string content = text(name, true);
    if (!error_.empty()) return {};
    const auto parsed = parse_iso8601(content);
    if (!parsed || parsed->time_since_epoch() < Duration::zero()) {
      reject(name,
             "must be a time like 2026-01-02T03:04:05Z, not '" + printable(content, 40) + "'");
      return {};
    }
    return Instant{parsed->time_since_epoch()};
  }

  std::string repository(const char* name) {
    std::string content = text(name, true);
    if (!error_.empty()) return {};
    const std::size_t slash = content.find('/');
    const bool good = slash != std::string::npos && slash > 0 && slash + 1 < content.size() &&
                      content.find('/', slash + 1) == std::string::npos;
    if (!good) return reject(name, "must be owner/name, not '" + printable(content, 80) + "'");
    return content;
  }

  // Empty, or what is wrong; also a field that was not asked for.
  std::string error() {
    for (const auto& [name, value] : object_.items()) {
      if (error_.empty() && !known_.contains(name)) {
        reject(printable(name, 40).c_str(), "is not known");
      }
    }
    return error_;
  }

 private:
  std::string checked(const char* name, std::string content) {
    if (content.size() > kMaxText) {
      return reject(name, "is longer than " + std::to_string(kMaxText) + " bytes");
    }
    if (printable(content) != content) return reject(name, "holds control characters");
    return content;
  }

  std::string reject(const char* name, const std::string& why) {
    if (error_.empty()) error_ = "field '" + std::string(name) + "' " + why;
    return {};
  }

  const json* field(const char* name, bool required) {
    known_.insert(name);
    const auto found = object_.find(name);
    if (found != object_.end()) return &*found;
    if (required) reject(name, "is missing");
    return nullptr;
  }

  const json& object_;
  std::set<std::string> known_;
  std::string error_;
};

Result<core::ReplayJob> read_line(std::string_view text) {
  const auto object = parse_object(text);
  if (!object) {
    return fail(Errc::invalid, "not one JSON object with each field once");
  }
  Line line(*object);
  core::ReplayJob job;
  job.created = line.time("created");
  job.repository = line.repository("repository");
  job.workflow = line.text("workflow", false);
  job.name = line.text("job", true);
  job.labels = line.labels("labels");
  job.run = line.run("run_s");
  if (std::string error = line.error(); !error.empty()) {
    return fail(Errc::invalid, std::move(error));
  }
  return job;
}

}  // namespace

std::vector<core::ReplayJob> past_jobs(const std::vector<FinishedJob>& entries) {
  std::vector<core::ReplayJob> jobs;
  for (const FinishedJob& entry : entries) {
    const auto created = entry.queued ? entry.queued : entry.created;
    const bool ran = created && entry.started && entry.ended && *entry.ended >= *entry.started &&
                     created->time_since_epoch() >= Duration::zero();
    if (!ran || entry.scope == core::kCommandScope) continue;
    core::ReplayJob job;
    job.created = Instant{created->time_since_epoch()};
    job.repository = entry.repository.empty() ? entry.scope : entry.repository;
    job.workflow = entry.workflow;
    job.name = entry.job;
    job.profile = entry.profile;
    job.run = *entry.ended - *entry.started;
    jobs.push_back(std::move(job));
  }
  return jobs;
}

std::optional<Duration> typical_boot(const std::vector<FinishedJob>& entries) {
  std::vector<Duration> boots;
  for (const FinishedJob& entry : entries) {
    const bool known = entry.created && entry.listening && *entry.listening >= *entry.created;
    if (known) boots.push_back(*entry.listening - *entry.created);
  }
  if (boots.empty()) return std::nullopt;
  const auto middle = boots.begin() + static_cast<std::ptrdiff_t>(boots.size() / 2);
  std::ranges::nth_element(boots, middle);
  return *middle;
}

Result<std::vector<core::ReplayJob>> read_trace(std::istream& in, const std::string& name) {
  std::vector<core::ReplayJob> jobs;
  std::string line(kMaxTraceLine + 1, '\0');
  while (in.peek() != std::istream::traits_type::eof()) {
    const std::string place = name + ":" + std::to_string(jobs.size() + 1);
    if (jobs.size() == kMaxTraceLines) {
      return fail(Errc::too_large,
                  place + ": more than " + std::to_string(kMaxTraceLines) + " lines");
    }
    in.getline(line.data(), static_cast<std::streamsize>(line.size()));
    if (in.fail() && !in.bad()) {
      return fail(Errc::too_large,
                  place + ": longer than " + std::to_string(kMaxTraceLine) + " bytes");
    }
    if (in.bad()) break;
    // What was read, less the newline that only the last line may lack.
    const auto size = static_cast<std::size_t>(in.gcount()) - (in.eof() ? 0U : 1U);
    TRY_ASSIGN(core::ReplayJob job, context(read_line({line.data(), size}), place));
    jobs.push_back(std::move(job));
  }
  if (in.bad()) return fail(Errc::io, name + ": cannot be read");
  return jobs;
}

}  // namespace mvr::history
