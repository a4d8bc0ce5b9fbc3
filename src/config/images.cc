// The images section: what is built on this host, and when it is built again.
#include <algorithm>
#include <chrono>

#include "config/schema.h"

namespace mvr::config {
namespace {

using std::chrono::hours;

constexpr std::size_t kMostArguments = 100;

// "never", "base", "daily", "weekly", or an age such as 10d.
struct RebuildWhen {
  std::optional<core::Rebuild> operator()(std::string_view text) const {
    if (text == "never") return core::Rebuild{};
    if (text == "base") return core::Rebuild{{}, true};
    if (text == "daily") return core::Rebuild{hours(24), false};
    if (text == "weekly") return core::Rebuild{hours(7 * 24), false};
    const auto age = Span{hours(24), hours(366 * 24)}(text);
    return age ? std::optional(core::Rebuild{*age, false}) : std::nullopt;
  }
  [[nodiscard]] static std::string allowed() {
    return "never, base, daily, weekly or an age of 1d to 366d";
  }
};

void read_arguments(Section& section, core::ImageRecipe& recipe, Report& report) {
  section.entries("build_args", [&](const Node& key, const Node& value, const std::string& path) {
    if (!kBuildArgument.accepts(key.text)) {
      report.add(key.mark, path, quoted(key.text) + " is not " + kBuildArgument.allowed());
    } else if (recipe.build_args.size() == kMostArguments) {
      report.add(key.mark, path, "more than " + std::to_string(kMostArguments) + " arguments");
    } else {
      section.read_node(value, path, recipe.build_args[key.text], kLine);
    }
  });
}

core::ImageRecipe read_recipe(Section& section, Report& report) {
  core::ImageRecipe recipe;
  section.require("name", kStoreName.description);
  section.read("name", recipe.name, kStoreName);
  section.require("context", "the directory of the Dockerfile");
  section.read("context", recipe.context, kFile);
  section.read("file", recipe.file, kOptionalFile);
  read_arguments(section, recipe, report);
  section.read("target", recipe.target, kLine);
  section.read("rebuild", recipe.rebuild, RebuildWhen{});
  section.finish();
  return recipe;
}

}  // namespace

void read_images(Section& top, core::Config& config, Report& report) {
  top.each("images", [&](const Node& item, const std::string& path) {
    Section section(&item, path, report);
    core::ImageRecipe recipe = read_recipe(section, report);
    const bool is_known = std::ranges::any_of(
        config.images, [&](const core::ImageRecipe& each) { return each.name == recipe.name; });
    if (is_known && !recipe.name.empty()) {
      section.add("name", quoted(recipe.name) + " is in the list already");
    }
    config.images.push_back(std::move(recipe));
  });
}

}  // namespace mvr::config
