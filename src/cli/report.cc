// mvrunner report: what the jobs of the past amounted to.
#include "history/report.h"

#include <array>
#include <cstdio>
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
using history::SizeRow;
using nlohmann::json;

struct Options {
  std::string since = "30d";
  std::string by = "repo";
  std::string form = "table";
  bool right_size = false;
};

// What the verb works on.
struct Past {
  core::Config config;
  std::vector<history::FinishedJob> jobs;
};

Result<Past> read_past(const Context& context, const Options& options) {
  Past past;
  TRY_ASSIGN(past.config, load_config(context, false));
  TRY_ASSIGN(const Duration span, mvr::context(parse_duration(options.since), "--since"));
  const std::string file = past.config.state_dir + "/history.sqlite";
  if (!sys::exists(file)) return past;  // no job has ended here yet
  TRY_ASSIGN(const auto known, history::History::open_to_read(file));
  const WallTime now = sys::wall_now();
  TRY_ASSIGN(past.jobs, known->between(now - span, now, history::History::kMaxEntries));
  return past;
}

// With two places, for money and CPUs.
std::string two_places(double value) {
  std::array<char, 64> text{};
  (void)std::snprintf(text.data(), text.size(), "%.2f", value);
  return text.data();
}

std::string causes_text(const ReportRow& row) {
  std::vector<std::string> parts;
  parts.reserve(row.causes.size());
  for (const auto& [cause, count] : row.causes)
    parts.push_back(cause + " " + std::to_string(count));
  return join(parts, ", ");
}

std::string peak_text(const std::optional<Bytes>& peak) {
  constexpr double kGib = 1024.0 * 1024 * 1024;
  return peak ? two_places(static_cast<double>(peak->value) / kGib) + "GiB" : "-";
}

json row_json(const ReportRow& row) {
  json out = {{"key", row.key},
              {"jobs", row.jobs},
              {"failed", row.failed},
              {"lost", row.lost},
              {"busy_ms", row.busy.count()},
              {"minutes", row.minutes},
              {"run_p50_ms", row.run_median.count()},
              {"cpu_ms", row.cpu.count()},
              {"price", row.price},
              {"causes", row.causes}};
  if (row.memory_peak) out["memory_peak"] = row.memory_peak->value;
  if (row.disk_peak) out["disk_peak"] = row.disk_peak->value;
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
  std::cout << by
            << ",jobs,failed,lost,minutes,wait_p50_s,wait_p95_s,run_p50_s,memory_peak_bytes,"
               "disk_peak_bytes,cpu_s,price,causes\n";
  const auto number = [](const std::optional<Bytes>& size) {
    return size ? std::to_string(size->value) : std::string();
  };
  for (const auto& row : rows) {
    const bool known = row.waits > 0;
    std::cout << csv_field(row.key) << ',' << row.jobs << ',' << row.failed << ',' << row.lost
              << ',' << row.minutes << ',' << (known ? seconds_text(row.wait_median) : "") << ','
              << (known ? seconds_text(row.wait_p95) : "") << ',' << seconds_text(row.run_median)
              << ',' << number(row.memory_peak) << ',' << number(row.disk_peak) << ','
              << seconds_text(row.cpu) << ',' << two_places(row.price) << ','
              << csv_field(causes_text(row)) << '\n';
  }
}

void print_rows(const std::vector<ReportRow>& rows, const std::string& currency) {
  std::vector<Row> lines;
  for (const auto& row : rows) {
    const auto wait = [&row](Duration time) {
      return row.waits > 0 ? format_duration(time) : std::string("-");
    };
    lines.push_back({row.key, std::to_string(row.jobs), std::to_string(row.failed),
                     std::to_string(row.lost), std::to_string(row.minutes), two_places(row.price),
                     wait(row.wait_median), wait(row.wait_p95),
                     row.jobs > 0 ? format_duration(row.run_median) : "-",
                     peak_text(row.memory_peak), causes_text(row)});
  }
  print_table({"KEY", "JOBS", "FAILED", "LOST", "MINUTES", currency, "WAIT P50", "WAIT P95",
               "RUN P50", "MEMORY", "LOST BY"},
              lines);
}

