// What is done with a chosen builder: build, inspect, flatten.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/fd.h"
#include "base/text.h"
#include "image/builder.h"
#include "image/extract.h"
#include "image/program.h"
#include "sys/files.h"
#include "sys/process.h"

namespace mvr::image {
namespace {

using Kind = Builder::Kind;

constexpr Duration kCommandLimit = std::chrono::minutes(10);
constexpr std::string_view kContainerPrefix = "mvrunner-work-";

std::vector<std::string> build_command(const Builder& builder, const BuildRequest& request,
                                       const char* isolation) {
  std::vector<std::string> argv = {builder.program,
                                   builder.kind == Kind::buildah ? "bud" : "build"};
  const auto add = [&](std::initializer_list<std::string> words) {
    argv.insert(argv.end(), words);
  };
  if (builder.kind == Kind::buildah) {
    // The format that keeps SHELL and HEALTHCHECK; a failed step leaves no container.
    add({"--layers", "--format", "docker", "--force-rm"});
    if (isolation != nullptr) add({"--isolation", isolation});
  }
  if (builder.kind == Kind::podman) add({"--format", "docker", "--force-rm"});
  if (request.no_cache) add({"--no-cache"});
  if (!request.target.empty()) add({"--target", request.target});
  for (const auto& [name, value] : request.arguments) {
    argv.emplace_back("--build-arg");
    argv.push_back(name);
    argv.back().append("=").append(value);
  }
  add({"--iidfile", request.id_file, "--tag", request.tag, "--file", request.dockerfile,
       request.context});
  return argv;
}

// What buildah says when the OCI runtime could not even make the container, as with cgroup layouts
// the runtime does not know. A RUN step that fails by itself does not say this.
bool runtime_refused(const std::string& output) {
  return output.find("error running container: ") != std::string::npos ||
         output.find("did not get container create message") != std::string::npos;
}

Result<LiveRun> run_with_fallback(const Builder& builder, const BuildRequest& request) {
  TRY_ASSIGN(LiveRun first, run_live(build_command(builder, request, nullptr)));
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing of ours changes the environment.
  const bool is_users_choice = std::getenv("BUILDAH_ISOLATION") != nullptr;
  if (first.exit.ok() || builder.kind != Kind::buildah || is_users_choice ||
      !runtime_refused(first.tail)) {
    return first;
  }
  if (request.progress) {
    request.progress("the container runtime refuses to run here; again with --isolation chroot");
  }
  return run_live(build_command(builder, request, "chroot"));
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

Result<std::string> container_name() {
  static std::atomic<unsigned> counter{0};
  TRY_ASSIGN(const std::uint64_t start, sys::process_start_time(::getpid()));
  return std::string(kContainerPrefix) + std::to_string(::getpid()) + "-" + std::to_string(start) +
         "-" + std::to_string(counter++);
}

// True for a name of ours whose process has ended: pid and start time are in the name.
bool is_abandoned(const std::string& name) {
  if (name.compare(0, kContainerPrefix.size(), kContainerPrefix) != 0) return false;
  const auto parts = split(std::string_view(name).substr(kContainerPrefix.size()), '-');
  if (parts.size() != 3) return false;
  const auto pid = parse_u64(parts[0]);
  const auto start = parse_u64(parts[1]);
  if (!pid || !start || *pid == 0 || *pid > 1U << 22U) return false;
  const auto now = sys::process_start_time(static_cast<pid_t>(*pid));
  return !now || *now != *start;
}

std::vector<std::string> list_command(const Builder& builder) {
  if (builder.kind == Kind::buildah) {
    return {builder.program, "containers", "--noheading", "--format", "{{.ContainerName}}"};
  }
  return {builder.program, "ps", "--all", "--format", "{{.Names}}"};
}

std::vector<std::string> make_command(const Builder& builder, const std::string& name,
                                      const std::string& id) {
  if (builder.kind == Kind::buildah) {
    return {builder.program, "from", "--pull-never", "--name", name, id};
  }
  // The command is never run, but an image without one is refused.
  return {builder.program, "create", "--name", name, id, "/bin/true"};
}

Result<void> remove_container(const Builder& builder, const std::string& name) {
  std::vector<std::string> argv = {builder.program, "rm"};
  if (builder.kind != Kind::buildah) argv.emplace_back("--force");
  argv.push_back(name);
  TRY(run_quiet(argv, kCommandLimit));
  return {};
}

// Reads on to the end, so that the writer is not stopped by a closed pipe.
void drain(int fd) {
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got == 0 || (got < 0 && errno != EINTR)) return;
  }
}

}  // namespace

