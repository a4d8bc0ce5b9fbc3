#include "guest/engine.h"

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "guest/boot.h"
#include "guest/files.h"
#include "guest/ready.h"
#include "guest/system.h"
#include "guest/users.h"

namespace mvr::guest {
namespace {

constexpr const char* kSocket = "/run/docker.sock";
constexpr const char* kContainerdSocket = "/run/containerd/containerd.sock";
constexpr const char* kSecurity = "/sys/kernel/security";

// With it mounted and no apparmor_parser, dockerd fails to load its profile and starts nothing.
Result<void> mount_security() {
  if (!find_program("apparmor_parser") || ::access(kSecurity, F_OK) != 0) return {};
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("securityfs", kSecurity, "securityfs", kFlags, nullptr) == 0) return {};
  return errno == EBUSY ? Result<void>{} : fail_errno(errno, std::string("mount ") + kSecurity);
}

// Its group is "docker", as with every package of the engine; without one it is root's alone.
Result<Fd> listen_on_socket() {
  Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) return fail_errno(errno, "open a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // The array is the kernel's interface. NOLINTNEXTLINE(cppcoreguidelines-pro-*)
  std::memcpy(address.sun_path, kSocket, std::strlen(kSocket) + 1);
  (void)::unlink(kSocket);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bind(2) wants it so
  const auto* any = reinterpret_cast<const sockaddr*>(&address);
  const auto groups = read_file("/etc/group");
  const gid_t group = find_group(groups.value_or(std::string()), "docker").value_or(0);
  if (::bind(listener.get(), any, sizeof(address)) != 0 || ::chown(kSocket, 0, group) != 0 ||
      ::chmod(kSocket, 0660) != 0 || ::listen(listener.get(), SOMAXCONN) != 0) {
    return fail_errno(errno, std::string("listen on ") + kSocket);
  }
  return listener;
}

SpawnSpec service_spec(std::vector<std::string> argv, const std::string& cgroup) {
  SpawnSpec spec;
  spec.argv = std::move(argv);
  spec.user = root_user();
  spec.env = environment(spec.user, {});
  spec.cgroup = cgroup;
  spec.limits = Limits::service;
  return spec;
}

}  // namespace

EngineCommands engine_commands(const std::string& dockerd, const std::string& containerd) {
  EngineCommands commands;
  commands.dockerd = {dockerd, "--host=fd://"};
  if (containerd.empty()) return commands;
  commands.containerd = {containerd};
  commands.dockerd.push_back(std::string("--containerd=") + kContainerdSocket);
  return commands;
}

void Engine::set_up(EngineMode mode, const std::string& modules, Time now) {
  modules_ = modules;
  const auto dockerd = find_program("dockerd");
  if (!dockerd || mode == EngineMode::off) return;
  const auto prepared = prepare(*dockerd);
  if (!prepared) {
    tell(prepared.error().what);
    return give_up();
  }
  if (mode == EngineMode::boot) start(now);
}

Result<void> Engine::prepare(const std::string& dockerd) {
  TRY(mount_security());
  // Not the root group: there dockerd finds no limit of swap.
  TRY_ASSIGN(const std::string cgroup, service_cgroup("dockerd"));
  TRY_ASSIGN(listener_, listen_on_socket());
  auto commands = engine_commands(dockerd, find_program("containerd").value_or(std::string()));
  if (!commands.containerd.empty()) {
    services_.emplace_back("containerd", service_spec(std::move(commands.containerd), cgroup));
  }
  SpawnSpec spec = service_spec(std::move(commands.dockerd), cgroup);
  spec.listener = listener_.get();
  services_.emplace_back("dockerd", std::move(spec));
  return {};
}

void Engine::start(Time now) {
  is_started_ = true;
  Modules modules(modules_);
  while (modules.load_next()) {
  }
  if (!modules.outcome()) tell(modules.outcome().error().what);
  for (Service& service : services_) tell(service.start(now));
}

void Engine::tell(const std::string& text) const {
  if (!text.empty()) tell_("the Docker engine: " + text);
}

// Whoever comes now is told at once that there is no engine, instead of waiting for it.
void Engine::give_up() {
  stop();
  if (!listener_) return;
  listener_ = Fd();
  (void)::unlink(kSocket);
}

void Engine::reaped(pid_t pid, int wait_status, Time now) {
  for (Service& service : services_) tell(service.reaped(pid, wait_status, now));
  check();
}

void Engine::handle_due(Time now) {
  for (Service& service : services_) tell(service.handle_due(now));
  check();
}

void Engine::check() {
  const auto has_failed = [](const Service& service) { return service.has_failed(); };
  if (listener_ && std::ranges::any_of(services_, has_failed)) give_up();
}

std::optional<Engine::Time> Engine::next_due() const {
  std::optional<Time> first;
  for (const Service& service : services_) {
    const auto due = service.next_due();
    if (due && (!first || *due < *first)) first = due;
  }
  return first;
}

void Engine::add_to(std::vector<pollfd>& entries) const {
  if (listener_ && !is_started_) entries.push_back({listener_.get(), POLLIN, 0});
  for (const Service& service : services_) service.add_to(entries);
}

void Engine::serve(const std::vector<pollfd>& entries, Time now) {
  for (Service& service : services_) service.serve(entries);
  if (!is_started_ && is_ready(entries, listener_.get(), POLLIN)) start(now);
}

void Engine::stop() {
  for (auto service = services_.rbegin(); service != services_.rend(); ++service) service->stop();
}

}  // namespace mvr::guest
