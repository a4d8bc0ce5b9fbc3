// config/grafana-dashboard.json: that it asks for what there is. Whether Prometheus can read its
// queries is seen end to end.
#include <cctype>
#include <fstream>
#include <iterator>
#include <set>

#include <nlohmann/json.hpp>

#include "catch.h"

namespace mvr::daemon {
namespace {

using nlohmann::json;

json dashboard() {
  std::ifstream file(MVR_SOURCE_DIR "/config/grafana-dashboard.json");
  REQUIRE(file);
  return json::parse(file);
}

std::string file_text(const std::string& path) {
  std::ifstream file(MVR_SOURCE_DIR + path);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Of a histogram, its name without what its series end with.
std::set<std::string> metrics_in(const std::string& text) {
  std::set<std::string> names;
  const auto is_part = [](char c) {
    return std::islower(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  for (std::size_t at = text.find("mvrunner_"); at != std::string::npos;
       at = text.find("mvrunner_", at + 1)) {
    std::size_t end = at;
    while (end < text.size() && is_part(text[end])) ++end;
    std::string name = text.substr(at, end - at);
    if (name.ends_with("_bucket")) name.resize(name.size() - 7);
    names.insert(name);
  }
  return names;
}

TEST_CASE("the dashboard asks for nothing the manual page does not have") {
  std::set<std::string> asked;
  const json board = dashboard();
  for (const auto& panel : board.at("panels")) {
    for (const auto& target : panel.value("targets", json::array())) {
      asked.merge(metrics_in(target.at("expr").get<std::string>()));
    }
  }
  CHECK(asked.size() > 30);
  const std::set<std::string> documented = metrics_in(file_text("/man/mvrunner-metrics.7"));
  for (const std::string& name : asked) {
    CAPTURE(name);
    CHECK(documented.contains(name));
  }
}

TEST_CASE("every query goes to the chosen source and the chosen hosts") {
  const json board = dashboard();
  for (const auto& panel : board.at("panels")) {
    CAPTURE(panel.at("title"));
    if (panel.at("type") == "row") continue;
    REQUIRE(panel.at("datasource").at("uid") == "${datasource}");
    REQUIRE_FALSE(panel.at("targets").empty());
    for (const auto& target : panel.at("targets")) {
      CHECK(target.at("datasource").at("uid") == "${datasource}");
      CHECK(target.at("expr").get<std::string>().find("instance=~\"$instance\"") !=
            std::string::npos);
    }
  }
  std::set<std::string> variables;
  for (const auto& variable : board.at("templating").at("list")) {
    variables.insert(variable.at("name").get<std::string>());
  }
  CHECK(variables == std::set<std::string>{"datasource", "instance", "profile"});
}

TEST_CASE("panels have ids of their own and lie beside each other") {
  const json board = dashboard();
  CHECK(board.at("schemaVersion").get<int>() >= 38);  // of Grafana 10
  CHECK(board.at("uid") == "mvrunner");
  std::set<int> ids;
  std::set<std::pair<int, int>> taken;
  for (const auto& panel : board.at("panels")) {
    CAPTURE(panel.at("title"));
    CHECK(ids.insert(panel.at("id").get<int>()).second);
    const auto place = [&panel](const char* key) { return panel.at("gridPos").at(key).get<int>(); };
    REQUIRE(place("x") + place("w") <= 24);
    bool is_free = true;
    for (int y = place("y"); y < place("y") + place("h"); ++y) {
      for (int x = place("x"); x < place("x") + place("w"); ++x) {
        is_free = taken.emplace(x, y).second && is_free;
      }
    }
    CHECK(is_free);
  }
}

}  // namespace
}  // namespace mvr::daemon
