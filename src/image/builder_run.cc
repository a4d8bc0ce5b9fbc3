// What is done with a chosen builder: build and inspect. Flattening is in flatten.cc.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "base/text.h"
#include "image/builder.h"
#include "image/program.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

using Kind = Builder::Kind;

constexpr Duration kCommandLimit = std::chrono::minutes(10);

struct Attempt {
  LiveRun run;
  BuildOutput output;
};

Result<Attempt> attempt(const Builder& builder, const BuildRequest& request, Isolation isolation) {
  Attempt made;
  LiveOptions options;
  options.argv = build_command(builder, request, isolation);
  options.extra_environment = extra_environment(builder);
  options.line = [&](const std::string& line) {
    if (request.output) request.output(line);
    const auto step = made.output.line(line);
    if (step && request.step) request.step(*step);
  };
  TRY_ASSIGN(made.run, run_live(options));
  return made;
}

Result<Attempt> run_with_fallback(const Builder& builder, const BuildRequest& request) {
  TRY_ASSIGN(Attempt first, attempt(builder, request, Isolation::builders_own));
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing of ours changes the environment.
  const bool is_users_choice = std::getenv("BUILDAH_ISOLATION") != nullptr;
  if (first.run.exit.ok() || builder.kind == Kind::docker || is_users_choice ||
      !first.output.runtime_refused()) {
    return first;
  }
  if (request.progress) {
    request.progress("the container runtime refuses to run here; again with --isolation chroot");
  }
  // The steps before the one that could not run are cached, --no-cache or not.
  return attempt(builder, request, Isolation::chroot);
}

// "sha256:<64 hex>" or only the digits, as the builders write it.
Result<std::string> parse_image_id(std::string text) {
  constexpr std::string_view prefix = "sha256:";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.compare(0, prefix.size(), prefix) == 0) text.erase(0, prefix.size());
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (text.size() == 64 && std::all_of(text.begin(), text.end(), is_hex)) return text;
  return fail(Errc::protocol, "the builder wrote no image id: \"" + printable(text, 80) + "\"");
}

}  // namespace

Result<std::string> run_build(const Builder& builder, const BuildRequest& request) {
  TRY_ASSIGN(const Attempt made, run_with_fallback(builder, request));
  if (!made.run.exit.ok()) {
    const std::string where = made.output.failure(request.file);
    return fail(Errc::invalid, builder.name + " could not build " + request.dockerfile + " (" +
                                   made.run.exit.to_text() +
                                   "): " + (where.empty() ? "" : where + "\n  ") +
                                   last_words(made.run.tail));
  }
  // With some stores of docker the id file names something that its inspect does not find.
  if (builder.kind == Kind::docker) return request.tag;
  TRY_ASSIGN(std::string text, sys::read_file(request.id_file, 4096));
  return parse_image_id(std::move(text));
}

Result<ImageConfig> inspect_image(const Builder& builder, const std::string& id) {
  const std::vector<std::string> argv =
      builder.kind == Kind::buildah
          ? std::vector<std::string>{builder.program, "inspect", "--type", "image", id}
          : std::vector<std::string>{builder.program, "image", "inspect", id};
  auto out = run_quiet(argv, kCommandLimit);
  if (!out && builder.kind == Kind::docker) {
    return fail(with_context(std::move(out).error(),
                             "the image is not in the docker engine; if the current buildx builder "
                             "keeps it to itself, run 'docker buildx use default'"));
  }
  if (!out) return fail(std::move(out).error());
  return parse_inspect(*out);
}

}  // namespace mvr::image
