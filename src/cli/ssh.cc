// mvrunner ssh and ssh-config: a key for this use only, pushed over the channel with a lifetime.
// The connection itself goes over the channel, too: it needs no network in the guest.
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"
#include "sys/files.h"
#include "sys/process.h"
#include "sys/unix_socket.h"

namespace mvr::cli {
namespace {

constexpr std::uint64_t kKeyLifetime = 60;  // seconds to log in; the session itself lasts

// A directory that only we read, removed at the end.
class PrivateDirectory {
 public:
  static Result<PrivateDirectory> create() {
    const char* base = std::getenv("XDG_RUNTIME_DIR");
    std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/mvrunner-ssh-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr)
      return fail_errno(errno, "make a directory like " + pattern);
    PrivateDirectory made;
    made.path_ = std::move(pattern);
    return made;
  }
  PrivateDirectory(PrivateDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  PrivateDirectory& operator=(PrivateDirectory&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  ~PrivateDirectory() {
    if (!path_.empty()) (void)sys::remove_tree(path_);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  PrivateDirectory() = default;
  std::string path_;
};

Result<std::string> own_binary() {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (length <= 0) return fail_errno(errno, "read /proc/self/exe");
  return std::string(buffer.data(), static_cast<std::size_t>(length));
}

// For the shell that ssh runs the ProxyCommand with, after ssh's own %-expansion.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else if (c == '%') {
      out += "%%";
    } else {
      out += c;
    }
  }
  return out + "'";
}

Result<std::string> make_key(const std::string& directory) {
  const std::string key = directory + "/key";
  TRY(sys::remove_file(key));
  sys::RunOptions options;
  options.argv = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mvrunner", "-f", key};
  TRY(context(sys::run_ok(options), "ssh-keygen (Debian package openssh-client)"));
  TRY_ASSIGN(std::string line, sys::read_file(key + ".pub", 4096));
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return line;
}

// A key at `directory`/key that lets its owner in for a while, and the guest's in known_hosts.
struct Access {
  std::string vm;
  std::string user;
};
Result<Access> gain_access(const core::Config& config, const std::string& directory,
                           const std::string& vm) {
  TRY_ASSIGN(const std::string public_key, make_key(directory));
  TRY_ASSIGN(const auto answer, ask(config, {{"op", "authorize"},
                                             {"vm", vm},
                                             {"public_key", public_key},
                                             {"lifetime_s", kKeyLifetime}}));
  Access access{answer.at("vm").get<std::string>(), answer.at("user").get<std::string>()};
  TRY(sys::write_file(directory + "/known_hosts",
                      access.vm + " " + answer.at("host_key").get<std::string>() + "\n", 0600));
  return access;
}

Result<std::string> proxy_command(const Context& context, const std::string& arguments) {
  TRY_ASSIGN(const std::string binary, own_binary());
  return quoted(binary) + " --config " + quoted(context.config_path) + " ssh-connect " + arguments;
}

std::vector<std::string> ssh_argv(const Access& access, const std::string& directory,
                                  const std::string& proxy) {
  std::vector<std::string> argv = {"ssh", "-F", "none", "-i", directory + "/key"};
  for (const std::string& option :
       {std::string("IdentitiesOnly=yes"), std::string("PasswordAuthentication=no"),
        "UserKnownHostsFile=" + directory + "/known_hosts",
        std::string("StrictHostKeyChecking=yes"), "HostKeyAlias=" + access.vm,
        std::string("LogLevel=ERROR"), std::string("ProxyUseFdpass=yes"),
        "ProxyCommand=" + proxy}) {
    argv.emplace_back("-o");
    argv.push_back(option);
  }
  argv.push_back(access.user + "@" + access.vm);
  return argv;
}

Result<int> ssh(const Context& context, const std::string& vm,
                const std::vector<std::string>& command) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  TRY_ASSIGN(const PrivateDirectory directory, PrivateDirectory::create());
  TRY_ASSIGN(const Access access, gain_access(config, directory.path(), vm));
  TRY_ASSIGN(const std::string proxy, proxy_command(context, quoted(access.vm)));
  std::vector<std::string> argv = ssh_argv(access, directory.path(), proxy);
  if (!command.empty()) argv.emplace_back("--");
  argv.insert(argv.end(), command.begin(), command.end());
  // ssh keeps the terminal; the key is removed when it has ended.
  sys::SpawnOptions options;
  options.argv = std::move(argv);
  options.fds = {{0, 0}, {1, 1}, {2, 2}};
  options.same_session = true;
  for (const char* variable : {"PATH", "TERM", "HOME", "LANG", "USER"}) {
    if (const char* value = std::getenv(variable); value != nullptr)
      options.env.push_back(std::string(variable) + "=" + value);
  }
  TRY_ASSIGN(auto process, sys::Process::spawn(options));
  TRY_ASSIGN(const sys::Exit exit, process.wait(Duration::max()));
  return exit.signal != 0 ? static_cast<int>(exit_failed) : exit.code;
}

