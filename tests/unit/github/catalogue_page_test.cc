// mvrunner-github(7) is the catalogue.
#include <fstream>
#include <sstream>

#include "catch.h"
#include "github/catalogue.h"

namespace mvr::github {
namespace {

// The text of each entry of the page, its lines joined.
std::map<std::string, std::string> page_entries() {
  std::ifstream page(MVR_SOURCE_DIR "/man/mvrunner-github.7");
  REQUIRE(page);
  constexpr std::string_view kItem = ".It Ic ";
  std::map<std::string, std::string> entries;
  std::string id;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with(kItem)) {
      id = line.substr(kItem.size());
      REQUIRE(entries.try_emplace(id).second);
    } else if (line.starts_with(".El")) {
      id.clear();
    } else if (!id.empty()) {
      entries[id] += (entries[id].empty() ? "" : " ") + line;
    }
  }
  return entries;
}

std::string text_of(const KnownAnswer& known) {
  std::string text(known.when);
  text += ": " + std::string(known.meaning) + ". .Em Remedy : " + std::string(known.remedy) + ".";
  return text;
}

}  // namespace

TEST_CASE("the manual page has every answer with its meaning and remedy, and no other") {
  std::map<std::string, std::string> wanted;
  for (const KnownAnswer& known : catalogue()) wanted[std::string(known.id)] = text_of(known);
  const auto entries = page_entries();
  for (const auto& [id, text] : wanted) {
    INFO(id);
    const auto found = entries.find(id);
    CHECK((found == entries.end() ? "" : found->second) == text);
  }
  CHECK(entries.size() == wanted.size());
}

}  // namespace mvr::github
