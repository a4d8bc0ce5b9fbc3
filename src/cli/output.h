// Tables for people. Values are made printable: what a guest or GitHub named cannot steer a
// terminal.
#pragma once

#include <string>
#include <vector>

namespace mvr::cli {

using Row = std::vector<std::string>;

// Left-aligned columns two spaces apart; a header alone is printed as it is.
std::vector<std::string> table_lines(const Row& header, const std::vector<Row>& rows);
void print_table(const Row& header, const std::vector<Row>& rows);

// "sha256:0123456789ab": enough of a digest to tell entries apart.
std::string short_digest(const std::string& digest);

}  // namespace mvr::cli
