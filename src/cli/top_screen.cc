#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/units.h"
#include "cli/output.h"
#include "cli/top.h"
#include "cli/vm_row.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kMostWaits = 4;
constexpr std::size_t kBar = 20;

std::uint64_t number(const json& object, const char* name) {
  return object.value(name, std::uint64_t{0});
}

std::string bar(std::uint64_t used, std::uint64_t all) {
  const std::size_t filled = all == 0 ? 0 : std::min(used, all) * kBar / all;
  return "[" + std::string(filled, '#') + std::string(kBar - filled, '.') + "]";
}

// Cuts at a character, not within one.
std::string cut(std::string line, std::size_t width) {
  std::size_t characters = 0;
  for (std::size_t at = 0; at < line.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(line[at]) & 0xC0U) != 0x80U;
    if (begins && characters++ == width) {
      line.resize(at);
      break;
    }
  }
  return line;
}

std::vector<std::string> head(const json& status) {
  const json& used = status.at("used");
  const json& all = status.at("capacity");
  const std::uint64_t vms = number(used, "vms");
  std::string state = status.value("draining", false) ? "  draining" : "";
  if (!status.value("pressure", "").empty())
    state += "  under pressure: " + status.value("pressure", "");
  return {"mvrunner: " + std::to_string(vms) + " of " + std::to_string(number(all, "vms")) +
              " VMs" + printable(state, 200),
          "memory " + bar(number(used, "memory"), number(all, "memory")) + " " +
              format_bytes(Bytes{number(used, "memory")}) + " of " +
              format_bytes(Bytes{number(all, "memory")}) + "   vCPUs " +
              bar(number(used, "vcpus"), number(all, "vcpus")) + " " +
              std::to_string(number(used, "vcpus")) + " of " +
              std::to_string(number(all, "vcpus"))};
}

std::vector<std::string> waits(const json& status) {
  std::vector<std::string> lines;
  std::uint64_t jobs = 0;
  for (const auto& wait : status.at("waits")) jobs += number(wait, "jobs");
  if (jobs == 0) return {"no job waits"};
  lines.push_back(std::to_string(jobs) + (jobs == 1 ? " job waits:" : " jobs wait:"));
  for (const auto& wait : status.at("waits")) {
    if (lines.size() > kMostWaits) {
      lines.emplace_back("  ... more: mvrunner explain");
      break;
    }
    const std::string profile = wait.value("profile", "");
    lines.push_back("  " + std::to_string(number(wait, "jobs")) + " " +
                    (profile.empty() ? "of no profile" : printable(profile, 64)) + ": " +
                    printable(wait.value("text", ""), 300));
  }
  return lines;
}

double weight(const json& vm, TopOrder order) {
  switch (order) {
    case TopOrder::memory:
      return vm.value("memory_used", 0.0);
    case TopOrder::cpu:
      return vm.value("busy_cpus", 0.0);
    case TopOrder::age:
      return vm.value("age_ms", 0.0);
  }
  return 0;
}

std::vector<std::string> vm_lines(const json& status, TopOrder order) {
  std::vector<json> vms(status.at("vms").begin(), status.at("vms").end());
  std::stable_sort(vms.begin(), vms.end(), [order](const json& a, const json& b) {
    return weight(a, order) > weight(b, order);
  });
  std::vector<Row> rows;
  rows.reserve(vms.size());
  for (const auto& vm : vms) {
    const Row row = vm_row(vm);
    // What a narrow screen cuts off is what comes last.
    rows.push_back({row[0], row[2], row[3], row[7], row[6], row[5], row[4]});
  }
  return table_lines({"VM", "PHASE", "AGE", "CPUS", "MEMORY", "JOB", "REPOSITORY"}, rows);
}

}  // namespace

std::vector<std::string> top_lines(const json& status, const Screen& screen, TopOrder order,
                                   std::size_t first) {
  std::vector<std::string> lines = head(status);
  for (auto& line : waits(status)) lines.push_back(std::move(line));
  lines.emplace_back();
  std::vector<std::string> vms = vm_lines(status, order);
  lines.push_back(std::move(vms.front()));
  const std::size_t room = screen.height > lines.size() + 1 ? screen.height - lines.size() - 1 : 0;
  const std::size_t count = vms.size() - 1;
  const std::size_t from = std::min(first, count > room ? count - room : 0);
  for (std::size_t n = from; n < std::min(count, from + room); ++n) {
    lines.push_back(std::move(vms[n + 1]));
  }
  lines.resize(std::min(lines.size(), screen.height - std::min<std::size_t>(screen.height, 1)));
  const std::size_t shown = std::min(room, count - from);
  lines.push_back("q quit  m memory  c CPUs  a age  up/down scroll" +
                  (shown < count ? "  " + std::to_string(from + 1) + "-" +
                                       std::to_string(from + shown) + " of " + std::to_string(count)
                                 : std::string()));
  for (auto& line : lines) line = cut(std::move(line), screen.width);
  return lines;
}

}  // namespace mvr::cli
