#include "github/scale_set_wire.h"

#include <algorithm>
#include <array>
#include <set>

#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "base/text.h"
#include "github/catalogue.h"
#include "github/json_object.h"
#include "github/json_rows.h"
#include "github/token.h"
#include "github/url.h"
#include "github/wire.h"
#include "sys/http.h"

namespace mvr::github {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxName = 256;
constexpr std::size_t kMaxLabels = 100;
constexpr std::size_t kMaxToken = 32U << 10U;
constexpr std::size_t kMaxUrl = 4096;
constexpr std::size_t kMaxSets = 100;
constexpr std::size_t kMaxMessage = 400;
constexpr std::uint32_t kMaxCount = 1'000'000;
constexpr std::int64_t kMaxSeconds = 253'402'300'799;  // the end of the year 9999

Error bad(std::string_view what) {
  return Error{Errc::protocol,
               "the answer is not what runner scale sets are known for: " + std::string(what),
               std::string(known_answer("set_unknown").remedy)};
}

// Some answers begin with a byte order mark.
std::string_view without_bom(std::string_view body) {
  constexpr std::string_view kBom = "\xEF\xBB\xBF";
  return body.starts_with(kBom) ? body.substr(kBom.size()) : body;
}

Result<Secret> secret_of(json& object, const char* key) {
  json::string_t* text = text_member(object, key);
  if (text == nullptr) return fail(bad("\"" + std::string(key) + "\" is missing"));
  Secret secret(std::move(*text));  // no copy of it stays behind
  if (secret.expose().size() > kMaxToken || !is_token(secret.expose())) {
    return fail(bad("\"" + std::string(key) + "\" is no token"));
  }
  return secret;
}

Result<std::string> url_of(json& object, const char* key, bool may_be_plain) {
  const json::string_t* text = text_member(object, key);
  const std::string origin =
      text == nullptr || text->size() > kMaxUrl ? std::string() : origin_of(*text);
  const bool is_safe = origin.starts_with("https://") || (may_be_plain && !origin.empty());
  if (!is_safe) return fail(bad("\"" + std::string(key) + "\" is no https address"));
  if (text->find('#') != std::string::npos) return fail(bad("an address with a fragment"));
  return *text;
}

Result<std::uint32_t> count_of(json& object, const char* key) {
  json* found = member(object, key);
  if (found == nullptr) return 0U;
  const auto* number = found->get_ptr<json::number_unsigned_t*>();
  if (number == nullptr) return fail(bad("\"" + std::string(key) + "\" is no count"));
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(*number, kMaxCount));
}

Result<QueueStatistics> statistics_of(json& object) {
  if (!object.is_object()) return fail(bad("\"statistics\" is no object"));
  QueueStatistics statistics;
  TRY_ASSIGN(statistics.available, count_of(object, "totalAvailableJobs"));
  TRY_ASSIGN(statistics.acquired, count_of(object, "totalAcquiredJobs"));
  TRY_ASSIGN(statistics.assigned, count_of(object, "totalAssignedJobs"));
  TRY_ASSIGN(statistics.running, count_of(object, "totalRunningJobs"));
  return statistics;
}

Result<ScaleSet> set_of(json& object) {
  ScaleSet set;
  set.id = positive_member(object, "id");
  if (set.id == 0) return fail(bad("the \"id\" of a scale set is not a positive number"));
  const auto* name = text_member(object, "name");
  if (name == nullptr) return fail(bad("the \"name\" of a scale set is missing"));
  set.name = printable(*name, kMaxName);
  json* labels = member(object, "labels");
  if (labels != nullptr && (!labels->is_array() || labels->size() > kMaxLabels)) {
    return fail(bad("the \"labels\" of a scale set are no short list"));
  }
  for (std::size_t n = 0; labels != nullptr && n < labels->size(); ++n) {
    const auto* label = text_member((*labels)[n], "name");
    if (label != nullptr) set.labels.push_back(printable(*label, kMaxName));
  }
  json* setting = member(object, "RunnerSetting");
  json* disabled = setting == nullptr ? nullptr : member(*setting, "disableUpdate");
  set.is_update_disabled = disabled != nullptr && disabled->is_boolean() && disabled->get<bool>();
  return set;
}

