#include "sys/http_transfer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/text.h"

namespace mvr::sys {
namespace {

constexpr std::size_t kMaxHeaderBytes = 64U << 10U;

bool is_token(std::string_view text) {
  constexpr std::string_view kSpecial = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kSpecial.find(c) != std::string_view::npos;
  });
}

bool is_header_value(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool is_https(const std::string& url) { return ascii_lower(url.substr(0, 8)) == "https://"; }

// libcurl refuses other schemes as well, but with the code it has for a server that answers with
// something else than HTTP.
Result<void> check_url(const std::string& url) {
  const bool is_http = ascii_lower(url.substr(0, 7)) == "http://" || is_https(url);
  if (is_http && url.find('\0') == std::string::npos) return {};
  return fail(Errc::invalid, "'" + url_to_show(url) + "' is not an http or https URL");
}

Errc code_of_curl(CURLcode code) {
  switch (static_cast<int>(code)) {
    case CURLE_OPERATION_TIMEDOUT:
      return Errc::timed_out;
    case CURLE_URL_MALFORMAT:
      return Errc::invalid;
    case CURLE_ABORTED_BY_CALLBACK:
      return Errc::cancelled;
    default:
      return Errc::unavailable;
  }
}

// A libcurl timeout of zero would mean none at all.
long timeout_of(Duration limit) {
  return static_cast<long>(std::clamp<std::int64_t>(limit.count(), 1, 86'400'000));
}

}  // namespace

std::string url_to_show(const std::string& url) {
  std::string shown = url.substr(0, url.find_first_of("?#"));
  const std::size_t scheme = shown.find("://");
  if (scheme != std::string::npos) {
    const std::size_t host = scheme + 3;
    const std::size_t slash = std::min(shown.find('/', host), shown.size());
    const std::size_t at = shown.substr(0, slash).rfind('@');
    if (at != std::string::npos && at >= host) shown.erase(host, at + 1 - host);
  }
  return printable(shown, 200);
}

HttpTransfer::HttpTransfer(HttpRequest request)
    : request_(std::move(request)),
      error_text_(CURL_ERROR_SIZE, '\0'),
      easy_(curl_easy_init(), &curl_easy_cleanup),
      header_list_(nullptr, &curl_slist_free_all) {}

// The handle first: while it lives it points at the list and at the buffers.
HttpTransfer::~HttpTransfer() { easy_.reset(); }

Result<std::unique_ptr<HttpTransfer>> HttpTransfer::create(HttpRequest request,
                                                           const std::string& user_agent) {
  std::unique_ptr<HttpTransfer> transfer(new HttpTransfer(std::move(request)));
  if (!transfer->easy_) return fail(Errc::io, "libcurl gave no handle");
  if (!is_token(transfer->request_.method)) return fail(Errc::invalid, "bad HTTP method");
  TRY(check_url(transfer->request_.url));
  TRY(transfer->add_headers());
  if (!transfer->set_options(user_agent)) {
    return fail(Errc::unsupported, "this libcurl refuses an option: 7.85 or later is needed");
  }
  return transfer;
}

Result<void> HttpTransfer::add_headers() {
  auto lines = request_.headers;
  if (!request_.bearer.empty()) {
    lines["Authorization"] = request_.scheme + " " + std::string(request_.bearer.expose());
  }
  const auto has = [&](std::string_view wanted) {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const auto& line) { return ascii_lower(line.first) == wanted; });
  };
  // A name without a value takes out what libcurl would add by itself.
  std::vector<std::string> texts{"Expect:"};
  if (!has("content-type")) texts.emplace_back("Content-Type:");
  for (const auto& [name, value] : lines) {
    if (!is_token(name) || !is_header_value(value)) {
      return fail(Errc::invalid, "bad HTTP header " + printable(name, 64));
    }
    texts.push_back(name);
    texts.back().append(value.empty() ? ";" : ": ").append(value);
  }
  for (const std::string& text : texts) {
    curl_slist* longer = curl_slist_append(header_list_.get(), text.c_str());
    if (longer == nullptr) return fail(Errc::io, "out of memory");
    (void)header_list_.release();  // the head is in the longer list, or is it
    header_list_.reset(longer);
  }
  return {};
}

