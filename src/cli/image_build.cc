// mvrunner image build.
#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/image_publish.h"
#include "cli/image_verbs.h"
#include "cli/meter.h"
#include "cli/stores.h"
#include "image/build.h"

namespace mvr::cli {
namespace {

struct BuildArguments {
  image::BuildOptions options;
  std::vector<std::string> build_args;
  PublishOptions publish;
};

Result<void> take_build_args(BuildArguments& arguments) {
  for (const auto& argument : arguments.build_args) {
    const auto equals = argument.find('=');
    if (equals == std::string::npos) {
      return fail(Errc::invalid, "--build-arg " + printable(argument) + ": write NAME=VALUE");
    }
    arguments.options.build_args[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  return {};
}

// Without a tag the argument names an image of the configuration, which says all the rest; what was
// given besides goes before it.
Result<void> take_recipe(const core::Config& config, image::BuildOptions& options) {
  const std::string name = std::exchange(options.context, "");
  if (!options.dockerfile.empty()) {
    return fail(Errc::invalid, "-f is of no use without -t: name the image with -t NAME");
  }
  const auto found = std::ranges::find(config.images, name, &core::ImageRecipe::name);
  if (found == config.images.end()) {
    return fail(Errc::invalid, "\"" + printable(name) +
                                   "\" is not in `images` of the configuration: add it there, or "
                                   "name the image with -t NAME and give the directory");
  }
  options.name = found->name;
  options.context = found->context;
  options.dockerfile = found->file;
  options.build_args.insert(found->build_args.begin(), found->build_args.end());
  if (options.target.empty()) options.target = found->target;
  return {};
}

// The builder's lines as they come, and on a terminal the step it is at below them.
void show_progress(image::BuildOptions& options, Meter& meter) {
  options.progress = [&meter](const std::string& line) {
    meter.status("");
    meter.line(line);
  };
  options.output = [&meter](const std::string& line) { meter.line(line); };
  options.step = [&meter](const image::BuildStep& step) {
    meter.status(step_text(step.number, step.of, step.text));
  };
  options.bar = [&meter](Bytes done, Bytes all) { meter.bar(done, all); };
}

int build(const Context& context, BuildArguments arguments) {
  const auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  auto taken = take_build_args(arguments);
  if (taken && arguments.options.name.empty()) taken = take_recipe(*config, arguments.options);
  if (!taken) {
    std::cerr << "mvrunner: " << taken.error().what << "\n";
    return exit_usage;
  }
  Meter meter;
  show_progress(arguments.options, meter);
  const image::ImageStore store(config->state_dir);
  auto built = image::build_image(store, arguments.options);
  meter.status("");
  if (!built) return report(built.error());
  const image::Manifest& manifest = built->manifest;
  arguments.publish.tag = arguments.options.name;
  arguments.publish.progress = arguments.options.progress;
  if (auto done = publish_image(context, manifest.id, arguments.publish); !done) {
    return report(done.error());
  }
  std::cout << arguments.options.name << " " << manifest.id << " "
            << format_bytes(manifest.allocated) << "\n";
  return exit_ok;
}

void add_builder_options(CLI::App& verb, BuildArguments& arguments) {
  image::BuildOptions& options = arguments.options;
  verb.add_option("--builder", options.builder, "auto, docker, podman or buildah")
      ->check(CLI::IsMember({"auto", "docker", "podman", "buildah"}))
      ->type_name("NAME");
  verb.add_option("--build-arg", arguments.build_args, "NAME=VALUE for an ARG; may be repeated")
      ->allow_extra_args(false);
  verb.add_option("--secret", options.secrets,
                  "id=NAME,src=FILE or id=NAME,env=VARIABLE for RUN --mount=type=secret; may be "
                  "repeated")
      ->allow_extra_args(false);
  verb.add_option("--target", options.target, "stage to build");
  verb.add_option("--platform", options.platform, "linux/ARCH; only what this host boots");
  verb.add_flag("--no-cache", options.no_cache,
                "build it though nothing changed, without the builder's cache");
  verb.add_flag("--pull", options.pull, "ask the registries for newer base images");
}

}  // namespace

void register_image_build(CLI::App& image, Context& context, int& exit_code) {
  CLI::App* verb = image.add_subcommand("build", "build a bootable image from a Dockerfile");
  auto arguments = std::make_shared<BuildArguments>();
  image::BuildOptions& options = arguments->options;
  verb->add_option("-t,--tag", options.name, "name of the image");
  verb->add_option("-f,--file", options.dockerfile,
                   "Dockerfile; CONTEXT/Dockerfile when not given");
  add_builder_options(*verb, *arguments);
  add_publish_options(*verb, arguments->publish);
  verb->add_option(
          "context", options.context,
          "directory the Dockerfile copies from; without -t the name of one of `images` in "
          "the configuration")
      ->required();
  verb->callback([&context, &exit_code, arguments] { exit_code = build(context, *arguments); });
}

}  // namespace mvr::cli
