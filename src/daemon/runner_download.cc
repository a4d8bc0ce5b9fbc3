#include "daemon/runner_download.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "base/fd.h"
#include "base/text.h"
#include "daemon/await.h"
#include "daemon/fetch.h"
#include "github/client.h"
#include "github/url.h"
#include "image/entry_store.h"
#include "sys/files.h"
#include "sys/http.h"
#include "sys/loop.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kMostBytes = 1U << 30U;  // releases are some 200 MiB
constexpr Duration kLongest{3'600'000};
constexpr int kMostRedirects = 5;  // a release's file lies in an object store

// In GitHub's words.
std::string github_architecture() {
  const std::string machine = image::host_architecture();
  return machine == "amd64" ? "x64" : machine;
}

Result<github::RunnerDownload> pick(std::vector<github::RunnerDownload> downloads,
                                    const std::string& scope) {
  const std::string machine = github_architecture();
  const auto found = std::ranges::find_if(downloads, [&](const github::RunnerDownload& each) {
    return each.os == "linux" && each.architecture == machine;
  });
  if (found == downloads.end()) {
    return fail(Errc::not_found, "GitHub names no runner release for Linux on " + machine +
                                     " in the scope " + scope);
  }
  return std::move(*found);
}

sys::HttpRequest request_for(const github::RunnerDownload& release, int fd, const image::Bar& bar) {
  sys::HttpRequest request;
  request.url = release.url;
  request.bearer = release.token.copy();
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

Result<github::RunnerDownload> named_release(const core::Config& config) {
  if (config.github.scopes.empty()) {
    return fail(Errc::not_found,
                "the configuration has no scopes, so GitHub cannot be asked for a release: give "
                "one with --file and --sha256");
  }
  TRY_ASSIGN(auto keyring, github::load_keyring(config.github));
  TRY_ASSIGN(const auto loop, sys::Loop::create());
  TRY_ASSIGN(const auto client, github::Client::create(*loop, config.github, std::move(keyring)));
  const core::Scope& scope = config.github.scopes.front();
  TRY_ASSIGN(auto downloads, await<std::vector<github::RunnerDownload>>(*loop, [&](auto done) {
               client->runner_downloads(scope, std::move(done));
             }));
  return pick(std::move(downloads), scope.id());
}

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

Result<void> download_release(const core::Config& config, const github::RunnerDownload& release,
                              const std::string& sha256, const std::string& path,
                              const image::Bar& bar) {
  const std::string shown = shown_url(release.url);
  if (!may_download(release.url, config.github.url)) {
    return fail(Errc::denied, "GitHub names " + shown +
                                  " for the runner release: only https is taken from elsewhere "
                                  "than github.url");
  }
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "create " + path);
  TRY_ASSIGN(const sys::HttpResponse response, fetch(request_for(release, file.get(), bar)));
  TRY(file.close());
  constexpr int kOk = 200;
  if (response.status != kOk) {
    return fail(response.status == 404 ? Errc::not_found : Errc::unavailable,
                "GET " + shown + ": HTTP " + std::to_string(response.status) +
                    " instead of the runner release");
  }
  return check_sha256(path, sha256, release.filename);
}

}  // namespace mvr::daemon
