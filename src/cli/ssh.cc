// mvrunner ssh: a key for this use only, pushed over the channel with a lifetime; the connection is
// made inside the VMs' namespace by the daemon and handed over, so no route to the guests is
// needed.
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/client.h"
#include "sys/files.h"
#include "sys/net.h"
#include "sys/process.h"
#include "sys/unix_socket.h"

namespace mvr::cli {
namespace {

constexpr int kConnectLimitMs = 10'000;
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
  sys::RunOptions options;
  options.argv = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mvrunner", "-f", key};
  TRY(context(sys::run_ok(options), "ssh-keygen (Debian package openssh-client)"));
  TRY_ASSIGN(std::string line, sys::read_file(key + ".pub", 4096));
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return line;
}

Result<int> ssh(const Context& context, const std::string& vm,
                const std::vector<std::string>& command) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  TRY_ASSIGN(const PrivateDirectory directory, PrivateDirectory::create());
  TRY_ASSIGN(const std::string public_key, make_key(directory.path()));
  TRY_ASSIGN(const auto answer, ask(config, {{"op", "authorize"},
                                             {"vm", vm},
                                             {"public_key", public_key},
                                             {"lifetime_s", kKeyLifetime}}));
  const std::string name = answer.at("vm").get<std::string>();
  const std::string known_hosts = directory.path() + "/known_hosts";
  TRY(sys::write_file(known_hosts, name + " " + answer.at("host_key").get<std::string>() + "\n",
                      0600));
  TRY_ASSIGN(const std::string binary, own_binary());
  const std::string proxy = quoted(binary) + " --config " + quoted(context.config_path) +
                            " ssh-connect --port " +
                            std::to_string(answer.at("port").get<unsigned>()) + " " + quoted(name);
  std::vector<std::string> argv = {"ssh",
                                   "-F",
                                   "none",
                                   "-i",
                                   directory.path() + "/key",
                                   "-o",
                                   "IdentitiesOnly=yes",
                                   "-o",
                                   "PasswordAuthentication=no",
                                   "-o",
                                   "UserKnownHostsFile=" + known_hosts,
                                   "-o",
                                   "StrictHostKeyChecking=yes",
                                   "-o",
                                   "HostKeyAlias=" + name,
                                   "-o",
                                   "LogLevel=ERROR",
                                   "-o",
                                   "ProxyUseFdpass=yes",
                                   "-o",
                                   "ProxyCommand=" + proxy,
                                   answer.at("user").get<std::string>() + "@" + name};
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

// The ProxyCommand: passes the connected socket to ssh on stdout (ProxyUseFdpass) and ends.
Result<int> hand_over(const Context& context, const std::string& vm, unsigned port) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  TRY_ASSIGN(Client client, Client::connect(config));
  TRY(client.send({{"op", "connect"}, {"vm", vm}, {"port", port}}));
  TRY_ASSIGN(const auto answer, client.receive());
  const Fd socket = client.take_fd();
  if (!answer || !socket) return fail(Errc::protocol, "the daemon sent no connection");
  TRY(mvr::context(sys::finish_connect(socket, kConnectLimitMs), "sshd of " + vm));
  TRY(sys::send_with_fd(STDOUT_FILENO, std::string_view("\0", 1), socket.get()));
  return static_cast<int>(exit_ok);
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
  auto port = std::make_shared<unsigned>(0);
  connect->add_option("--port", *port)->required();
  connect->add_option("vm", *target)->required();
  connect->callback([&context, &exit_code, target, port] {
    exit_code = finish(hand_over(context, *target, *port));
  });
}

}  // namespace mvr::cli
