#include "image/flatten.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "base/text.h"
#include "image/program.h"
#include "sys/process.h"

namespace mvr::image {
namespace {

using Kind = Builder::Kind;

constexpr Duration kCommandLimit = std::chrono::minutes(10);
constexpr std::string_view kContainerPrefix = "mvrunner-work-";

// $1: the builder, $2: the container. tar's "./" comes first, then every name in order.
constexpr const char* kTarScript =
    "m=$(\"$1\" mount \"$2\") || exit 1\n"
    "case $m in /?*) ;; *) echo \"$1 mount: no directory: $m\" >&2; exit 1;; esac\n"
    "tar --xattrs --xattrs-include='*' --acls --numeric-owner --sort=name --format=posix"
    " --pax-option=delete=atime,delete=ctime --blocking-factor=512"
    " -C \"$m\" -cf - .\n"
    "r=$?\n"
    "\"$1\" umount \"$2\" >&2\n"
    "exit $r\n";

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

}  // namespace

void sweep_containers(const Builder& builder) {
  if (builder.kind == Kind::docker) return;  // none are made with it
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

std::vector<std::string> WorkingContainer::tar_command() const {
  std::vector<std::string> argv;
  if (builder_.is_rootless) argv = {builder_.program, "unshare"};
  argv.insert(argv.end(), {"/bin/sh", "-c", kTarScript, "sh", builder_.program, name_});
  return argv;
}

}  // namespace mvr::image
