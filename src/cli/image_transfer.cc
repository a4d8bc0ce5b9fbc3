// mvrunner image: import, pull, export.
#include <unistd.h>

#include <iostream>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/image_publish.h"
#include "cli/image_verbs.h"
#include "cli/meter.h"
#include "cli/stores.h"
#include "image/archives.h"
#include "image/image_archive.h"
#include "sys/files.h"

namespace mvr::cli {
namespace {

using image::ImageStore;

// What another tool wrote, or a registry has.
Result<image::Manifest> convert(const ImageStore& store, const std::string& source,
                                const std::string& name, Meter& meter) {
  TRY_ASSIGN(const image::WorkDirectory work, store.make_work_directory());
  image::ImportOptions options;
  options.source = source;
  options.work = work.path();
  options.name = name;
  options.progress = [&meter](const std::string& line) { meter.line(line); };
  options.bar = [&meter](Bytes done, Bytes all) { meter.bar(done, all); };
  TRY_ASSIGN(image::Manifest manifest, image::import_image(options));
  TRY_ASSIGN(manifest.id, store.add(work.path(), manifest));
  return manifest;
}

Result<image::Manifest> take_in(const ImageStore& store, const std::string& source,
                                const std::string& name, Meter& meter) {
  const auto bar = [&meter](Bytes done, Bytes all) { meter.bar(done, all); };
  bool is_ours = false;
  if (sys::exists(source)) {
    TRY_ASSIGN(is_ours, image::is_exported_image(source));
  }
  return is_ours ? image::import_exported(store, source, bar) : convert(store, source, name, meter);
}

int import(const Context& context, const std::string& source, PublishOptions options) {
  auto store = open_store<ImageStore>(context);
  if (!store) return report_config(store.error());
  Meter meter;
  options.progress = [&meter](const std::string& line) { meter.line(line); };
  auto manifest = take_in(*store, source, options.tag, meter);
  if (!manifest) return report(manifest.error());
  if (auto done = publish_image(context, manifest->id, options); !done) return report(done.error());
  std::cout << options.tag << " " << manifest->id << " " << format_bytes(manifest->allocated)
            << "\n";
  return exit_ok;
}

int export_to(const Context& context, const std::string& ref, const std::string& file) {
  if (file == "-" && ::isatty(STDOUT_FILENO) == 1) {
    std::cerr << "mvrunner: an image is not for a terminal: name a file with -f\n";
    return exit_usage;
  }
  auto store = open_store<ImageStore>(context);
  if (!store) return report_config(store.error());
  Meter meter;
  const auto bar = [&meter](Bytes done, Bytes all) { meter.bar(done, all); };
  auto done = image::export_image(*store, ref, file, bar);
  if (!done) return report(done.error());
  if (file != "-") meter.line("wrote " + file);
  return exit_ok;
}

}  // namespace

void register_image_transfer(CLI::App& image, Context& context, int& exit_code) {
  auto source = std::make_shared<std::string>();
  auto options = std::make_shared<PublishOptions>();
  CLI::App* in = image.add_subcommand("import", "take an image in from a file");
  in->add_option("-t,--tag", options->tag, "name of the image")->required();
  add_publish_options(*in, *options);
  in->add_option("source", *source,
                 "what `image export` wrote, or tar:FILE, docker-archive:FILE, oci-archive:FILE, "
                 "oci:DIR; the kind is found out where it is not said")
      ->required();
  in->callback(
      [&context, &exit_code, source, options] { exit_code = import(context, *source, *options); });
  CLI::App* pull = image.add_subcommand("pull", "take an image from a registry, with skopeo");
  pull->add_option("-t,--tag", options->tag, "name of the image")->required();
  add_publish_options(*pull, *options);
  pull->add_option("reference", *source, "such as ghcr.io/acme/runner:24.04")->required();
  pull->callback([&context, &exit_code, source, options] {
    exit_code = import(context, "docker://" + *source, *options);
  });
  auto ref = std::make_shared<std::string>();
  auto file = std::make_shared<std::string>("-");
  CLI::App* out = image.add_subcommand("export", "write an image to one file, for another host");
  out->add_option("name", *ref, "a tag, or an id or its beginning")->required();
  out->add_option("-f,--file", *file,
                  "where to: zstd-compressed unless it ends in .tar; - is stdout")
      ->capture_default_str();
  out->callback([&context, &exit_code, ref, file] { exit_code = export_to(context, *ref, *file); });
}

}  // namespace mvr::cli
