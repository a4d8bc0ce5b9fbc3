// mvrunner image: ls, inspect, rm, prune, tag, rollback, diff.
#include <iostream>
#include <map>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/client.h"
#include "cli/image_verbs.h"
#include "cli/stores.h"
#include "image/image_diff.h"

namespace mvr::cli {
namespace {

using image::ImageStore;
using nlohmann::json;

// The VMs that run an image, by its id, as far as a daemon can be asked.
std::map<std::string, std::vector<std::string>> users(const Context& context) {
  std::map<std::string, std::vector<std::string>> found;
  const auto status = ask(context, {{"op", "ps"}});
  if (!status) return found;
  for (const auto& vm : status->value("vms", json::array())) {
    found[vm.value("image", std::string())].push_back(vm.value("vm", std::string()));
  }
  return found;
}

std::string users_text(const image::StoredImage& image, const std::vector<std::string>& vms) {
  if (!vms.empty()) return join(vms, ",");
  return image.in_use ? "in use" : "";
}

int list(const Context& context) {
  auto store = open_store<ImageStore>(context);
  if (!store) return report_config(store.error());
  auto images = store->list();
  if (!images) return report(images.error());
  const auto vms = users(context);
  json all = json::array();
  std::vector<Row> rows;
  for (const auto& image : *images) {
    const image::Manifest& manifest = image.manifest;
    const auto found = vms.find(manifest.id);
    const auto& running = found == vms.end() ? std::vector<std::string>{} : found->second;
    json row = json::parse(image::manifest_json(manifest));
    row["tags"] = image.tags;
    row["in_use"] = image.in_use;
    row["vms"] = running;
    all.push_back(std::move(row));
    rows.push_back({join(image.tags, ","), short_digest(manifest.id),
                    format_bytes(manifest.allocated), manifest.created, manifest.builder,
                    users_text(image, running)});
  }
  if (context.json) {
    std::cout << all.dump(2) << "\n";
  } else {
    print_table({"NAME", "ID", "ALLOCATED", "CREATED", "BUILDER", "VMS"}, rows);
  }
  return exit_ok;
}

int inspect(const Context& context, const std::string& ref) {
  auto store = open_store<ImageStore>(context);
  if (!store) return report_config(store.error());
  auto manifest = store->find(ref);
  if (!manifest) return report(manifest.error());
  std::cout << image::manifest_json(*manifest);
  return exit_ok;
}

int prune(const Context& context, const image::PruneRules& rules) {
  auto store = open_store<ImageStore>(context);
  if (!store) return report_config(store.error());
  auto gone = store->prune(rules);
  if (!gone) return report(gone.error());
  Bytes freed;
  for (const auto& manifest : *gone) {
    freed += manifest.allocated;
    std::cout << (rules.only_look ? "would remove " : "removed ") << short_digest(manifest.id)
              << " " << printable(manifest.name, 64) << " " << format_bytes(manifest.allocated)
              << "\n";
  }
  std::cout << gone->size() << (gone->size() == 1 ? " image, " : " images, ") << format_bytes(freed)
            << "\n";
  return exit_ok;
}

int tag(const Context& context, const std::string& ref, const std::string& name) {
  auto store = open_store<ImageStore>(context);
  if (!store) return report_config(store.error());
  if (auto tagged = store->tag(ref, name); !tagged) return report(tagged.error());
  auto manifest = store->find(name);
  if (!manifest) return report(manifest.error());
  std::cout << name << " " << manifest->id << "\n";
  return exit_ok;
}

int rollback(const Context& context, const std::string& name) {
  auto store = open_store<ImageStore>(context);
  if (!store) return report_config(store.error());
  const auto before = store->find(name);
  auto now = store->rollback(name);
  if (!now) return report(now.error());
  std::cout << name << " " << now->id << "\n";
  if (before) {
    std::cerr << "it was " << short_digest(before->id) << ": `mvrunner image tag "
              << short_digest(before->id) << " " << name << "` brings that back\n";
  }
  return exit_ok;
}

std::string mark_of(image::PathChange::Kind kind) {
  switch (kind) {
    case image::PathChange::Kind::added:
      return "added";
    case image::PathChange::Kind::removed:
      return "removed";
    case image::PathChange::Kind::changed:
      break;
  }
  return "changed";
}

void print_diff(const image::ImageDiff& diff) {
  for (const auto& package : diff.packages) {
    std::cout << "package " << printable(package.name, 120) << " "
              << printable(package.before.empty() ? "-" : package.before, 120) << " -> "
              << printable(package.after.empty() ? "-" : package.after, 120) << "\n";
  }
  for (const auto& change : diff.paths) {
    std::cout << mark_of(change.kind) << " " << printable(change.path);
    if (!change.what.empty()) std::cout << " (" << change.what << ")";
    std::cout << "\n";
  }
}

json diff_json(const image::ImageDiff& diff) {
  json paths = json::array();
  for (const auto& change : diff.paths) {
    paths.push_back({{"change", mark_of(change.kind)},
                     {"path", printable(change.path)},
                     {"what", change.what}});
  }
  json packages = json::array();
  for (const auto& package : diff.packages) {
    packages.push_back({{"name", printable(package.name, 120)},
                        {"before", printable(package.before, 120)},
                        {"after", printable(package.after, 120)}});
  }
  return {{"paths", paths}, {"packages", packages}};
}

int diff(const Context& context, const std::string& before, const std::string& after) {
  auto store = open_store<ImageStore>(context);
  if (!store) return report_config(store.error());
  auto first = store->pin(before);
  if (!first) return report(first.error());
  auto second = store->pin(after);
  if (!second) return report(second.error());
  auto found = image::diff_images(first->path, second->path);
  if (!found) return report(found.error());
  if (context.json) {
    std::cout << diff_json(*found).dump(2) << "\n";
  } else {
    print_diff(*found);
  }
  return exit_ok;
}

constexpr const char* kRef = "a tag, or an id or its beginning";

void register_prune(CLI::App& image, Context& context, int& exit_code) {
  auto rules = std::make_shared<image::PruneRules>();
  CLI::App* verb = image.add_subcommand(
      "prune", "remove images that have no tag, are not used, not young, and no tag's latest");
  verb->add_option("--keep", rules->keep, "former images of each tag that stay for rollback")
      ->capture_default_str();
  verb->add_option_function<std::string>(
          "--older-than",
          [rules](const std::string& text) {
            const auto grace = parse_duration(text);
            if (!grace) throw CLI::ValidationError("--older-than", grace.error().what);
            rules->grace = *grace;
          },
          "age below which an image stays: 1h when not given")
      ->type_name("TIME");
  verb->add_flag("--dry-run", rules->only_look, "only say what would go");
  verb->callback([&context, &exit_code, rules] { exit_code = prune(context, *rules); });
}

void register_diff(CLI::App& image, Context& context, int& exit_code) {
  auto before = std::make_shared<std::string>();
  auto after = std::make_shared<std::string>();
  CLI::App* verb = image.add_subcommand("diff", "what differs between two images");
  verb->add_option("before", *before, kRef)->required();
  verb->add_option("after", *after, "the other one")->required();
  add_output_option(*verb, context);
  verb->callback(
      [&context, &exit_code, before, after] { exit_code = diff(context, *before, *after); });
}

}  // namespace

void register_image_store(CLI::App& image, Context& context, int& exit_code) {
  CLI::App* ls = image.add_subcommand("ls", "list the images");
  add_output_option(*ls, context);
  ls->callback([&context, &exit_code] { exit_code = list(context); });
  auto ref = std::make_shared<std::string>();
  CLI::App* show = image.add_subcommand("inspect", "print an image's manifest");
  show->add_option("name", *ref, kRef)->required();
  show->callback([&context, &exit_code, ref] { exit_code = inspect(context, *ref); });
  CLI::App* rm = image.add_subcommand("rm", "remove an image that no VM uses");
  rm->add_option("name", *ref, kRef)->required();
  rm->callback(
      [&context, &exit_code, ref] { exit_code = remove_entry<ImageStore>(context, *ref); });
  register_prune(image, context, exit_code);
  auto name = std::make_shared<std::string>();
  CLI::App* set = image.add_subcommand("tag", "give an image another name");
  set->add_option("image", *ref, kRef)->required();
  set->add_option("name", *name, "new VMs of profiles with this image boot it")->required();
  set->callback([&context, &exit_code, ref, name] { exit_code = tag(context, *ref, *name); });
  CLI::App* back =
      image.add_subcommand("rollback", "give a name back to the image that had it before");
  back->add_option("name", *name)->required();
  back->callback([&context, &exit_code, name] { exit_code = rollback(context, *name); });
  register_diff(image, context, exit_code);
}

}  // namespace mvr::cli
