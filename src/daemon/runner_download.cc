#include "daemon/runner_download.h"

#include <algorithm>
#include <memory>

#include "daemon/await.h"
#include "github/client.h"
#include "image/entry_store.h"
#include "sys/loop.h"

namespace mvr::daemon {
namespace {

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

}  // namespace mvr::daemon
