#include "sys/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>

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

constexpr const char* kPlain = "text/plain; charset=utf-8";

// A request while it comes in.
struct Incoming {
  std::string body;
  bool is_too_long = false;
};

MHD_Result keep_header(void* headers, MHD_ValueKind /*kind*/, const char* name, const char* value) {
  static_cast<std::map<std::string, std::string>*>(headers)->emplace(ascii_lower(name),
                                                                     value == nullptr ? "" : value);
  return MHD_YES;
}

Response make_response(const HttpAnswer& answer, const char* allowed) {
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
  add("Connection", "close");
  for (const auto& [name, value] : answer.headers) add(name.c_str(), value.c_str());
  if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED) add("Allow", allowed);
  return response;
}

}  // namespace

struct HttpServer::State {
  Loop& loop;
  Handler handler;
  HttpServerOptions options;
  Address bound;
  std::map<MHD_Connection*, Instant> connections;  // and when each is over
  // In this order: the watch goes before the daemon whose descriptor it has.
  std::unique_ptr<MHD_Daemon, DaemonEnd> daemon;
  Watch watch;
  Timer timer;

  State(Loop& the_loop, Handler the_handler, HttpServerOptions the_options)
      : loop(the_loop), handler(std::move(the_handler)), options(the_options) {}

  void run() {
    (void)MHD_run(daemon.get());
    end_late_ones();
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    timer = {};
    const bool waits = MHD_get_timeout(daemon.get(), &wait_ms) == MHD_YES;
    if (!waits && connections.empty()) return;
    Instant next =
        waits ? loop.now() + Duration(static_cast<std::int64_t>(wait_ms)) : Instant::max();
    for (const auto& [connection, end] : connections) next = std::min(next, end);
    timer = loop.call_at(next, [this] { run(); });
  }

  // libmicrohttpd ends those that fall silent, not those that send a byte now and then.
  void end_late_ones() {
    const Instant now = loop.now();
    for (auto& [connection, end] : connections) {
      if (now < end) continue;
      end = now + options.longest_request;
      const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
      if (info != nullptr) (void)::shutdown(info->connect_fd, SHUT_RDWR);
    }
  }

  [[nodiscard]] bool serves(std::string_view method) const {
    if (options.longest_body > 0) return method == MHD_HTTP_METHOD_POST;
    return method == MHD_HTTP_METHOD_GET || method == MHD_HTTP_METHOD_HEAD;
  }
  [[nodiscard]] const char* served() const {
    return options.longest_body > 0 ? "POST" : "GET, HEAD";
  }

  // What is too long is read to its end all the same: who is still sending hears no answer.
  MHD_Result take(Incoming& incoming, std::string_view data) const {
    if (options.longest_body == 0) return MHD_NO;  // nobody asked for it: the connection is closed
    if (data.size() > options.longest_body - incoming.body.size()) {
      incoming.is_too_long = true;
      incoming.body = {};
    }
    if (!incoming.is_too_long) incoming.body.append(data);
    return MHD_YES;
  }

  HttpAnswer answer(MHD_Connection* connection, std::string_view url, std::string_view method,
                    Incoming& incoming) {
    if (!serves(method)) {
      return {MHD_HTTP_METHOD_NOT_ALLOWED, kPlain, std::string("only ") + served() + "\n"};
    }
    if (incoming.is_too_long) {
      return {MHD_HTTP_CONTENT_TOO_LARGE, kPlain,
              "more than " + format_bytes(Bytes{options.longest_body}) + "\n"};
    }
    HttpAsked asked{std::string(url), {}, {}, std::move(incoming.body)};
    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, &keep_header, &asked.headers);
    if (const auto host = asked.headers.find("host"); host != asked.headers.end()) {
      asked.host = host->second;
    }
    return handler(asked);
  }

  // Called once with the headers, for each part of the body, and again at its end.
  // NOLINTNEXTLINE(readability-function-size): libmicrohttpd's interface
  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url,
                               const char* method, const char* /*version*/, const char* data,
                               std::size_t* data_size, void** incoming) {
    auto& state = *static_cast<State*>(self);
    if (*incoming == nullptr) {
      *incoming = std::make_unique<Incoming>().release();  // on_end() has it back
      return MHD_YES;
    }
    auto& request = *static_cast<Incoming*>(*incoming);
    if (*data_size != 0) {
      return state.take(request, {data, std::exchange(*data_size, 0)});
    }
    const HttpAnswer answer = state.answer(connection, url, method, request);
    const Response response = make_response(answer, state.served());
    if (!response) return MHD_NO;
    return MHD_queue_response(connection, answer.status, response.get());
  }
  static void on_end(void* /*self*/, MHD_Connection* /*connection*/, void** incoming,
                     MHD_RequestTerminationCode /*how*/) {
    const std::unique_ptr<Incoming> ended(
        static_cast<Incoming*>(std::exchange(*incoming, nullptr)));
  }
  static void on_connection(void* self, MHD_Connection* connection, void** /*context*/,
                            MHD_ConnectionNotificationCode what) {
    auto& state = *static_cast<State*>(self);
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
      state.connections[connection] = state.loop.now() + state.options.longest_request;
    } else {
      state.connections.erase(connection);
    }
  }
};

Result<std::unique_ptr<HttpServer>> HttpServer::listen(Loop& loop, const std::string& address,
                                                       Handler handler, HttpServerOptions options) {
  TRY_ASSIGN(Fd socket, listen_tcp(address));
  auto state = std::make_unique<State>(loop, std::move(handler), options);
  state->bound.length = sizeof state->bound.value;
  if (::getsockname(socket.get(), as_sockaddr(state->bound), &state->bound.length) != 0) {
    return fail_errno(errno, "listen on " + address);
  }
  state->daemon.reset(MHD_start_daemon(
      MHD_USE_EPOLL, 0, nullptr, nullptr, &State::on_request, state.get(), MHD_OPTION_LISTEN_SOCKET,
      socket.get(), MHD_OPTION_CONNECTION_LIMIT, kMostConnections, MHD_OPTION_CONNECTION_TIMEOUT,
      kIdleSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemory,
      MHD_OPTION_NOTIFY_COMPLETED, &State::on_end, nullptr, MHD_OPTION_NOTIFY_CONNECTION,
      &State::on_connection, state.get(), MHD_OPTION_END));
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
