#include "image/build.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "base/text.h"
#include "image/builder.h"
#include "image/entry_store.h"
#include "image/rootfs_fixups.h"

namespace mvr::image {
namespace {

void say(const BuildOptions& options, const std::string& line) {
  if (options.progress) options.progress(line);
}

struct Source {
  std::string dockerfile;  // absolute
  std::string context;     // absolute
};

// The builder runs in another directory, so its paths must be absolute.
Result<Source> locate_source(const BuildOptions& options) {
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
  return Source{dockerfile.string(), context.string()};
}

Result<void> check_options(const BuildOptions& options) {
  if (::geteuid() != 0) {
    return fail(Errc::denied, "building an image needs root: files in it belong to other users");
  }
  for (const auto& [name, value] : options.build_args) {
    if (name.empty() || name.front() == '-' || name.find('=') != std::string::npos) {
      return fail(Errc::invalid, "build argument \"" + printable(name, 80) + "\" is not a name");
    }
  }
  return {};
}

Result<std::string> build_with(const Builder& builder, const BuildOptions& options,
                               const Source& source, const std::string& work) {
  BuildRequest request;
  // A tag, not a repository name: every image name of ours is a valid tag.
  request.tag = "localhost/mvrunner:" + options.name;
  request.dockerfile = source.dockerfile;
  request.context = source.context;
  request.arguments = options.build_args;
  request.target = options.target;
  request.no_cache = options.no_cache;
  request.id_file = work + "/image-id";
  request.progress = options.progress;
  say(options, "building " + source.dockerfile + " with " + builder.to_text());
  return run_build(builder, request);
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

Result<void> write_rootfs(const Builder& builder, const BuildOptions& options,
                          const std::string& id, const std::string& work) {
  say(options, "flattening the image");
  TRY_ASSIGN(WorkingContainer container, WorkingContainer::make(builder, id));
  TRY_ASSIGN(const std::string tree, container.tree(work + "/tree"));
  TRY(fix_up_rootfs(tree));
  say(options, "writing the filesystem");
  TRY(write_ext4(tree, work + "/rootfs.ext4", options.name, Bytes{0}, options.bar));
  // A container that stays is not worth a failed build: the next one sweeps it.
  if (auto removed = container.remove(); !removed) say(options, removed.error().what);
  return {};
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

}  // namespace

Result<Manifest> build_image(const ImageStore& store, const BuildOptions& options) {
  TRY(check_options(options));
  TRY(check_entry_name(options.name, "image"));
  TRY_ASSIGN(const Source source, locate_source(options));
  TRY_ASSIGN(const Builder builder, choose_builder(options.builder));
  sweep_containers(builder);
  TRY_ASSIGN(const WorkDirectory work, store.make_work_directory());
  TRY_ASSIGN(const std::string id, build_with(builder, options, source, work.path()));
  TRY_ASSIGN(ImageConfig config, usable_config(builder, id));
  TRY(write_rootfs(builder, options, id, work.path()));
  TRY_ASSIGN(Manifest manifest, describe_drive(work.path() + "/rootfs.ext4"));
  take_config(manifest, std::move(config));
  manifest.name = options.name;
  manifest.builder = builder.to_text();
  manifest.source = options.dockerfile.empty() ? source.dockerfile : options.dockerfile;
  TRY(store.publish(work.path(), manifest));
  say(options, "image " + manifest.name + ": " + format_bytes(manifest.allocated) + " on disk, " +
                   manifest.digest);
  return manifest;
}

}  // namespace mvr::image
