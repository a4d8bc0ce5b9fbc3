// mvrunner image: build, ls, inspect, rm.
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/meter.h"
#include "cli/stores.h"
#include "image/build.h"

namespace mvr::cli {
namespace {

struct BuildArguments {
  image::BuildOptions options;
  std::vector<std::string> build_args;
};

int build(const Context& context, BuildArguments arguments) {
  for (const auto& argument : arguments.build_args) {
    const auto equals = argument.find('=');
    if (equals == std::string::npos) {
      std::cerr << "mvrunner: --build-arg " << printable(argument) << ": write NAME=VALUE\n";
      return exit_usage;
    }
    arguments.options.build_args[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  Meter meter;
  arguments.options.progress = [&meter](const std::string& line) { meter.line(line); };
  arguments.options.bar = [&meter](Bytes done, Bytes all) { meter.bar(done, all); };
  auto store = open_store<image::ImageStore>(context);
  if (!store) return report_config(store.error());
  auto built = image::build_image(*store, arguments.options);
  if (!built) return report(built.error());
  std::cout << built->name << " " << built->digest << " " << format_bytes(built->allocated) << "\n";
  return exit_ok;
}

int inspect(const Context& context, const std::string& name) {
  auto store = open_store<image::ImageStore>(context);
  if (!store) return report_config(store.error());
  auto manifest = store->find(name);
  if (!manifest) return report(manifest.error());
  std::cout << image::manifest_json(*manifest);
  return exit_ok;
}

void register_build(CLI::App& image, Context& context, int& exit_code) {
  CLI::App* verb = image.add_subcommand("build", "build a bootable image from a Dockerfile");
  auto arguments = std::make_shared<BuildArguments>();
  image::BuildOptions& options = arguments->options;
  verb->add_option("-t,--tag", options.name, "name of the image")->required();
  verb->add_option("-f,--file", options.dockerfile,
                   "Dockerfile; CONTEXT/Dockerfile when not given");
  verb->add_option("--builder", options.builder, "auto, docker, podman or buildah")
      ->check(CLI::IsMember({"auto", "docker", "podman", "buildah"}))
      ->type_name("NAME");
  verb->add_option("--build-arg", arguments->build_args, "NAME=VALUE for an ARG; may be repeated")
      ->allow_extra_args(false);
  verb->add_option("--target", options.target, "stage to build");
  verb->add_flag("--no-cache", options.no_cache, "do not use the builder's cache");
  verb->add_option("context", options.context, "directory the Dockerfile copies from")->required();
  verb->callback([&context, &exit_code, arguments] { exit_code = build(context, *arguments); });
}

}  // namespace

void register_image(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("image", "build and manage the images VMs boot from");
  verb->require_subcommand(1);
  register_build(*verb, context, exit_code);
  CLI::App* ls = verb->add_subcommand("ls", "list the images");
  add_output_option(*ls, context);
  ls->callback([&context, &exit_code] { exit_code = list_manifests<image::ImageStore>(context); });
  auto name = std::make_shared<std::string>();
  CLI::App* show = verb->add_subcommand("inspect", "print an image's manifest");
  show->add_option("name", *name)->required();
  show->callback([&context, &exit_code, name] { exit_code = inspect(context, *name); });
  CLI::App* rm = verb->add_subcommand("rm", "remove an image that no VM uses");
  rm->add_option("name", *name)->required();
  rm->callback([&context, &exit_code, name] {
    exit_code = remove_entry<image::ImageStore>(context, *name);
  });
}

}  // namespace mvr::cli
