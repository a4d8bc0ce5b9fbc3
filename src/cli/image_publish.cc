#include "cli/image_publish.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <CLI/CLI.hpp>

#include "cli/output.h"
#include "cli/smoke.h"

namespace mvr::cli {
namespace {

// An image that other tags have, or this one had, was good before.
bool is_known(const image::ImageStore& store, const std::string& id, const std::string& tag) {
  const auto all = store.list();
  const auto former = store.former(tag);
  if (!all || !former || std::ranges::find(*former, id) != former->end()) return true;
  const auto has_tag = [&id](const image::StoredImage& image) {
    return image.manifest.id == id && !image.tags.empty();
  };
  return std::ranges::any_of(*all, has_tag);
}

// The canary's VM may take a moment to let go of it.
bool remove_soon(const image::ImageStore& store, const std::string& id) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  auto removed = store.remove(id);
  while (!removed && removed.error().code == Errc::busy && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    removed = store.remove(id);
  }
  return removed.has_value();
}

Error refused(const image::ImageStore& store, const std::string& id, const PublishOptions& options,
              Error error) {
  const bool has_former = store.find(options.tag).has_value();
  std::string fate = has_former ? "; \"" + options.tag + "\" stays what it was" : "";
  const bool is_bad = error.code == Errc::invalid;
  const bool goes = is_bad && !options.keep && !is_known(store, id, options.tag);
  if (goes && remove_soon(store, id)) {
    error.what = "the image was not published" + fate + ": " + error.what +
                 "\n--keep keeps such an image, without the tag";
    return error;
  }
  fate += "; it is kept as " + short_digest(id);
  error.what = std::string(is_bad ? "the image was not published"
                                  : "the image was not tried and not published") +
               fate + ": " + error.what;
  if (!is_bad) {
    error.what +=
        "\nput that right and say it again, leave the canary out with --no-smoke, or "
        "`mvrunner image tag " +
        short_digest(id) + " " + options.tag + "`";
  }
  return error;
}

}  // namespace

void add_publish_options(CLI::App& verb, PublishOptions& options) {
  verb.add_flag("--smoke,!--no-smoke", options.smoke,
                "boot a VM from it before the tag moves: on unless --no-smoke");
  verb.add_flag("--keep", options.keep, "keep an image whose canary failed, without the tag");
}

Result<void> publish_image(const Context& context, const std::string& id,
                           const PublishOptions& options) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  const image::ImageStore store(config.state_dir);
  if (const auto now = store.find(options.tag); now && now->id == id) return {};
  if (options.smoke) {
    const auto tried = smoke(
        context, config, {smoke_profile(config, options.tag), id, std::nullopt, options.progress});
    if (!tried) return fail(refused(store, id, options, tried.error()));
  }
  return store.tag(id, options.tag);
}

}  // namespace mvr::cli
