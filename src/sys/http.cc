#include "sys/http.h"

#include <sys/epoll.h>

#include <map>
#include <unordered_map>
#include <utility>

#include <curl/curl.h>

#include "sys/http_transfer.h"

namespace mvr::sys {
namespace {

bool initialise_libcurl() {
  static const bool is_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return is_ready;
}

std::uint32_t events_of(int what) {
  std::uint32_t events = 0;
  if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) events |= EPOLLIN;
  if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) events |= EPOLLOUT;
  return events;
}

int actions_of(std::uint32_t events) {
  int actions = 0;
  if ((events & (EPOLLIN | EPOLLHUP)) != 0) actions |= CURL_CSELECT_IN;
  if ((events & EPOLLOUT) != 0) actions |= CURL_CSELECT_OUT;
  if ((events & EPOLLERR) != 0) actions |= CURL_CSELECT_ERR;
  return actions;
}

}  // namespace

// libcurl says which sockets and which timeout it waits for; we tell it when they are due. User
// callbacks run only after libcurl has returned, where they may send, cancel or end the client.
struct HttpClient::State {
  struct Entry {
    std::unique_ptr<HttpTransfer> transfer;  // null when `refused` is set
    Callback callback;
    HttpCall* call = nullptr;
    Error refused;
    Timer refusal;  // delivers `refused` from the loop
  };

  Loop* loop = nullptr;
  std::string user_agent;
  std::unordered_map<std::uint64_t, Entry> entries;
  std::unordered_map<CURL*, std::uint64_t> id_of_easy;
  std::map<curl_socket_t, Watch> watches;
  Timer timeout;
  std::uint64_t next_id = 1;
  std::shared_ptr<bool> is_alive = std::make_shared<bool>(true);
  CURLM* multi = nullptr;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State();

  [[nodiscard]] bool set_callbacks();
  void add(std::uint64_t id, Entry entry, Result<std::unique_ptr<HttpTransfer>> transfer);
  void refuse(std::uint64_t id, Entry entry, Error error);
  Entry take(std::uint64_t id);
  void watch_socket(curl_socket_t socket, int what);
  void act(curl_socket_t socket, int actions);
  void deliver_finished();

  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*);
  static int on_timeout(CURLM*, long timeout_ms, void* self);
};

HttpClient::State::~State() {
  *is_alive = false;
  watches.clear();
  timeout = Timer();
  if (multi == nullptr) return;
  (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, nullptr);
  (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, nullptr);
  for (auto& [id, entry] : entries) {
    if (entry.call != nullptr) entry.call->owner_ = nullptr;
    if (entry.transfer) (void)curl_multi_remove_handle(multi, entry.transfer->easy());
  }
  entries.clear();
  (void)curl_multi_cleanup(multi);
}

bool HttpClient::State::set_callbacks() {
  return curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &State::on_socket) == CURLM_OK &&
         curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this) == CURLM_OK &&
         curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &State::on_timeout) == CURLM_OK &&
         curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this) == CURLM_OK;
}

int HttpClient::State::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  static_cast<State*>(self)->watch_socket(socket, what);
  return 0;
}

int HttpClient::State::on_timeout(CURLM*, long timeout_ms, void* self) {
  auto* state = static_cast<State*>(self);
  if (timeout_ms < 0) {
    state->timeout = Timer();
    return 0;
  }
  state->timeout = state->loop->call_at(state->loop->now() + Duration(timeout_ms),
                                        [state] { state->act(CURL_SOCKET_TIMEOUT, 0); });
  return 0;
}

void HttpClient::State::watch_socket(curl_socket_t socket, int what) {
  if (what == CURL_POLL_REMOVE) {
    watches.erase(socket);
    return;
  }
  const auto found = watches.find(socket);
  if (found != watches.end() && found->second.set_events(events_of(what))) return;
  watches.erase(socket);
  auto watch = loop->watch(socket, events_of(what), [this, socket](std::uint32_t events) {
    act(socket, actions_of(events));
  });
  // Unwatched, the request still ends: by its deadline.
  if (watch) watches[socket] = std::move(*watch);
}

void HttpClient::State::act(curl_socket_t socket, int actions) {
  int running = 0;
  (void)curl_multi_socket_action(multi, socket, actions, &running);
  deliver_finished();
}

void HttpClient::State::deliver_finished() {
  const std::shared_ptr<bool> alive = is_alive;
  int left = 0;
  while (*alive) {
    const CURLMsg* message = curl_multi_info_read(multi, &left);
    if (message == nullptr) return;
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;  // the message goes with the handle
    const auto found = id_of_easy.find(message->easy_handle);
    if (found == id_of_easy.end()) continue;
    Entry entry = take(found->second);
    entry.callback(entry.transfer->finish(code));
  }
}

HttpClient::State::Entry HttpClient::State::take(std::uint64_t id) {
  const auto found = entries.find(id);
  Entry entry = std::move(found->second);
  entries.erase(found);
  if (entry.call != nullptr) std::exchange(entry.call, nullptr)->owner_ = nullptr;
  if (entry.transfer) {
    id_of_easy.erase(entry.transfer->easy());
    (void)curl_multi_remove_handle(multi, entry.transfer->easy());
  }
  return entry;
}

void HttpClient::State::refuse(std::uint64_t id, Entry entry, Error error) {
  entry.refused = std::move(error);
  entry.refusal = loop->call_at(loop->now(), [this, id] {
    const Entry taken = take(id);
    taken.callback(fail(taken.refused));
  });
  entries[id] = std::move(entry);
}

void HttpClient::State::add(std::uint64_t id, Entry entry,
                            Result<std::unique_ptr<HttpTransfer>> transfer) {
  if (!transfer) {
    refuse(id, std::move(entry), std::move(transfer).error());
    return;
  }
  CURL* easy = (*transfer)->easy();
  const CURLMcode added = curl_multi_add_handle(multi, easy);
  if (added != CURLM_OK) {
    refuse(id, std::move(entry), Error{Errc::io, curl_multi_strerror(added)});
    return;
  }
  entry.transfer = std::move(*transfer);
  entries[id] = std::move(entry);
  id_of_easy[easy] = id;
}

HttpClient::HttpClient() : state_(std::make_unique<State>()) {}
HttpClient::~HttpClient() = default;

Result<std::unique_ptr<HttpClient>> HttpClient::create(Loop& loop, std::string user_agent) {
  if (!initialise_libcurl()) return fail(Errc::unsupported, "libcurl cannot be initialised");
  std::unique_ptr<HttpClient> client(new HttpClient());
  client->state_->loop = &loop;
  client->state_->user_agent = std::move(user_agent);
  client->state_->multi = curl_multi_init();
  if (client->state_->multi == nullptr || !client->state_->set_callbacks()) {
    return fail(Errc::unsupported, "libcurl gave no multi handle");
  }
  return client;
}

std::unique_ptr<HttpCall> HttpClient::send(HttpRequest request, Callback callback) {
  std::unique_ptr<HttpCall> call(new HttpCall());
  call->owner_ = state_.get();
  call->id_ = state_->next_id++;
  State::Entry entry;
  entry.callback = std::move(callback);
  entry.call = call.get();
  auto transfer = HttpTransfer::create(std::move(request), state_->user_agent);
  state_->add(call->id_, std::move(entry), std::move(transfer));
  return call;
}

HttpCall::~HttpCall() {
  if (owner_ != nullptr) (void)owner_->take(id_);
}

}  // namespace mvr::sys