std::set<std::string> lower_set(const std::vector<std::string>& labels) {
  std::set<std::string> lower;
  for (const std::string& label : labels) lower.insert(ascii_lower(label));
  return lower;
}

std::string dumped(const json& document) {
  // What is not UTF-8 cannot throw this way; GitHub refuses it then.
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

constexpr std::array<std::string_view, 10> kEntryFields{
    "messageType",    "runnerRequestId", "jobId",         "repositoryName", "ownerName",
    "jobWorkflowRef", "jobDisplayName",  "workflowRunId", "requestLabels",  "queueTime"};

std::optional<JobMessage::Kind> kind_of(std::string_view type) {
  if (type == "JobAvailable") return JobMessage::Kind::available;
  if (type == "JobAssigned") return JobMessage::Kind::assigned;
  if (type == "JobStarted") return JobMessage::Kind::started;
  if (type == "JobCompleted") return JobMessage::Kind::completed;
  return std::nullopt;
}

// "acme/app/.github/workflows/ci.yml@refs/heads/main" -> "ci.yml".
std::string workflow_file(std::string_view ref) {
  const std::string_view path = ref.substr(0, ref.find('@'));
  const std::size_t slash = path.rfind('/');
  return printable(slash == std::string_view::npos ? path : path.substr(slash + 1), kMaxName);
}

std::int64_t positive_hash(std::string_view text) {
  const auto hash = static_cast<std::int64_t>(stable_hash(text) & std::uint64_t{INT64_MAX});
  return std::max<std::int64_t>(hash, 1);
}

Result<core::JobHint> job_of(const JsonRow& row) {
  core::JobHint job;
  TRY_ASSIGN(const std::string owner, row.text_or_empty("ownerName"));
  TRY_ASSIGN(const std::string repository, row.text_or_empty("repositoryName"));
  const std::string full = owner + "/" + repository;
  if (is_repository_name(full)) job.repository = full;
  TRY_ASSIGN(const std::string name, row.text_or_empty("jobDisplayName"));
  job.name = printable(name, kMaxName);
  TRY_ASSIGN(const std::string ref, row.text_or_empty("jobWorkflowRef"));
  job.workflow = workflow_file(ref);
  TRY_ASSIGN(job.run_id, row.number_or_zero("workflowRunId"));
  TRY_ASSIGN(job.labels, row.texts_or_empty("requestLabels"));
  job.labels.resize(std::min(job.labels.size(), kMaxLabels));
  for (std::string& label : job.labels) label = printable(label, kMaxName);
  TRY_ASSIGN(const std::string queued, row.text_or_empty("queueTime"));
  if (const auto time = parse_iso8601(queued)) job.created = *time;
  return job;
}

// Nothing for what is no message about a job we could name.
Result<std::optional<JobMessage>> job_message_of(const JsonRow& row) {
  TRY_ASSIGN(const std::string type, row.text("messageType"));
  const auto kind = kind_of(type);
  if (!kind) return std::optional<JobMessage>();
  JobMessage message;
  message.kind = *kind;
  TRY_ASSIGN(const std::int64_t request, row.number_or_zero("runnerRequestId"));
  message.request = std::max<std::int64_t>(request, 0);
  TRY_ASSIGN(const std::string uuid, row.text_or_empty("jobId"));
  if (message.request == 0 && uuid.empty()) return std::optional<JobMessage>();
  TRY_ASSIGN(message.job, job_of(row));
  message.job.id = message.request > 0 ? message.request : positive_hash(uuid);
  return std::optional<JobMessage>(std::move(message));
}

// One entry that makes no sense must not hold up the others: the statistics count it all the same.
Result<std::vector<JobMessage>> jobs_of(std::string_view text) {
  std::vector<JobMessage> jobs;
  if (text.empty()) return jobs;
  TRY_ASSIGN(const auto rows, read_rows(without_bom(text), "", kEntryFields));
  jobs.reserve(rows.size());
  for (const JsonRow& row : rows) {
    auto message = job_message_of(row);
    if (message && *message) jobs.push_back(std::move(**message));
  }
  return jobs;
}

struct Fault {
  std::string type;
  std::string message;
};

Fault fault_of(std::string_view body) {
  constexpr std::size_t kMaxBody = 64U << 10U;
  if (body.size() > kMaxBody) return {};
  auto document = parse_object(without_bom(body));
  if (!document) return {};
  Fault fault;
  if (const auto* type = text_member(*document, "typeName")) fault.type = *type;
  if (const auto* message = text_member(*document, "message")) {
    fault.message = printable(*message, kMaxMessage);
  }
  return fault;
}

}  // namespace

