#include "cli/output.h"

#include <algorithm>
#include <iostream>

#include "base/text.h"

namespace mvr::cli {
namespace {

constexpr std::size_t kMaxCell = 120;

std::string row_line(const Row& row, const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::string cell = printable(row[i].empty() ? "-" : row[i], kMaxCell);
    line += cell;
    if (i + 1 < row.size()) line.append(widths[i] - std::min(widths[i], cell.size()) + 2, ' ');
  }
  return line;
}

}  // namespace

std::string short_digest(const std::string& digest) {
  constexpr std::size_t kShown = 19;
  return digest.substr(0, kShown);
}

std::vector<std::string> table_lines(const Row& header, const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < header.size(); ++i) {
    std::size_t width = header[i].size();
    for (const auto& row : rows)
      width = std::max(width, std::max<std::size_t>(printable(row[i], kMaxCell).size(), 1));
    widths.push_back(width);
  }
  std::vector<std::string> lines;
  lines.reserve(rows.size() + 1);
  lines.push_back(row_line(header, widths));
  for (const auto& row : rows) lines.push_back(row_line(row, widths));
  return lines;
}

void print_table(const Row& header, const std::vector<Row>& rows) {
  for (const auto& line : table_lines(header, rows)) std::cout << line << "\n";
}

}  // namespace mvr::cli
