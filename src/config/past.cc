// The sections about what is over: history and report.
#include <chrono>
#include <map>

#include "config/schema.h"

namespace mvr::config {

using std::chrono::hours;

void read_history(Section section, core::HistorySettings& history) {
  section.read("max_age", history.max_age, Span{hours(24), hours(24 * 3650)});
  section.read("max_size", history.max_size, Size{mib(1), gib(1024)});
  section.read("logs_max_size", history.logs_max_size, Size{mib(1), gib(1024)});
  section.finish();
}

void read_report(Section section, core::ReportSettings& settings, Report& report) {
  std::map<std::uint32_t, double> rates;
  section.entries("rates", [&](const Node& key, const Node& value, const std::string& path) {
    const Whole vcpus{1, 1024};
    const auto number = vcpus(key.text);
    double price = 0;
    if (!number) {
      report.add(key.mark, path, quoted(key.text) + " vCPUs: not " + vcpus.allowed());
    } else if (rates.contains(*number)) {
      report.add(key.mark, path, quoted(key.text) + " has a price already");
    } else if (section.read_node(value, path, price, Fraction{0, 1000})) {
      rates[*number] = price;
    }
  });
  if (section.has("rates")) settings.rates = std::move(rates);
  section.read("currency", settings.currency, kCurrency);
  section.read("margin", settings.margin, Whole{0, 500});
  section.finish();
}

}  // namespace mvr::config
