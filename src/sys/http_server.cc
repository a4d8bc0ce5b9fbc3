#include "sys/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include <microhttpd.h>
#include <netdb.h>

#include "base/fd.h"
#include "base/text.h"

namespace mvr::sys {
namespace {

constexpr int kBacklog = 16;
constexpr unsigned kMostConnections = 32;
constexpr std::size_t kConnectionMemory = 16U * 1024;  // the request's line and headers
constexpr unsigned kIdleSeconds = 10;

struct DaemonEnd {
  void operator()(MHD_Daemon* daemon) const { MHD_stop_daemon(daemon); }
};
struct ResponseEnd {
  void operator()(MHD_Response* response) const { MHD_destroy_response(response); }
};
using Response = std::unique_ptr<MHD_Response, ResponseEnd>;

struct Address {
  sockaddr_storage value{};
  socklen_t length = 0;
};

Result<Address> parse_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return fail(Errc::invalid, text + ": no port");
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), text.c_str() + colon + 1, &hints, &found) != 0) {
    return fail(Errc::invalid, text + " is no address and port");
  }
  Address address;
  std::memcpy(&address.value, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  ::freeaddrinfo(found);
  return address;
}

sockaddr* as_sockaddr(Address& address) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets interface
  return reinterpret_cast<sockaddr*>(&address.value);
}

Result<Fd> listen_tcp(const std::string& text) {
  TRY_ASSIGN(Address address, parse_address(text));
  Fd fd(::socket(address.value.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "make a socket");
  const int on = 1;  // the port of a daemon that just ended
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return fail_errno(errno, "listen on " + text);
  }
  if (::bind(fd.get(), as_sockaddr(address), address.length) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return fail_errno(errno, "listen on " + text);
  }
  return fd;
}

Response make_response(const HttpAnswer& answer) {
  // MHD copies the bytes; its interface wants them mutable all the same.
  Response response(MHD_create_response_from_buffer(
      answer.body.size(), const_cast<char*>(answer.body.data()),  // NOLINT(*-const-cast)
      MHD_RESPMEM_MUST_COPY));
  if (!response) return response;
  const auto add = [&](const char* name, const char* value) {
    (void)MHD_add_response_header(response.get(), name, value);
  };
  add("Content-Type", answer.type.c_str());
  add("Cache-Control", "no-store");
  add("X-Content-Type-Options", "nosniff");
  if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED) add("Allow", "GET, HEAD");
  return response;
}

}  // namespace

struct HttpServer::State {
  Loop& loop;
  Handler handler;
  Address bound;
  // In this order: the watch goes before the daemon whose descriptor it has.
  std::unique_ptr<MHD_Daemon, DaemonEnd> daemon;
  Watch watch;
  Timer timer;

  void run() {
    (void)MHD_run(daemon.get());
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    timer = {};
    if (MHD_get_timeout(daemon.get(), &wait_ms) != MHD_YES) return;
    timer =
        loop.call_at(loop.now() + Duration(static_cast<std::int64_t>(wait_ms)), [this] { run(); });
  }

  HttpAnswer answer(MHD_Connection* connection, std::string_view url, std::string_view method) {
    if (method != MHD_HTTP_METHOD_GET && method != MHD_HTTP_METHOD_HEAD) {
      return HttpAnswer{MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8",
                        "only GET and HEAD\n"};
    }
    const char* host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    return handler(HttpAsked{std::string(url), host == nullptr ? "" : host});
  }

  // Called once with the headers and again when the body, if any, is there; it is not read.
  // NOLINTNEXTLINE(readability-function-size): libmicrohttpd's interface
  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url,
                               const char* method, const char* /*version*/, const char* /*data*/,
                               std::size_t* data_size, void** seen) {
    if (*seen == nullptr) {
      *seen = self;
      return MHD_YES;
    }
    if (*data_size != 0) return MHD_NO;  // a body nobody asked for: the connection is closed
    const HttpAnswer answer = static_cast<State*>(self)->answer(connection, url, method);
    const Response response = make_response(answer);
    if (!response) return MHD_NO;
    return MHD_queue_response(connection, answer.status, response.get());
  }
};

Result<std::unique_ptr<HttpServer>> HttpServer::listen(Loop& loop, const std::string& address,
                                                       Handler handler) {
  TRY_ASSIGN(Fd socket, listen_tcp(address));
  auto state = std::unique_ptr<State>(new State{loop, std::move(handler), {}, nullptr, {}, {}});
  state->bound.length = sizeof state->bound.value;
  if (::getsockname(socket.get(), as_sockaddr(state->bound), &state->bound.length) != 0) {
    return fail_errno(errno, "listen on " + address);
  }
  state->daemon.reset(MHD_start_daemon(
      MHD_USE_EPOLL, 0, nullptr, nullptr, &State::on_request, state.get(), MHD_OPTION_LISTEN_SOCKET,
      socket.get(), MHD_OPTION_CONNECTION_LIMIT, kMostConnections, MHD_OPTION_CONNECTION_TIMEOUT,
      kIdleSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemory, MHD_OPTION_END));
  if (!state->daemon) return fail(Errc::io, "listen on " + address + ": libmicrohttpd refused");
  (void)socket.release();  // the daemon closes it
  const MHD_DaemonInfo* info = MHD_get_daemon_info(state->daemon.get(), MHD_DAEMON_INFO_EPOLL_FD);
  if (info == nullptr) return fail(Errc::io, "libmicrohttpd has no epoll descriptor");
  TRY_ASSIGN(state->watch, loop.watch(info->epoll_fd, EPOLLIN,
                                      [raw = state.get()](std::uint32_t) { raw->run(); }));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const {
  const auto& address = state_->bound.value;
  // NOLINTBEGIN(cppcoreguidelines-pro-type-reinterpret-cast): the sockets interface
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
  // NOLINTEND(cppcoreguidelines-pro-type-reinterpret-cast)
}

bool HttpServer::is_loopback() const {
  const auto& address = state_->bound.value;
  // NOLINTBEGIN(cppcoreguidelines-pro-type-reinterpret-cast): the sockets interface
  if (address.ss_family == AF_INET6) {
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(&address)->sin6_addr) != 0;
  }
  return (ntohl(reinterpret_cast<const sockaddr_in*>(&address)->sin_addr.s_addr) >> 24U) == 127;
  // NOLINTEND(cppcoreguidelines-pro-type-reinterpret-cast)
}

}  // namespace mvr::sys
