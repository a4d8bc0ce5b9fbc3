#include "image/build.h"

#include <unistd.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "base/text.h"
#include "image/bases.h"
#include "image/build_key.h"
#include "image/builder.h"
#include "image/entry_store.h"
#include "image/ext4_image.h"
#include "image/flatten.h"
#include "image/program.h"
#include "image/tree_image.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMaxDockerfile = 4U << 20U;

void say(const BuildOptions& options, const std::string& line) {
  if (options.progress) options.progress(line);
}

// What a build is made of, all of it checked.
struct Recipe {
  std::string dockerfile;  // absolute
  std::string context;     // absolute
  std::string text;        // of the Dockerfile
  Dockerfile file;
  std::vector<Secret> secrets;
  std::optional<Sources> sources;  // empty: only the builder can tell
};

// The builder runs in another directory, so its paths must be absolute.
Result<Recipe> locate_source(const BuildOptions& options) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path context = fs::absolute(options.context.empty() ? "." : options.context, error);
  if (error || !fs::is_directory(context, error)) {
    return fail(Errc::not_found, "build context " + options.context + " is not a directory");
  }
  const fs::path dockerfile =
      options.dockerfile.empty() ? context / "Dockerfile" : fs::absolute(options.dockerfile, error);
  if (error || !fs::is_regular_file(dockerfile, error)) {
    return fail(Errc::not_found, "no Dockerfile at " + dockerfile.string() + ": name it with -f");
  }
  Recipe recipe;
  recipe.dockerfile = dockerfile.string();
  recipe.context = context.string();
  return recipe;
}

Result<void> check_options(const BuildOptions& options) {
  for (const auto& [name, value] : options.build_args) {
    if (name.empty() || name.front() == '-' || name.find('=') != std::string::npos) {
      return fail(Errc::invalid, "build argument \"" + printable(name, 80) + "\" is not a name");
    }
  }
  const std::string host = "linux/" + host_architecture();
  if (options.platform.empty() || options.platform == host || options.platform == host + "/v8") {
    return {};
  }
  return fail(Errc::unsupported, "platform " + printable(options.platform, 80) +
                                     ": this host boots " + host + " only");
}

Result<Recipe> read_recipe(const BuildOptions& options) {
  TRY_ASSIGN(Recipe recipe, locate_source(options));
  TRY_ASSIGN(recipe.text, sys::read_file(recipe.dockerfile, kMaxDockerfile));
  TRY_ASSIGN(recipe.file, context(scan_dockerfile(recipe.text), recipe.dockerfile));
  for (const std::string& text : options.secrets) {
    TRY_ASSIGN(Secret secret, parse_secret(text));
    recipe.secrets.push_back(std::move(secret));
  }
  auto sources = find_sources(recipe.file, options.build_args, options.target, host_architecture());
  if (!sources && sources.error().code != Errc::unsupported) {
    return fail(with_context(std::move(sources).error(), recipe.dockerfile));
  }
  if (sources) recipe.sources = std::move(*sources);
  return recipe;
}

std::map<std::string, Base> find_bases(const Builder& builder, const Recipe& recipe,
                                       const BaseRules& rules) {
  if (!recipe.sources) return {};
  return resolve_bases(builder, recipe.sources->images, rules);
}

// Everything of the key but the bases, which a build may bring.
Result<KeyParts> key_parts(const Builder& builder, const BuildOptions& options,
                           const Recipe& recipe) {
  KeyParts parts;
  parts.dockerfile = recipe.text;
  const std::string ignored =
      ignore_file(recipe.context, recipe.dockerfile, builder.kind == Builder::Kind::docker);
  if (!ignored.empty()) {
    TRY_ASSIGN(parts.ignore_rules, sys::read_file(ignored, kMaxDockerfile));
  }
  TRY_ASSIGN(const IgnoreRules rules, IgnoreRules::parse(parts.ignore_rules));
  TRY_ASSIGN(parts.context, list_context(recipe.context, rules));
  parts.arguments = options.build_args;
  parts.target = options.target;
  parts.platform = "linux/" + host_architecture();
  for (const Secret& secret : recipe.secrets) parts.secret_ids.push_back(secret.id);
  parts.builder = builder.to_text();
  return parts;
}

// Finds what was built before; knows nothing when something that decides about the result cannot
// be seen from here.
class Keys {
 public:
  Keys(const Builder& builder, const BuildOptions& options, const Recipe& recipe) {
    if (!recipe.sources || recipe.sources->has_remote_add) return;
    auto parts = key_parts(builder, options, recipe);
    if (parts) {
      parts_ = std::move(*parts);
    } else {
      say(options, "cannot tell whether anything changed: " + parts.error().what);
    }
  }

  // Empty: unknown.
  std::string key(const std::map<std::string, Base>& bases) {
    const auto identities = base_identities(bases);
    if (!parts_ || !identities) return {};
    parts_->bases = *identities;
    return build_key(*parts_);
  }

 private:
  std::optional<KeyParts> parts_;
};

BuildRequest make_request(const BuildOptions& options, const Recipe& recipe,
                          const std::string& work) {
  BuildRequest request;
  // A tag, not a repository name: every image name of ours is a valid tag.
  request.tag = "localhost/mvrunner:" + options.name;
  request.dockerfile = recipe.dockerfile;
  request.context = recipe.context;
  request.arguments = options.build_args;
  request.secrets = recipe.secrets;
  request.target = options.target;
  request.platform = options.platform;
  request.no_cache = options.no_cache;
  request.pull = options.pull;
  request.id_file = work + "/image-id";
  request.file = recipe.file;
  request.progress = options.progress;
  request.output = options.output;
  request.step = options.step;
  return request;
}

