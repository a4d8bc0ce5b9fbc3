// mvrunner exec: one program in a live VM, without ssh. Its input and output go over the VM's
// channel, so that neither a server in the image nor a network is needed.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iostream>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"

namespace mvr::cli {
namespace {

using Buffer = std::array<char, 64 * 1024>;

bool write_all(int to, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t count = ::write(to, data, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    data += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

// False once nothing more comes, or nobody takes it.
bool copy_some(int from, int to) {
  Buffer buffer{};
  const ssize_t count = ::read(from, buffer.data(), buffer.size());
  if (count < 0 && errno == EINTR) return true;
  return count > 0 && write_all(to, buffer.data(), static_cast<std::size_t>(count));
}

// Between the terminal and the program, until the daemon tells of its exit.
class Session {
 public:
  Session(Client client, Fd socket) : client_(std::move(client)), socket_(std::move(socket)) {}

  Result<int> run() {
    for (;;) {
      std::array<pollfd, 3> entries{{{has_input_ ? STDIN_FILENO : -1, POLLIN, 0},
                                     {socket_.get(), POLLIN, 0},
                                     {client_.descriptor(), POLLIN, 0}}};
      const int limit = client_.has_line() ? 0 : -1;
      if (::poll(entries.data(), entries.size(), limit) < 0 && errno != EINTR) {
        return fail_errno(errno, "poll");
      }
      if (entries[0].revents != 0) pass_input();
      const bool has_output = entries[1].revents != 0;
      if (has_output && !copy_some(socket_.get(), STDOUT_FILENO)) socket_ = Fd();
      // All output comes before the exit is told.
      if (has_output || (entries[2].revents == 0 && !client_.has_line())) continue;
      TRY_ASSIGN(const auto code, take_line());
      if (code) return *code;
    }
  }

 private:
  void pass_input() {
    has_input_ = copy_some(STDIN_FILENO, socket_.get());
    if (!has_input_) (void)::shutdown(socket_.get(), SHUT_WR);
  }

  Result<std::optional<int>> take_line() {
    TRY_ASSIGN(const auto line, client_.receive());
    if (!line) return fail(Errc::unavailable, "the daemon has ended; the program may go on");
    const std::string event = line->value("event", "");
    if (event == "failed") return fail(Errc::unavailable, line->value("error", ""));
    if (event == "exit") {
      while (socket_ && copy_some(socket_.get(), STDOUT_FILENO)) {
      }
      return line->value("code", static_cast<int>(exit_failed));
    }
    const auto data = base64_decode(line->value("data", ""));
    if (data) (void)write_all(STDERR_FILENO, data->data(), data->size());
    return std::nullopt;
  }

  Client client_;
  Fd socket_;
  bool has_input_ = true;
};

Result<int> exec(const Context& context, const nlohmann::json& request) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  TRY_ASSIGN(Client client, Client::connect(config));
  TRY(client.send(request));
  TRY_ASSIGN(const auto answer, client.receive());
  Fd socket = client.take_fd();
  if (!answer || !socket) return fail(Errc::protocol, "the daemon sent no connection");
  return Session(std::move(client), std::move(socket)).run();
}

}  // namespace

void register_exec(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("exec", "run one program in a live VM, without ssh");
  auto vm = std::make_shared<std::string>();
  auto user = std::make_shared<std::string>();
  auto command = std::make_shared<std::vector<std::string>>();
  verb->add_option("-u,--user", *user, "to run as; default: the image's user");
  verb->add_option("vm", *vm, "name or slot number, as `mvrunner ps` shows them")->required();
  verb->add_option("command", *command, "after --: the program and its arguments")->required();
  verb->callback([&context, &exit_code, vm, user, command] {
    auto code = exec(context, {{"op", "open"}, {"vm", *vm}, {"user", *user}, {"argv", *command}});
    exit_code = code ? *code : report(code.error());
  });
}

}  // namespace mvr::cli