Result<Secret> decode_registration_token(std::string_view body) {
  TRY_ASSIGN(json document, parse_object(without_bom(body)));
  return secret_of(document, "token");
}

std::string encode_registration(const std::string& url) {
  return dumped(json{{"url", url}, {"runner_event", "register"}});
}

Result<AdminConnection> decode_admin_connection(std::string_view body, bool may_be_plain) {
  TRY_ASSIGN(json document, parse_object(without_bom(body)));
  AdminConnection connection;
  TRY_ASSIGN(connection.url, url_of(document, "url", may_be_plain));
  if (connection.url.find('?') != std::string::npos) return fail(bad("\"url\" has a query"));
  if (connection.url.back() != '/') connection.url += '/';
  TRY_ASSIGN(connection.token, secret_of(document, "token"));
  return connection;
}

std::optional<WallTime> jwt_expiry(std::string_view token) {
  const auto parts = split(token, '.');
  if (parts.size() != 3 || parts[1].size() > kMaxToken) return std::nullopt;
  std::string claims(parts[1]);
  std::ranges::replace(claims, '-', '+');
  std::ranges::replace(claims, '_', '/');
  claims.append((4 - claims.size() % 4) % 4, '=');
  const auto text = base64_decode(claims);
  if (!text) return std::nullopt;
  auto document = parse_object(*text);
  if (!document) return std::nullopt;
  const std::int64_t seconds = positive_member(*document, "exp");
  if (seconds == 0 || seconds > kMaxSeconds) return std::nullopt;
  return WallTime{std::chrono::seconds{seconds}};
}

std::string encode_scale_set(const SetWish& wish, std::int64_t group) {
  json labels = json::array();
  for (const std::string& label : wish.labels) {
    labels.push_back(json{{"type", "System"}, {"name", label}});
  }
  return dumped(json{{"name", wish.name},
                     {"runnerGroupId", group},
                     {"labels", std::move(labels)},
                     {"RunnerSetting", {{"disableUpdate", true}}}});
}

Result<ScaleSet> decode_scale_set(std::string_view body) {
  TRY_ASSIGN(json document, parse_object(without_bom(body)));
  return set_of(document);
}

Result<std::vector<ScaleSet>> decode_scale_sets(std::string_view body) {
  TRY_ASSIGN(json document, parse_object(without_bom(body)));
  json* list = member(document, "value");
  std::vector<ScaleSet> sets;
  if (list == nullptr) return sets;
  if (!list->is_array() || list->size() > kMaxSets) return fail(bad("\"value\" is no short list"));
  sets.reserve(list->size());
  for (json& item : *list) {
    TRY_ASSIGN(ScaleSet set, set_of(item));
    sets.push_back(std::move(set));
  }
  return sets;
}

bool differs(const ScaleSet& set, const SetWish& wish) {
  return !set.is_update_disabled || lower_set(set.labels) != lower_set(wish.labels);
}