Result<ImageConfig> usable_config(const Builder& builder, const std::string& id) {
  TRY_ASSIGN(ImageConfig config, inspect_image(builder, id));
  const std::string host = host_architecture();
  if (config.architecture != host) {
    return fail(Errc::unsupported, "the image is for " + printable(config.architecture, 40) +
                                       ", this host boots " + host + ": check FROM --platform");
  }
  return config;
}

Result<Ext4Report> write_stream(const std::vector<std::string>& argv, const Builder& builder,
                                const BuildOptions& options, const std::string& work) {
  Ext4Options ext4;
  ext4.label = options.name;
  ext4.bar = options.bar;
  const std::string output = work + "/rootfs.ext4";
  TreeCommand tree;
  tree.argv = argv;
  tree.environment = inherited_environment();
  const std::vector<std::string> extra = extra_environment(builder);
  tree.environment.insert(tree.environment.end(), extra.begin(), extra.end());
  tree.what = "the tree that " + builder.name + " made";
  tree.log = work + "/tree.log";
  TRY_ASSIGN(Ext4Report report, write_command_image(tree, output, ext4));
  TRY(check_ext4(output));
  return report;
}

Result<Ext4Report> write_rootfs(const Builder& builder, const BuildOptions& options,
                                const BuildRequest& request, const std::string& id) {
  say(options, "writing the filesystem");
  const std::string work = std::filesystem::path(request.id_file).parent_path().string();
  if (builder.kind == Builder::Kind::docker) {
    return write_stream(tar_command(builder, request), builder, options, work);
  }
  TRY_ASSIGN(WorkingContainer container, WorkingContainer::make(builder, id));
  TRY_ASSIGN(Ext4Report report, write_stream(container.tar_command(), builder, options, work));
  // A container that stays is not worth a failed build: the next one sweeps it.
  if (auto removed = container.remove(); !removed) say(options, removed.error().what);
  return report;
}

void take_config(Manifest& manifest, ImageConfig config) {
  manifest.architecture = std::move(config.architecture);
  manifest.env = std::move(config.env);
  manifest.user = std::move(config.user);
  manifest.workdir = std::move(config.workdir);
  manifest.entrypoint = std::move(config.entrypoint);
  manifest.command = std::move(config.command);
  manifest.labels = std::move(config.labels);
}

// Builds and flattens; the manifest lacks the key and the bases.
Result<Manifest> make_rootfs(const Builder& builder, const BuildOptions& options,
                             const Recipe& recipe, const std::string& work) {
  const BuildRequest request = make_request(options, recipe, work);
  say(options, "building " + recipe.dockerfile + " with " + builder.to_text());
  TRY_ASSIGN(const std::string id, run_build(builder, request));
  TRY_ASSIGN(ImageConfig config, usable_config(builder, id));
  TRY_ASSIGN(const Ext4Report report, write_rootfs(builder, options, request, id));
  Manifest manifest = describe_drive(report);
  take_config(manifest, std::move(config));
  manifest.name = options.name;
  manifest.builder = builder.to_text();
  manifest.source = options.dockerfile.empty() ? recipe.dockerfile : options.dockerfile;
  return manifest;
}

Result<std::optional<Built>> find_built(const ImageStore& store, const std::string& key,
                                        const BuildOptions& options) {
  if (options.no_cache || key.empty()) return std::nullopt;
  TRY_ASSIGN(auto found, store.by_key(key));
  if (!found) return std::nullopt;
  say(options, "nothing changed since it was built at " + found->created);
  found->name = options.name;
  return Built{std::move(*found), true};
}

}  // namespace

Result<Built> build_image(const ImageStore& store, const BuildOptions& options) {
  TRY(check_options(options));
  TRY(check_entry_name(options.name, "image"));
  TRY_ASSIGN(const Recipe recipe, read_recipe(options));
  TRY_ASSIGN(const Builder builder, choose_builder(options.builder));
  TRY(check_dockerfile(builder, recipe.file));
  Keys keys(builder, options, recipe);
  const auto before = find_bases(builder, recipe, {options.pull, options.progress});
  const std::string key = keys.key(before);
  TRY_ASSIGN(auto found, find_built(store, key, options));
  if (found) return std::move(*found);

  sweep_containers(builder);
  TRY_ASSIGN(const WorkDirectory work, store.make_work_directory());
  TRY_ASSIGN(Manifest manifest, make_rootfs(builder, options, recipe, work.path()));
  // The builder has the bases now, whatever was known of them before.
  const auto after = find_bases(builder, recipe, {});
  const std::string key_after = keys.key(after);
  manifest.key = key_after;
  manifest.bases = base_texts(after);
  TRY_ASSIGN(manifest.id, store.add(work.path(), manifest));
  for (const std::string& one : {key, key_after}) {
    if (!one.empty()) TRY(store.set_key(one, manifest.id));
  }
  say(options, "image " + manifest.name + ": " + format_bytes(manifest.allocated) + " on disk, " +
                   manifest.id);
  return Built{std::move(manifest), false};
}

}  // namespace mvr::image
