// What the daemon shows by HTTP, and where GitHub tells it that something is queued.
#include <utility>

#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "daemon/metrics.h"
#include "daemon/page.h"
#include "github/keyring.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kPageEntries = 200;  // of history: many are of VMs no job came to

}  // namespace

Result<void> Daemon::open_web() {
  if (options_.exit_when_idle) return {};  // it serves one command
  TRY_ASSIGN(Secret webhook_secret, github::load_webhook_secret(config_.github.webhook));
  web_ = std::make_unique<Web>(
      *loop_,
      [this] {
        return metrics_text({config_, world_, plan_, tally_, loop_->now(), sys::wall_now(),
                             github_ ? github_->accounts() : std::vector<github::AccountState>{},
                             discovery_ ? discovery_->looks() : std::vector<github::Look>{},
                             releases_->left() ? releases_->version() : "",
                             releases_->left().value_or(Duration{0}), upkeep_->states(config_),
                             mirror_ ? std::optional(mirror_->state()) : std::nullopt,
                             action_cache()});
      },
      [this] { return why_not_ready(config_, world_); }, [this] { return page(); });
  webhook_ = std::make_unique<Webhook>(*loop_, tally_, [this](const std::string& repository) {
    if (discovery_) discovery_->hint(repository);
  });
  listen(std::move(webhook_secret));
  return {};
}

std::optional<ActionCacheState> Daemon::action_cache() const {
  if (!config_.action_cache.enabled) return std::nullopt;
  ActionCacheState state;
  state.max_size = config_.action_cache.max_size;
  state.known = actions_->known();
  const auto drive = image::ActionStore(config_.state_dir).current();
  if (drive && *drive) {
    state.archives = (*drive)->archives;
    state.size = (*drive)->size;
  }
  return state;
}

std::string Daemon::page() {
  const WallTime wall = sys::wall_now();
  Page page = make_page(config_, world_, plan_, loop_->now(), wall);
  page.uses = samples_.uses(wall);
  page.waited = samples_.waits(wall);
  auto recent = history_->recent(kPageEntries);
  if (recent) {
    page.recent = page_jobs(std::move(*recent));
  } else {
    page.recent_error = recent.error().what;
  }
  return page_html(page);
}

// Where the configuration says now.
void Daemon::listen(Secret webhook_secret) {
  if (web_) web_->listen_on(config_.web.listen);
  if (webhook_) webhook_->listen_on(config_.github.webhook.listen, std::move(webhook_secret));
}

void Daemon::tend_web() {
  if (web_) web_->tend();
  if (webhook_) webhook_->tend();
}

void Daemon::follow_deliveries() {
  deliveries_.reset();
  if (!config_.github.app_deliveries || options_.exit_when_idle) return;
  deliveries_ = std::make_unique<github::AppDeliveries>(*loop_, *github_);
  github::AppDeliveries::Hooks hooks;
  hooks.hint = [this](const std::string& repository) {
    log(Level::debug, "delivery_listed", {{"repository", repository}});
    if (discovery_) discovery_->hint(repository);
  };
  hooks.failed = [](const std::string& app, const Error& error) {
    log(Level::warn, "deliveries_not_listed",
        with_error({{"app", app}, {"effect", "jobs are found by polling; tried again"}}, error));
  };
  hooks.recovered = [](const std::string& app) {
    log(Level::info, "deliveries_listed_again", {{"app", app}});
  };
  const std::size_t apps = deliveries_->start(config_.github, std::move(hooks));
  if (apps == 0) {
    log(Level::warn, "deliveries_not_listed",
        {{"error", "github.app_deliveries is true, but no scope is served by a GitHub App"}});
  }
}

}  // namespace mvr::daemon