// The ProxyCommand: passes the connected socket to ssh on stdout (ProxyUseFdpass) and ends. With a
// directory, gets ssh its key first: it is read only once there is a connection.
Result<int> hand_over(const Context& context, const std::string& vm, const std::string& directory) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  if (!directory.empty()) {
    TRY(sys::make_directories(directory, 0700));
    TRY(gain_access(config, directory, vm));
  }
  TRY_ASSIGN(Client client, Client::connect(config));
  TRY(client.send({{"op", "open"}, {"vm", vm}}));
  TRY_ASSIGN(const auto answer, client.receive());
  const Fd socket = client.take_fd();
  if (!answer || !socket) return fail(Errc::protocol, "the daemon sent no connection");
  TRY(sys::send_with_fd(STDOUT_FILENO, std::string_view("\0", 1), socket.get()));
  return static_cast<int>(exit_ok);
}

// Where keys are that ssh asks for by itself: of this user only, and each good for a minute.
Result<std::string> key_directory(const std::string& vm) {
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr) {
    return std::string(runtime) + "/mvrunner-ssh/" + vm;
  }
  const char* home = std::getenv("HOME");
  if (home == nullptr) return fail(Errc::invalid, "neither XDG_RUNTIME_DIR nor HOME is set");
  return std::string(home) + "/.ssh/mvrunner/" + vm;
}

Result<void> print_host(const Context& context, const std::string& vm, const std::string& user) {
  TRY_ASSIGN(const std::string directory, key_directory(vm));
  TRY_ASSIGN(const std::string proxy,
             proxy_command(context, "--keys " + quoted(directory) + " " + quoted(vm)));
  std::cout << "Host " << vm << "\n  User " << user << "\n  IdentityFile \"" << directory
            << "/key\"\n  IdentitiesOnly yes\n  UserKnownHostsFile \"" << directory
            << "/known_hosts\"\n  StrictHostKeyChecking yes\n  HostKeyAlias " << vm
            << "\n  ProxyUseFdpass yes\n  ProxyCommand " << proxy << "\n";
  return {};
}

Result<int> ssh_config(const Context& context, const std::string& wanted) {
  TRY_ASSIGN(const auto status, ask(context, {{"op", "ps"}}));
  std::size_t printed = 0;
  for (const auto& vm : status.at("vms")) {
    const std::string name = vm.at("vm").get<std::string>();
    const bool is_meant =
        wanted.empty() || wanted == name || wanted == std::to_string(vm.at("slot").get<unsigned>());
    const std::string user = vm.value("user", "");
    if (!is_meant || user.empty()) continue;
    TRY(print_host(context, name, user));
    ++printed;
  }
  if (printed > 0 || wanted.empty()) return static_cast<int>(exit_ok);
  return fail(Errc::not_found, "no VM '" + printable(wanted, 64) + "': `mvrunner ps` lists them");
}

int finish(Result<int> result) { return result ? *result : report(result.error()); }

}  // namespace

void register_ssh(CLI::App& app, Context& context, int& exit_code) {
  auto vm = std::make_shared<std::string>();
  auto command = std::make_shared<std::vector<std::string>>();
  CLI::App* verb = app.add_subcommand("ssh", "a shell inside a live VM, or one command");
  verb->add_option("vm", *vm, "name or slot number, as `mvrunner ps` shows them")->required();
  verb->add_option("command", *command, "after --: what to run instead of a shell");
  verb->callback(
      [&context, &exit_code, vm, command] { exit_code = finish(ssh(context, *vm, *command)); });

  CLI::App* connect = app.add_subcommand("ssh-connect", "")->group("");
  auto target = std::make_shared<std::string>();
  auto keys = std::make_shared<std::string>();
  connect->add_option("--keys", *keys);
  connect->add_option("vm", *target)->required();
  connect->callback([&context, &exit_code, target, keys] {
    exit_code = finish(hand_over(context, *target, *keys));
  });

  CLI::App* config = app.add_subcommand("ssh-config", "print what ssh, scp and rsync need to know");
  auto wanted = std::make_shared<std::string>();
  config->add_option("vm", *wanted, "name or slot number; default: all there are");
  config->callback(
      [&context, &exit_code, wanted] { exit_code = finish(ssh_config(context, *wanted)); });
}

}  // namespace mvr::cli
