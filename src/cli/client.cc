#include "cli/client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

#include "core/names.h"
#include "sys/unix_socket.h"

namespace mvr::cli {
namespace {

using nlohmann::json;
constexpr std::size_t kReadSize = 64 * 1024;
constexpr std::size_t kMaxLine = 64U << 20U;

Errc code_of(const json& answer) {
  const std::string name = answer.value("code", std::string());
  for (const Errc code :
       {Errc::invalid, Errc::not_found, Errc::busy, Errc::unsupported, Errc::unavailable}) {
    if (name == errc_name(code)) return code;
  }
  return Errc::io;
}

}  // namespace

Result<Client> Client::connect(const core::Config& config) {
  Client client;
  const std::string path = core::host_names(config).control_socket;
  auto socket = sys::connect_unix(path);
  if (!socket && socket.error().code == Errc::denied) {
    return fail(Errc::denied, path + ": permission denied; become root or a member of group " +
                                  config.control_group);
  }
  if (!socket) {
    return fail(Errc::unavailable,
                "no daemon answers at " + path + " (" + socket.error().what +
                    "); start it with `systemctl start mvrunner` or `mvrunner serve`");
  }
  client.socket_ = std::move(*socket);
  return client;
}

Result<void> Client::set_limit(Duration limit) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
  const timeval value{seconds.count(), 0};
  if (::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value) != 0) {
    return fail_errno(errno, "limit the wait for the daemon");
  }
  return {};
}

Result<void> Client::send(const json& request) {
  const std::string line = request.dump() + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail_errno(errno, "send to the daemon");
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Result<std::optional<json>> Client::receive() {
  std::size_t newline = buffer_.find('\n');
  while (newline == std::string::npos) {
    if (buffer_.size() > kMaxLine) return fail(Errc::too_large, "the daemon's answer is too long");
    auto received = sys::receive_with_fd(socket_.get(), kReadSize);
    if (!received && received.error().code == Errc::busy) {  // only with set_limit()
      return fail(Errc::timed_out, "the daemon has not answered in time");
    }
    if (!received) return tl::unexpected(received.error());
    if (received->fd) received_ = std::move(received->fd);
    if (received->text.empty()) return std::optional<json>{};
    buffer_ += received->text;
    newline = buffer_.find('\n');
  }
  json answer = json::parse(buffer_.substr(0, newline), nullptr, false);
  buffer_.erase(0, newline + 1);
  if (!answer.is_object())
    return fail(Errc::protocol, "the daemon's answer is not JSON: is it of another version?");
  if (answer.contains("ok") && answer["ok"] == false) {
    return fail(code_of(answer), answer.value("error", std::string("the daemon refused")));
  }
  return std::optional<json>{std::move(answer)};
}

Result<json> ask(const core::Config& config, const json& request) {
  TRY_ASSIGN(Client client, Client::connect(config));
  TRY(client.send(request));
  TRY_ASSIGN(auto answer, client.receive());
  if (!answer) return fail(Errc::unavailable, "the daemon closed the connection; see its log");
  return std::move(*answer);
}

Result<json> ask(const Context& context, const json& request) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  return ask(config, request);
}

}  // namespace mvr::cli
