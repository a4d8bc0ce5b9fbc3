// mvrunner report: what the jobs of the past amounted to.
#include "history/report.h"

#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "sys/files.h"
#include "sys/loop.h"

namespace mvr::cli {
namespace {

using history::ReportRow;
using nlohmann::json;

struct Options {
  std::string since = "30d";
  std::string by = "repo";
  std::string form = "table";
};

Result<std::vector<ReportRow>> read_rows(const Context& context, const Options& options) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  TRY_ASSIGN(const Duration span, mvr::context(parse_duration(options.since), "--since"));
  const std::string file = config.state_dir + "/history.sqlite";
  if (!sys::exists(file)) return std::vector<ReportRow>();  // no job has ended here yet
  TRY_ASSIGN(const auto known, history::History::open_to_read(file));
  const WallTime now = sys::wall_now();
  TRY_ASSIGN(const auto past, known->between(now - span, now, history::History::kMaxEntries));
  return history::report(past, *history::parse_report_by(options.by));
}

json row_json(const ReportRow& row) {
  json out = {{"key", row.key},
              {"jobs", row.jobs},
              {"failed", row.failed},
              {"lost", row.lost},
              {"busy_ms", row.busy.count()},
              {"minutes", row.minutes},
              {"run_p50_ms", row.run_median.count()}};
  if (row.waits > 0) {
    out["wait_p50_ms"] = row.wait_median.count();
    out["wait_p95_ms"] = row.wait_p95.count();
  }
  return out;
}

// RFC 4180; a key that a spreadsheet would take for a formula is made text.
std::string csv_field(const std::string& text) {
  std::string field = printable(text, 1000);
  if (!field.empty() && std::string_view("=+-@").find(field.front()) != std::string_view::npos &&
      field.size() > 1) {
    field.insert(0, "'");
  }
  if (field.find_first_of(",\"\n") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::string seconds_text(Duration time) {
  return std::to_string(time.count() / 1000) + "." + std::to_string(time.count() % 1000 / 100);
}

void print_csv(const std::string& by, const std::vector<ReportRow>& rows) {
  std::cout << by << ",jobs,failed,lost,minutes,wait_p50_s,wait_p95_s,run_p50_s\n";
  for (const auto& row : rows) {
    const bool known = row.waits > 0;
    std::cout << csv_field(row.key) << ',' << row.jobs << ',' << row.failed << ',' << row.lost
              << ',' << row.minutes << ',' << (known ? seconds_text(row.wait_median) : "") << ','
              << (known ? seconds_text(row.wait_p95) : "") << ',' << seconds_text(row.run_median)
              << '\n';
  }
}

void print_rows(const std::vector<ReportRow>& rows) {
  std::vector<Row> lines;
  for (const auto& row : rows) {
    const auto wait = [&row](Duration time) {
      return row.waits > 0 ? format_duration(time) : std::string("-");
    };
    lines.push_back({row.key, std::to_string(row.jobs), std::to_string(row.failed),
                     std::to_string(row.lost), std::to_string(row.minutes), wait(row.wait_median),
                     wait(row.wait_p95), row.jobs > 0 ? format_duration(row.run_median) : "-"});
  }
  print_table({"KEY", "JOBS", "FAILED", "LOST", "MINUTES", "WAIT P50", "WAIT P95", "RUN P50"},
              lines);
}

int report_past(const Context& context, const Options& options) {
  const auto rows = read_rows(context, options);
  if (!rows) return report(rows.error());
  if (options.form == "json") {
    json all = json::array();
    for (const auto& row : *rows) all.push_back(row_json(row));
    std::cout << all.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else if (options.form == "csv") {
    print_csv(options.by, *rows);
  } else {
    print_rows(*rows);
  }
  return exit_ok;
}

}  // namespace

void register_report(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb =
      app.add_subcommand("report", "what past jobs amounted to: runs, minutes, waits, failures");
  auto options = std::make_shared<Options>();
  verb->add_option("--since", options->since, "how far back, such as 30d")->capture_default_str();
  verb->add_option("--by", options->by, "what makes a line")
      ->check(CLI::IsMember({"repo", "workflow", "job", "profile", "cause", "user"}))
      ->capture_default_str()
      ->type_name("WHAT");
  verb->add_option("-o,--output", options->form, "table, csv or json")
      ->check(CLI::IsMember({"table", "csv", "json"}))
      ->type_name("FORM");
  verb->callback([&context, &exit_code, options] { exit_code = report_past(context, *options); });
}

}  // namespace mvr::cli
