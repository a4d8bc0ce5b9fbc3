#include "github/deliveries.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/backoff.h"
#include "github/catalogue.h"
#include "github/json_object.h"
#include "github/json_rows.h"
#include "github/pages.h"
#include "github/url.h"

namespace mvr::github {
namespace {

using nlohmann::json;

constexpr std::size_t kMostNames = 10'000;
constexpr Duration kNameLife{3'600'000};  // then a repository may have another name
constexpr std::size_t kMostLookUps = 5;   // of names, after each look at the list
constexpr std::size_t kPage = 100;
constexpr Duration kWithoutWebhook{600'000};

tl::unexpected<Error> unlike(std::string_view what) { return fail(undocumented(what)); }

// Keeps request.payload.repository.full_name only: the payload is large.
bool is_wanted(int depth, json::parse_event_t event, json& parsed) {
  static constexpr std::array<std::string_view, 4> kPath{"request", "payload", "repository",
                                                         "full_name"};
  if (event == json::parse_event_t::array_start) return false;
  if (event != json::parse_event_t::key) return true;
  const auto level = static_cast<std::size_t>(depth) - 1;
  return level < kPath.size() && parsed.get_ref<const json::string_t&>() == kPath.at(level);
}

// Its own words do not say what to do: 404 is all there is for an App without a webhook.
Error without_webhook(const App& app) {
  return Error{Errc::not_found, "the GitHub App " + app.identity().id + " has no active webhook",
               "in its settings make it active, with any URL, and subscribe to the event "
               "\"Workflow job\"; or set github.app_deliveries to false"};
}

}  // namespace

Result<std::vector<ListedDelivery>> decode_deliveries(std::string_view body) {
  static constexpr std::array<std::string_view, 4> kFields{"id", "event", "action",
                                                           "repository_id"};
  TRY_ASSIGN(const auto rows, read_rows(body, "", kFields));
  std::vector<ListedDelivery> deliveries;
  deliveries.reserve(rows.size());
  for (const JsonRow& row : rows) {
    ListedDelivery delivery;
    TRY_ASSIGN(delivery.id, row.positive("id"));
    TRY_ASSIGN(delivery.repository, row.number_or_zero("repository_id"));
    TRY_ASSIGN(const std::string event, row.text("event"));
    TRY_ASSIGN(const std::string action, row.text_or_empty("action"));
    delivery.is_queued_job = event == "workflow_job" && action == "queued";
    deliveries.push_back(delivery);
  }
  return deliveries;
}

Result<std::string> decode_delivery_repository(std::string_view body) {
  TRY_ASSIGN(const json document, parse_object(body, is_wanted));
  const json* value = &document;
  for (const char* key : {"request", "payload", "repository", "full_name"}) {
    value = member(*value, key);
    if (value == nullptr) return unlike("no \"" + std::string(key) + "\"");
  }
  const auto* name = value->get_ptr<const json::string_t*>();
  if (name == nullptr || !is_repository_name(*name)) return unlike("\"full_name\"");
  return *name;
}

AppDeliveries::Feed::Feed() : names(kMostNames, kNameLife) {}

std::size_t AppDeliveries::start(const core::GithubSettings& settings, Hooks hooks) {
  hooks_ = std::move(hooks);
  std::set<App*> apps;
  for (const core::Scope& scope : settings.scopes) {
    const auto app = client_.app(settings.credentials_of(scope));
    if (app && *app != nullptr) apps.insert(*app);
  }
  feeds_ = std::vector<Feed>(apps.size());
  std::size_t next = 0;
  for (App* const app : apps) {
    feeds_[next].app = app;
    arm(next++, loop_.now());
  }
  return feeds_.size();
}

void AppDeliveries::arm(std::size_t i, Instant when) {
  feeds_[i].timer = loop_.call_at(when, [this, i] { look(i); });
}

void AppDeliveries::look(std::size_t i) {
  Feed& feed = feeds_[i];
  feed.app->list_deliveries(feed.etag,
                            [this, i, alive = std::weak_ptr<bool>(alive_)](Result<ApiReply> reply) {
                              if (alive.expired()) return;
                              if (!reply) return looked(i, fail(std::move(reply.error())));
                              looked(i, take(feeds_[i], *reply));
                            });
}

Result<void> AppDeliveries::take(Feed& feed, const ApiReply& reply) {
  if (reply.status == 304) return {};
  TRY_ASSIGN(const auto deliveries, decode_deliveries(reply.body));
  feed.etag = etag_of(reply);
  if (std::exchange(feed.has_begun, true)) hint_new(feed, deliveries);
  feed.seen.clear();
  for (const ListedDelivery& delivery : deliveries) feed.seen.insert(delivery.id);
  return {};
}

// A repository whose name is not known costs a request, once an hour.
void AppDeliveries::hint_new(Feed& feed, const std::vector<ListedDelivery>& deliveries) {
  const auto is_new = [&](const ListedDelivery& each) { return feed.seen.count(each.id) == 0; };
  // More came since than one list shows: it may be about any repository.
  bool is_vague = deliveries.size() >= kPage && std::ranges::all_of(deliveries, is_new);
  const auto i = static_cast<std::size_t>(&feed - feeds_.data());
  std::set<std::int64_t> told;
  std::size_t look_ups = 0;
  for (const ListedDelivery& delivery : deliveries) {
    if (!delivery.is_queued_job || !is_new(delivery)) continue;
    if (!told.insert(delivery.repository).second) continue;
    if (const auto* name = feed.names.find(delivery.repository, loop_.now())) {
      hooks_.hint(*name);
    } else if (delivery.repository > 0 && look_ups++ < kMostLookUps) {
      find_name(i, delivery);
    } else {
      is_vague = true;
    }
  }
  if (is_vague) hooks_.hint("");
}

void AppDeliveries::find_name(std::size_t i, const ListedDelivery& delivery) {
  feeds_[i].app->show_delivery(delivery.id,
                               [this, i, repository = delivery.repository,
                                alive = std::weak_ptr<bool>(alive_)](Result<ApiReply> reply) {
                                 if (alive.expired()) return;
                                 const auto name = reply ? decode_delivery_repository(reply->body)
                                                         : Result<std::string>(fail(reply.error()));
                                 if (name) feeds_[i].names.put(repository, *name, loop_.now());
                                 hooks_.hint(name ? *name : "");
                               });
}

void AppDeliveries::looked(std::size_t i, Result<void> outcome) {
  Feed& feed = feeds_[i];
  const std::string id = feed.app->identity().id;
  if (outcome) {
    arm(i, loop_.now() + every_);
    if (std::exchange(feed.failures, 0) > 0) hooks_.recovered(id);
    return;
  }
  Error error = std::move(outcome.error());
  const bool is_without = error.code == Errc::not_found;
  if (is_without) error = without_webhook(*feed.app);
  const Duration pause =
      is_without ? kWithoutWebhook
                 : std::max(every_, core::backoff_delay(core::kApiBackoff, feed.failures + 1, id));
  arm(i, std::max(loop_.now() + pause, feed.app->not_before()));
  if (++feed.failures == 1) hooks_.failed(id, error);
}

}  // namespace mvr::github