json size_json(const core::Resources& size) {
  return {{"memory", size.memory.value}, {"vcpus", size.vcpus}, {"disk", size.disk.value}};
}

json size_row_json(const SizeRow& row) {
  return {{"key", row.key},
          {"profile", row.profile},
          {"jobs", row.jobs},
          {"size", size_json(row.size)},
          {"memory_p95", row.memory_p95.value},
          {"disk_p95", row.disk_p95.value},
          {"cpus_p95", row.cpus_p95},
          {"needed", size_json(row.needed)},
          {"fits", row.fits}};
}

void print_sizes_csv(const std::string& by, const std::vector<SizeRow>& rows) {
  std::cout << by
            << ",profile,jobs,memory_p95_bytes,disk_p95_bytes,cpus_p95,needed_memory_bytes,"
               "needed_vcpus,needed_disk_bytes,fits\n";
  for (const auto& row : rows) {
    std::cout << csv_field(row.key) << ',' << csv_field(row.profile) << ',' << row.jobs << ','
              << row.memory_p95.value << ',' << row.disk_p95.value << ','
              << two_places(row.cpus_p95) << ',' << row.needed.memory.value << ','
              << row.needed.vcpus << ',' << row.needed.disk.value << ',' << row.fits << '\n';
  }
}

void print_sizes(const std::vector<SizeRow>& rows) {
  std::vector<Row> lines;
  for (const auto& row : rows) {
    const core::Resources& size = row.needed;
    lines.push_back({row.key, row.profile, std::to_string(row.jobs),
                     peak_text(row.memory_p95) + "/" + format_bytes(row.size.memory),
                     peak_text(row.disk_p95) + "/" + format_bytes(row.size.disk),
                     two_places(row.cpus_p95) + "/" + std::to_string(row.size.vcpus),
                     format_bytes(size.memory) + " " + std::to_string(size.vcpus) + " " +
                         format_bytes(size.disk),
                     row.fits});
  }
  print_table({"KEY", "PROFILE", "JOBS", "MEMORY P95", "DISK P95", "CPUS P95", "NEEDS", "FITS"},
              lines);
}

void print_json(const json& all) {
  std::cout << all.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
}

void show_sizes(const Past& past, const Options& options) {
  const auto rows = history::right_sizes(past.jobs, *history::parse_report_by(options.by),
                                         past.config.profiles, past.config.report.margin);
  if (options.form == "csv") return print_sizes_csv(options.by, rows);
  if (options.form == "table") return print_sizes(rows);
  json all = json::array();
  for (const auto& row : rows) all.push_back(size_row_json(row));
  print_json(all);
}

void show_rows(const Past& past, const Options& options) {
  const auto rows =
      history::report(past.jobs, *history::parse_report_by(options.by), past.config.report.rates);
  if (options.form == "csv") return print_csv(options.by, rows);
  if (options.form == "table") return print_rows(rows, past.config.report.currency);
  json all = json::array();
  for (const auto& row : rows) all.push_back(row_json(row));
  print_json(all);
}

int report_past(const Context& context, const Options& options) {
  const auto past = read_past(context, options);
  if (!past) return report(past.error());
  options.right_size ? show_sizes(*past, options) : show_rows(*past, options);
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
  verb->add_flag("--right-size", options->right_size,
                 "the smallest profile that fits what jobs used, with a margin");
  verb->add_option("-o,--output", options->form, "table, csv or json")
      ->check(CLI::IsMember({"table", "csv", "json"}))
      ->type_name("FORM");
  verb->callback([&context, &exit_code, options] { exit_code = report_past(context, *options); });
}

}  // namespace mvr::cli
