#include "daemon/action_download.h"

#include <fcntl.h>

#include <cerrno>

#include "base/fd.h"
#include "daemon/download.h"
#include "daemon/fetch.h"
#include "github/url.h"
#include "sys/http.h"

namespace mvr::daemon {
namespace {

constexpr Duration kLongest{300'000};
constexpr int kMostRedirects = 3;
constexpr const char* kGithub = "https://github.com";
constexpr const char* kArchives = "https://codeload.github.com/";

// A refusal for good is told from one for now.
Errc code_of(const sys::HttpResponse& response) {
  const bool is_limited = !sys::header_of(response.headers, "retry-after").empty() ||
                          sys::header_of(response.headers, "x-ratelimit-remaining") == "0";
  if (response.status == 429 || (response.status == 403 && is_limited)) return Errc::rate_limited;
  return response.status >= 500 ? Errc::unavailable : Errc::not_found;
}

}  // namespace

std::string archive_url(const std::string& github_url, const ActionRef& action) {
  if (github::origin_of(github_url) == kGithub) {
    return kArchives + action.repository + "/tar.gz/" + action.sha;
  }
  std::string base = github_url;
  while (base.ends_with('/')) base.pop_back();
  return base + "/" + action.repository + "/archive/" + action.sha + ".tar.gz";
}

Result<void> download_archive(const std::string& github_url, const ActionRef& action,
                              const std::string& path) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "create " + path);
  sys::HttpRequest request;
  request.url = archive_url(github_url, action);
  request.deadline = kLongest;
  request.max_body = kMostArchive.value;
  request.max_redirects = kMostRedirects;
  request.body_fd = file.get();
  const std::string shown = shown_url(request.url);
  TRY_ASSIGN(const sys::HttpResponse response, fetch(std::move(request)));
  TRY(file.close());
  constexpr int kOk = 200;
  if (response.status == kOk) return {};
  return fail(code_of(response), "GET " + shown + ": HTTP " + std::to_string(response.status));
}

}  // namespace mvr::daemon
