#include "github/wire.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "github/catalogue.h"
#include "github/json_object.h"
#include "github/json_rows.h"
#include "github/token.h"
#include "github/url.h"

namespace mvr::github {
namespace {

using nlohmann::json;
using Field = std::string_view;

constexpr std::size_t kMaxLabels = 100;  // what generate-jitconfig takes
constexpr std::size_t kMaxLabel = 256;
constexpr std::size_t kMaxName = 256;
constexpr std::size_t kMaxJitConfig = 256U << 10U;
constexpr std::size_t kMaxMessage = 400;
constexpr std::size_t kMaxToken = 16U << 10U;
constexpr std::size_t kMaxPermissions = 200;

template <class T, std::size_t N, class Decode>
Result<std::vector<T>> decode_rows(std::string_view body, std::string_view list,
                                   const std::array<std::string_view, N>& fields, Decode decode) {
  TRY_ASSIGN(const auto rows, read_rows(body, list, fields));
  std::vector<T> values;
  values.reserve(rows.size());
  for (const JsonRow& row : rows) TRY(decode(row, values));
  return values;
}

// False: a runner has it, or it waits for something else than a runner.
Result<bool> waits_for_runner(const JsonRow& row) {
  TRY_ASSIGN(const std::string status, row.text("status"));
  if (status != "queued") return false;
  // Queued jobs come with null and with 0 and "" alike.
  TRY_ASSIGN(const std::int64_t runner, row.number_or_zero("runner_id"));
  TRY_ASSIGN(const std::string runner_name, row.text_or_empty("runner_name"));
  return runner == 0 && runner_name.empty();
}

// A fork that is gone leaves no head repository behind.
Result<bool> has_foreign_head(const JsonRow& row) {
  TRY_ASSIGN(const std::int64_t own, row.number_or_zero("repository.id"));
  TRY_ASSIGN(const std::int64_t head, row.number_or_zero("head_repository.id"));
  return head == 0 || own != head;
}

// `created_at`, or `started_at`, which equals it while a job is queued.
Result<WallTime> created_at(const JsonRow& row) {
  TRY_ASSIGN(std::string text, row.text_or_empty("created_at"));
  const std::string_view field = text.empty() ? "started_at" : "created_at";
  if (text.empty()) {
    TRY_ASSIGN(text, row.text_or_empty("started_at"));
  }
  const auto time = parse_iso8601(text);
  if (!time) return fail(row.wrong(field, "a time"));
  return *time;
}

bool are_plausible(const std::vector<std::string>& labels) {
  return !labels.empty() && labels.size() <= kMaxLabels &&
         std::all_of(labels.begin(), labels.end(), [](const std::string& label) {
           return !label.empty() && label.size() <= kMaxLabel;
         });
}

Result<void> add_waiting_job(const JsonRow& row, const std::string& repository,
                             std::vector<core::JobHint>& jobs) {
  TRY_ASSIGN(const std::int64_t id, row.positive("id"));
  TRY_ASSIGN(const bool is_waiting, waits_for_runner(row));
  if (!is_waiting) return {};
  TRY_ASSIGN(auto labels, row.texts_or_empty("labels"));
  if (!are_plausible(labels)) return {};
  for (std::string& label : labels) label = printable(label, kMaxLabel);
  TRY_ASSIGN(const std::int64_t run, row.positive("run_id"));
  TRY_ASSIGN(const std::string name, row.text_or_empty("name"));
  TRY_ASSIGN(const std::string workflow, row.text_or_empty("workflow_name"));
  TRY_ASSIGN(const WallTime created, created_at(row));
  jobs.push_back(core::JobHint{id, run, repository, printable(workflow, kMaxName),
                               printable(name, kMaxName), std::move(labels), created});
  return {};
}

Result<std::vector<std::string>> decode_repositories_in(std::string_view body, Field list) {
  static constexpr std::array<Field, 3> kFields{"full_name", "archived", "disabled"};
  return decode_rows<std::string>(
      body, list, kFields, [](const JsonRow& row, auto& names) -> Result<void> {
        TRY_ASSIGN(std::string name, row.text("full_name"));
        TRY_ASSIGN(const bool is_archived, row.flag_or_false("archived"));
        TRY_ASSIGN(const bool is_disabled, row.flag_or_false("disabled"));
        if (!is_repository_name(name)) return fail(row.wrong("full_name", "\"owner/name\""));
        if (!is_archived && !is_disabled) names.push_back(std::move(name));
        return {};
      });
}

// One entry of the `errors` list: a text, or an object with message, or with field and code.
std::string error_detail(json& entry) {
  if (const auto* text = entry.get_ptr<json::string_t*>()) return *text;
  if (const auto* message = text_member(entry, "message")) return *message;
  const auto* field = text_member(entry, "field");
  const auto* code = text_member(entry, "code");
  std::string detail = field == nullptr ? "" : *field;
  if (code != nullptr) detail += (detail.empty() ? "" : " ") + *code;
  return detail;
}

Result<std::optional<WallTime>> date_of(const json& document, const char* key) {
  if (member(document, key) == nullptr) return std::optional<WallTime>();
  const auto* text = text_member(document, key);
  const auto time = parse_iso8601(text == nullptr ? "" : *text);
  if (!time) return fail(undocumented("\"" + std::string(key) + "\" is not a time"));
  return std::optional<WallTime>(*time);
}

bool is_file_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name.front() != '.' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

Error bad_jit(std::string_view what) {
  return undocumented(std::string(what) + " of the JIT configuration");
}

// `permissions` of an object; nothing when it is absent.
Result<std::optional<Permissions>> permissions_of(json& object) {
  json* const found = member(object, "permissions");
  if (found == nullptr) return std::optional<Permissions>();
  if (!found->is_object() || found->size() > kMaxPermissions) {
    return fail(undocumented("\"permissions\" is no short mapping"));
  }
  Permissions permissions;
  for (auto& [name, level] : found->items()) {
    const auto* text = level.get_ptr<const json::string_t*>();
    if (text == nullptr) return fail(undocumented("a level in \"permissions\" is no text"));
    permissions[printable(name, kMaxName)] = printable(*text, kMaxName);
  }
  return std::optional<Permissions>(std::move(permissions));
}

std::optional<unsigned> two_digits(std::string_view text) {
  const auto number = parse_u64(text);
  if (text.size() != 2 || !number) return std::nullopt;
  return static_cast<unsigned>(*number);
}

}  // namespace

bool is_sha256(std::string_view text) {
  constexpr std::size_t kDigits = 64;
  return text.size() == kDigits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Result<std::vector<Run>> decode_runs(std::string_view body) {
  static constexpr std::array<Field, 4> kFields{"id", "repository.id", "repository.private",
                                                "head_repository.id"};
  return decode_rows<Run>(
      body, "workflow_runs", kFields, [](const JsonRow& row, auto& runs) -> Result<void> {
        Run run;
        TRY_ASSIGN(run.id, row.positive("id"));
        TRY_ASSIGN(const bool is_private, row.flag_or_false("repository.private"));
        run.is_public = !is_private;
        TRY_ASSIGN(run.is_fork, has_foreign_head(row));
        runs.push_back(run);
        return {};
      });
}

Result<std::vector<core::JobHint>> decode_waiting_jobs(std::string_view body,
                                                       const std::string& repository) {
  static constexpr std::array<Field, 10> kFields{
      "id",         "run_id",     "name",      "status",     "labels", "workflow_name",
      "created_at", "started_at", "runner_id", "runner_name"};
  return decode_rows<core::JobHint>(body, "jobs", kFields, [&](const JsonRow& row, auto& jobs) {
    return add_waiting_job(row, repository, jobs);
  });
}

Result<std::vector<RunnerRecord>> decode_runners(std::string_view body) {
  static constexpr std::array<Field, 4> kFields{"id", "name", "status", "busy"};
  return decode_rows<RunnerRecord>(body, "runners", kFields,
                                   [](const JsonRow& row, auto& records) -> Result<void> {
                                     RunnerRecord record;
                                     TRY_ASSIGN(record.id, row.positive("id"));
                                     TRY_ASSIGN(record.name, row.text("name"));
                                     TRY_ASSIGN(record.status, row.text("status"));
                                     TRY_ASSIGN(record.busy, row.flag_or_false("busy"));
                                     record.status = printable(record.status, kMaxName);
                                     records.push_back(std::move(record));
                                     return {};
                                   });
}

Result<std::vector<std::string>> decode_repositories(std::string_view body) {
  return decode_repositories_in(body, "");
}

Result<std::vector<std::string>> decode_installed_repositories(std::string_view body) {
  return decode_repositories_in(body, "repositories");
}

Result<std::vector<RunnerGroup>> decode_groups(std::string_view body) {
  static constexpr std::array<Field, 5> kFields{"id", "name", "default", "visibility",
                                                "allows_public_repositories"};
  return decode_rows<RunnerGroup>(
      body, "runner_groups", kFields, [](const JsonRow& row, auto& groups) -> Result<void> {
        RunnerGroup group;
        TRY_ASSIGN(group.id, row.positive("id"));
        TRY_ASSIGN(group.name, row.text("name"));
        TRY_ASSIGN(group.is_default, row.flag_or_false("default"));
        TRY_ASSIGN(group.visibility, row.text_or_empty("visibility"));
        if (row.has("allows_public_repositories")) {
          TRY_ASSIGN(group.allows_public, row.flag_or_false("allows_public_repositories"));
        }
        groups.push_back(std::move(group));
        return {};
      });
}

std::string encode_jit_request(const JitRequest& request) {
  const json body{{"name", request.name},
                  {"runner_group_id", request.group},
                  {"labels", request.labels},
                  {"work_folder", "_work"}};
  // A name that is not UTF-8 cannot throw this way; GitHub refuses it then.
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<JitConfig> decode_jit(std::string_view body, const char* key) {
  TRY_ASSIGN(json document, parse_object(body));
  const std::string quoted_key = "\"" + std::string(key) + "\"";
  json::string_t* encoded = text_member(document, key);
  if (encoded == nullptr) return fail(bad_jit(quoted_key + " is missing"));
  // Taken out of the document, so that no copy of the credential stays behind.
  JitConfig config{{}, Secret(std::move(*encoded))};
  if (config.encoded.empty() || config.encoded.expose().size() > kMaxJitConfig ||
      !base64_decode(config.encoded.expose())) {
    return fail(bad_jit(quoted_key + " is not base64"));
  }
  const json* const runner = member(document, "runner");
  if (runner == nullptr) return fail(bad_jit("no \"runner\""));
  const std::int64_t id = positive_member(*runner, "id");
  if (id == 0) return fail(bad_jit("\"runner.id\" is not a positive number"));
  const auto* name = text_member(*runner, "name");
  if (name == nullptr) return fail(bad_jit("no \"runner.name\""));
  config.runner = core::Runner{id, *name};
  return config;
}

Result<Installation> decode_installation(std::string_view body) {
  TRY_ASSIGN(const json document, parse_object(body));
  const std::int64_t id = positive_member(document, "id");
  if (id == 0) return fail(undocumented("\"id\" is not a positive number"));
  return Installation{id, text_member(document, "suspended_at") != nullptr};
}

Result<ReleaseDates> decode_release_dates(std::string_view body) {
  TRY_ASSIGN(const json document, parse_object(body));
  if (!document.contains("runner_version")) return fail(undocumented("no \"runner_version\""));
  ReleaseDates dates;
  TRY_ASSIGN(dates.registration, date_of(document, "registration_deprecates_at"));
  TRY_ASSIGN(dates.runtime, date_of(document, "runtime_deprecates_at"));
  return dates;
}

Result<std::vector<RunnerDownload>> decode_runner_downloads(std::string_view body) {
  static constexpr std::array<Field, 6> kFields{
      "os", "architecture", "download_url", "filename", "sha256_checksum", "temp_download_token"};
  return decode_rows<RunnerDownload>(
      body, "", kFields, [](const JsonRow& row, auto& downloads) -> Result<void> {
        RunnerDownload download;
        TRY_ASSIGN(download.os, row.text("os"));
        TRY_ASSIGN(download.architecture, row.text("architecture"));
        TRY_ASSIGN(download.url, row.text("download_url"));
        TRY_ASSIGN(download.filename, row.text("filename"));
        TRY_ASSIGN(const std::string digest, row.text_or_empty("sha256_checksum"));
        TRY_ASSIGN(std::string token, row.text_or_empty("temp_download_token"));
        download.sha256 = ascii_lower(digest);
        download.token = Secret(std::move(token));
        if (!is_file_name(download.filename)) return fail(row.wrong("filename", "a file's name"));
        if (!download.sha256.empty() && !is_sha256(download.sha256)) {
          return fail(row.wrong("sha256_checksum", "64 hexadecimal digits"));
        }
        downloads.push_back(std::move(download));
        return {};
      });
}

Result<bool> decode_repository_openness(std::string_view body) {
  TRY_ASSIGN(const json document, parse_object(body));
  const json* const is_private = member(document, "private");
  if (is_private == nullptr || !is_private->is_boolean()) {
    return fail(undocumented("\"private\" is not true or false"));
  }
  return !is_private->get<bool>();
}

Result<AccessToken> decode_access_token(std::string_view body) {
  TRY_ASSIGN(json document, parse_object(body));
  json::string_t* token = text_member(document, "token");
  if (token == nullptr) return fail(undocumented("\"token\" is missing"));
  // Taken out of the document, so that no copy of it stays behind.
  AccessToken access{Secret(std::move(*token)), {}, {}};
  if (access.token.expose().size() > kMaxToken || !is_token(access.token.expose())) {
    return fail(undocumented("\"token\" is none"));
  }
  const json::string_t* expires = text_member(document, "expires_at");
  const auto time = parse_iso8601(expires == nullptr ? "" : *expires);
  if (!time) return fail(undocumented("\"expires_at\" is not a time"));
  access.expires = *time;
  TRY_ASSIGN(access.permissions, permissions_of(document));
  return access;
}

std::string decode_error_message(std::string_view body) {
  constexpr std::size_t kMaxErrorBody = 64U << 10U;
  if (body.size() > kMaxErrorBody) return {};
  json document = json::parse(body.begin(), body.end(), nullptr, false);
  const auto* message = text_member(document, "message");
  if (message == nullptr) return {};
  std::string text = *message;
  const auto errors = document.find("errors");
  if (errors != document.end() && errors->is_array()) {
    for (json& entry : *errors) {
      const std::string detail = error_detail(entry);
      if (!detail.empty() && text.size() < kMaxMessage) text += "; " + detail;
    }
  }
  return printable(text, kMaxMessage);
}

std::optional<WallTime> parse_http_date(std::string_view text) {
  static constexpr std::array<std::string_view, 12> kMonths{
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT") {
    return std::nullopt;
  }
  if (text[7] != ' ' || text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':') {
    return std::nullopt;
  }
  const auto month = std::find(kMonths.begin(), kMonths.end(), text.substr(8, 3));
  const auto day = two_digits(text.substr(5, 2));
  const auto year = parse_u64(text.substr(12, 4));
  const auto hour = two_digits(text.substr(17, 2));
  const auto minute = two_digits(text.substr(20, 2));
  const auto second = two_digits(text.substr(23, 2));
  if (month == kMonths.end() || !day || !year || !hour || !minute || !second) return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const std::chrono::year_month_day date{
      std::chrono::year{static_cast<int>(*year)},
      std::chrono::month{static_cast<unsigned>(month - kMonths.begin()) + 1},
      std::chrono::day{*day}};
  if (!date.ok()) return std::nullopt;
  return WallTime{std::chrono::sys_days{date}} + std::chrono::hours{*hour} +
         std::chrono::minutes{*minute} + std::chrono::seconds{*second};
}

}  // namespace mvr::github