Result<std::optional<std::int64_t>> decode_group_id(std::string_view body, std::string_view name) {
  static constexpr std::array<std::string_view, 2> kFields{"id", "name"};
  TRY_ASSIGN(const auto rows, read_rows(without_bom(body), "value", kFields));
  for (const JsonRow& row : rows) {
    TRY_ASSIGN(const std::string found, row.text("name"));
    if (ascii_lower(found) != ascii_lower(name)) continue;
    TRY_ASSIGN(const std::int64_t id, row.positive("id"));
    return std::optional<std::int64_t>(id);
  }
  return std::optional<std::int64_t>();
}

std::string encode_session(const std::string& owner) { return dumped(json{{"ownerName", owner}}); }

Result<QueueSession> decode_session(std::string_view body, bool may_be_plain) {
  TRY_ASSIGN(json document, parse_object(without_bom(body)));
  QueueSession session;
  const auto* id = text_member(document, "sessionId");
  const bool is_id =
      id != nullptr && !id->empty() && id->size() <= 64 && std::ranges::all_of(*id, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '-';
      });
  if (!is_id) return fail(bad("\"sessionId\" is no id"));
  session.id = *id;
  TRY_ASSIGN(session.queue, url_of(document, "messageQueueUrl", may_be_plain));
  TRY_ASSIGN(session.token, secret_of(document, "messageQueueAccessToken"));
  if (json* statistics = member(document, "statistics")) {
    TRY_ASSIGN(session.statistics, statistics_of(*statistics));
  }
  return session;
}

Result<QueueMessage> decode_queue_message(std::string_view body) {
  TRY_ASSIGN(json document, parse_object(without_bom(body)));
  QueueMessage message;
  message.id = positive_member(document, "messageId");
  if (message.id == 0) return fail(bad("\"messageId\" is not a positive number"));
  if (json* statistics = member(document, "statistics")) {
    TRY_ASSIGN(message.statistics, statistics_of(*statistics));
  }
  const auto* type = text_member(document, "messageType");
  if (type == nullptr) return fail(bad("\"messageType\" is missing"));
  if (*type != "RunnerScaleSetJobMessages") return message;
  if (const auto* text = text_member(document, "body")) {
    TRY_ASSIGN(message.jobs, jobs_of(*text));
  }
  return message;
}

std::string encode_acquired(const std::vector<std::int64_t>& requests) {
  return dumped(json(requests));
}

std::string queue_poll_url(const std::string& queue, std::int64_t last) {
  if (last <= 0) return queue;
  const char* joint = queue.find('?') == std::string::npos ? "?" : "&";
  return queue + joint + "lastMessageId=" + std::to_string(last);
}

std::string queue_message_url(const std::string& queue, std::int64_t message) {
  const std::size_t query = std::min(queue.find('?'), queue.size());
  std::string path = queue.substr(0, query);
  if (path.ends_with('/')) path.pop_back();
  return path + "/" + std::to_string(message) + queue.substr(query);
}

std::string encode_set_jit_request(const std::string& runner) {
  return dumped(json{{"name", runner}, {"workFolder", "_work"}});
}

Result<JitConfig> decode_set_jit(std::string_view body) {
  return decode_jit(without_bom(body), "encodedJITConfig");
}

bool is_fault(std::string_view body) { return !fault_of(body).type.empty(); }

Error explain_service(int status, const std::map<std::string, std::string>& headers,
                      std::string_view body, std::string_view label) {
  const Fault fault = fault_of(body);
  Answer answer;
  answer.source = Source::sets;
  answer.status = status;
  answer.text = fault.type;
  const KnownAnswer* known = find_known(answer);
  MVR_ASSERT(known != nullptr);
  std::string about = std::string(label) + ": HTTP " + std::to_string(status);
  if (!fault.message.empty()) about += " \"" + fault.message + "\"";
  Error error = known_error(*known, about);
  const std::string activity = printable(sys::header_of(headers, "activityid"), 64);
  const std::string request = printable(sys::header_of(headers, "x-github-request-id"), 64);
  if (!activity.empty()) error.what += "; ActivityId " + activity;
  if (!request.empty()) error.what += "; X-GitHub-Request-Id " + request;
  return error;
}

}  // namespace mvr::github
