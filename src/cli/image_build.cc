// mvrunner image build.
#include <iostream>
#include <memory>

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
  if (auto taken = take_build_args(arguments); !taken) {
    std::cerr << "mvrunner: " << taken.error().what << "\n";
    return exit_usage;
  }
  Meter meter;
  show_progress(arguments.options, meter);
  auto store = open_store<image::ImageStore>(context);
  if (!store) return report_config(store.error());
  auto built = image::build_image(*store, arguments.options);
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
  verb->add_option("-t,--tag", options.name, "name of the image")->required();
  verb->add_option("-f,--file", options.dockerfile,
                   "Dockerfile; CONTEXT/Dockerfile when not given");
  add_builder_options(*verb, *arguments);
  add_publish_options(*verb, arguments->publish);
  verb->add_option("context", options.context, "directory the Dockerfile copies from")->required();
  verb->callback([&context, &exit_code, arguments] { exit_code = build(context, *arguments); });
}

}  // namespace mvr::cli