Result<std::string> run_build(const Builder& builder, const BuildRequest& request) {
  TRY_ASSIGN(const LiveRun run, run_with_fallback(builder, request));
  if (!run.exit.ok()) {
    return fail(Errc::invalid, builder.name + " could not build " + request.dockerfile + " (" +
                                   run.exit.to_text() + "): " + last_words(run.tail));
  }
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

void sweep_containers(const Builder& builder) {
  const auto out = run_quiet(list_command(builder), kCommandLimit);
  if (!out) return;
  for (const std::string_view line : split(*out, '\n')) {
    const std::string name(line);
    if (is_abandoned(name)) (void)remove_container(builder, name);  // the next build tries again
  }
}

WorkingContainer::WorkingContainer(Builder builder, std::string name)
    : builder_(std::move(builder)), name_(std::move(name)) {}

WorkingContainer::WorkingContainer(WorkingContainer&& other) noexcept
    : builder_(std::move(other.builder_)), name_(std::exchange(other.name_, {})) {}

WorkingContainer::~WorkingContainer() { (void)remove(); }

Result<WorkingContainer> WorkingContainer::make(const Builder& builder,
                                                const std::string& image_id) {
  TRY_ASSIGN(std::string name, container_name());
  // Owned before it exists: a create that fails half-way is removed as well.
  WorkingContainer container(builder, std::move(name));
  TRY(run_quiet(make_command(builder, container.name_, image_id), kCommandLimit));
  return container;
}

Result<void> WorkingContainer::remove() {
  if (name_.empty()) return {};
  return remove_container(builder_, std::exchange(name_, {}));
}

Result<std::string> WorkingContainer::tree(const std::string& scratch) const {
  if (builder_.kind == Kind::docker) {
    TRY(sys::make_directories(scratch));
    TRY(export_to(scratch));
    return scratch;
  }
  TRY_ASSIGN(std::string out, run_quiet({builder_.program, "mount", name_}, kCommandLimit));
  while (!out.empty() && out.back() == '\n') out.pop_back();
  // Never a relative or missing path: the tree that comes back here is changed.
  if (out.size() < 2 || out.front() != '/' || out.find('\n') != std::string::npos ||
      !sys::exists(out)) {
    return fail(Errc::protocol, builder_.name + " mount: no directory: " + printable(out, 200));
  }
  return out;
}

Result<void> WorkingContainer::export_to(const std::string& directory) const {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  Fd read(ends[0]);
  Fd write(ends[1]);
  sys::SpawnOptions options;
  options.argv = {builder_.program, "export", name_};
  options.env = inherited_environment();
  options.fds = {{write.get(), STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  TRY_ASSIGN(sys::Process process, sys::Process::spawn(options));
  TRY(write.close());
  auto extracted = extract_stream(read.get(), directory, Trust::rootfs, {});
  if (extracted) drain(read.get());
  TRY(read.close());
  TRY_ASSIGN(const sys::Exit exit, process.wait(kCommandLimit));
  // The export's own failure explains a truncated archive better than the archive does.
  if (!extracted && exit.code == 0 && exit.signal == 0) return extracted;
  if (!exit.ok() && extracted) {
    return fail(Errc::unavailable, builder_.name + " export: " + exit.to_text());
  }
  return context(std::move(extracted), builder_.name + " export (" + exit.to_text() + ")");
}

}  // namespace mvr::image
