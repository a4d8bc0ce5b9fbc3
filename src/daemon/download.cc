#include "daemon/download.h"

#include <fcntl.h>

#include <cerrno>

#include "base/fd.h"
#include "base/text.h"
#include "daemon/fetch.h"
#include "github/url.h"
#include "sys/files.h"
#include "sys/http.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kMostBytes = 1U << 30U;  // releases are some 200 MiB
constexpr Duration kLongest{3'600'000};
constexpr int kMostRedirects = 5;  // a release's file lies in an object store

sys::HttpRequest request_for(const Download& wanted, int fd, const image::Bar& bar) {
  sys::HttpRequest request;
  request.url = wanted.url;
  request.bearer = wanted.token.copy();
  request.deadline = kLongest;
  request.max_body = kMostBytes;
  request.max_redirects = kMostRedirects;
  request.body_fd = fd;
  constexpr unsigned kMib = 20;  // a bar moves no faster
  request.on_progress = [bar, shown = std::uint64_t{0}](std::uint64_t received,
                                                        std::uint64_t expected) mutable {
    if (!bar || expected < received || received >> kMib == shown) return;
    shown = received >> kMib;
    bar(Bytes{received}, Bytes{expected});
  };
  return request;
}

}  // namespace

std::string shown_url(const std::string& url) {
  return printable(url.substr(0, url.find_first_of("?#")), 300);
}

bool may_download(const std::string& url, const std::string& github_url) {
  const std::string origin = github::origin_of(url);
  if (origin.empty()) return false;
  return origin.starts_with("https://") || origin == github::origin_of(github_url);
}

Result<void> check_sha256(const std::string& path, const std::string& sha256,
                          const std::string& what) {
  const std::string actual = sys::sha256_file(path);
  if (actual.empty()) return fail(Errc::io, path + ": cannot be read");
  if (actual == sha256) return {};
  return fail(Errc::invalid, what + " has the SHA-256 " + actual + ", not " + sha256 +
                                 ": it is damaged or not what was meant");
}

Result<void> download_file(const core::Config& config, const Download& wanted,
                           const std::string& path, const image::Bar& bar) {
  const std::string shown = shown_url(wanted.url);
  if (!may_download(wanted.url, config.github.url)) {
    return fail(Errc::denied,
                shown + ", from which " + wanted.name +
                    " was to come: only https is taken from elsewhere than github.url");
  }
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "create " + path);
  TRY_ASSIGN(const sys::HttpResponse response, fetch(request_for(wanted, file.get(), bar)));
  TRY(file.close());
  constexpr int kOk = 200;
  if (response.status != kOk) {
    return fail(response.status == 404 ? Errc::not_found : Errc::unavailable,
                "GET " + shown + ": HTTP " + std::to_string(response.status) + " instead of " +
                    wanted.name);
  }
  return check_sha256(path, wanted.sha256, wanted.name);
}

}  // namespace mvr::daemon