bool HttpTransfer::set_method() {
  CURL* easy = easy_.get();
  if (request_.method == "HEAD") return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
  const bool is_post = request_.method == "POST";
  bool ok = true;
  if (is_post || request_.method == "PUT" || request_.method == "PATCH" || !request_.body.empty()) {
    ok = curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request_.body.data()) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                          static_cast<curl_off_t>(request_.body.size())) == CURLE_OK;
  }
  // A custom method would be repeated after a redirect that asks for GET: none for POST.
  if (is_post || request_.method == "GET") return ok;
  return ok && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request_.method.c_str()) == CURLE_OK;
}

bool HttpTransfer::set_limits() {
  CURL* easy = easy_.get();
  return curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_of(request_.deadline)) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout_of(request_.connect_deadline)) ==
             CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, request_.max_redirects > 0 ? 1L : 0L) ==
             CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_MAXREDIRS,
                          static_cast<long>(std::max(request_.max_redirects, 0))) == CURLE_OK;
}

bool HttpTransfer::set_callbacks() {
  CURL* easy = easy_.get();
  return curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &HttpTransfer::on_header) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_HEADERDATA, this) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &HttpTransfer::on_body) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_WRITEDATA, this) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_text_.data()) == CURLE_OK;
}

bool HttpTransfer::set_options(const std::string& user_agent) {
  CURL* easy = easy_.get();
  const char* redirects = is_https(request_.url) ? "https" : "http,https";
  bool ok = curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str()) == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, redirects) == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_UNRESTRICTED_AUTH, 0L) == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_USERAGENT, user_agent.c_str()) == CURLE_OK &&
            curl_easy_setopt(easy, CURLOPT_HTTPHEADER, header_list_.get()) == CURLE_OK;
  if (!request_.unix_socket.empty()) {
    ok = ok &&
         curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request_.unix_socket.c_str()) ==
             CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;  // the environment's would win
  }
  return ok && set_method() && set_limits() && set_callbacks();
}

std::size_t HttpTransfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  const std::size_t length = size * count;
  const bool ok = static_cast<HttpTransfer*>(self)->take_header(std::string_view(data, length));
  return ok ? length : 0;
}

std::size_t HttpTransfer::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  const std::size_t length = size * count;
  const bool ok = static_cast<HttpTransfer*>(self)->take_body(std::string_view(data, length));
  return ok ? length : 0;
}

bool HttpTransfer::take_header(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxHeaderBytes) {
    overflow_ = "the answer's headers";
    return false;
  }
  // A status line begins a new answer: after "100 Continue" or a redirect.
  if (line.substr(0, 5) == "HTTP/") {
    response_.headers.clear();
    return true;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  response_.headers[ascii_lower(trimmed(line.substr(0, colon)))] =
      std::string(trimmed(line.substr(colon + 1)));
  return true;
}

bool HttpTransfer::write_body(std::string_view data) {
  while (!data.empty()) {
    const ssize_t count = ::write(request_.body_fd, data.data(), data.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      write_error_ = errno;
      return false;
    }
    data.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool HttpTransfer::take_body(std::string_view data) {
  body_bytes_ += data.size();
  if (body_bytes_ > request_.max_body) {
    overflow_ = "the answer's body";
    return false;
  }
  if (request_.body_fd < 0) {
    response_.body.append(data);
  } else if (!write_body(data)) {
    return false;
  }
  if (request_.on_progress) {
    curl_off_t expected = 0;
    const CURLcode told =
        curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &expected);
    request_.on_progress(
        body_bytes_, told == CURLE_OK && expected > 0 ? static_cast<std::uint64_t>(expected) : 0);
  }
  return true;
}

Result<HttpResponse> HttpTransfer::finish(CURLcode code) {
  const std::string what = request_.method + " " + url_to_show(request_.url);
  if (overflow_ != nullptr) {
    return fail(Errc::too_large, what + ": " + overflow_ + " exceeded the limit");
  }
  if (write_error_ != 0) return fail_errno(write_error_, what + ": write the answer's body");
  if (code != CURLE_OK) {
    const std::string detail = error_text_.substr(0, error_text_.find('\0'));
    const std::string reason = detail.empty() ? curl_easy_strerror(code) : detail;
    return fail(code_of_curl(code), what + ": " + printable(reason, 300));
  }
  long status = 0;
  if (curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status) != CURLE_OK) status = 0;
  response_.status = static_cast<int>(status);
  return std::move(response_);
}

}  // namespace mvr::sys
