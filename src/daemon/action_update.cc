#include "daemon/action_update.h"

#include <chrono>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "daemon/action_download.h"
#include "image/action_store.h"
#include "sys/files.h"
#include "sys/loop.h"

namespace mvr::daemon {
namespace {

using image::ActionStore;
using nlohmann::json;

constexpr Duration kTryAgain = std::chrono::hours(7 * 24);
constexpr std::uint64_t kMostFetched = 100;  // in one go; the next one follows in an hour
constexpr std::size_t kMaxFile = 1U << 20U;
constexpr std::size_t kMaxWhy = 200;

std::string path_of(const std::string& state_dir) { return state_dir + "/actions/attempts.json"; }

Result<ActionAttempt> attempt_of(const json& object) {
  if (!object.is_object() || object.size() != 3) {
    return fail(Errc::invalid, "an attempt has three fields");
  }
  const auto at = object.find("at");
  const auto why = object.find("why");
  const auto size = object.find("size");
  const auto time =
      parse_iso8601(at != object.end() && at->is_string() ? at->get<std::string>() : "");
  if (!time) return fail(Errc::invalid, "\"at\" is no time");
  if (why == object.end() || !why->is_string() ||
      why->get_ref<const std::string&>().size() > kMaxWhy) {
    return fail(Errc::invalid, "\"why\" is no text");
  }
  if (size == object.end() || !size->is_number_unsigned()) {
    return fail(Errc::invalid, "\"size\" is no number");
  }
  return ActionAttempt{*time, why->get<std::string>(), Bytes{size->get<std::uint64_t>()}};
}

// That GitHub cannot be reached now says nothing about an action.
bool is_for_now(Errc code) {
  return code != Errc::not_found && code != Errc::invalid && code != Errc::too_large &&
         code != Errc::protocol;
}

// One update: the most wanted actions first, as long as there is room.
class Round {
 public:
  using Lines = std::function<void(const std::string&)>;
  Round(const core::Config& config, const ActionStore& store, const std::string& work,
        const Lines& lines)
      : config_(config), store_(store), work_(work), lines_(lines) {}

  // Returns what there is to say of the actions that are not here.
  ActionAttempts run(const std::vector<ActionRef>& wanted, const ActionAttempts& before,
                     bool fetches) {
    ActionAttempts after;
    for (const ActionRef& action : wanted) {
      auto known = before.find(action);
      const bool is_old = known != before.end() && now_ - known->second.at > kTryAgain;
      if (known != before.end() && !is_old) after.insert(*known);
      consider(action, after, fetches);
    }
    return after;
  }

  [[nodiscard]] const std::vector<ActionRef>& kept() const { return kept_; }
  [[nodiscard]] Bytes size() const { return size_; }
  [[nodiscard]] std::uint64_t fetched() const { return fetched_; }
  // Why it ended early; no error: it did not.
  [[nodiscard]] const Result<void>& outcome() const { return outcome_; }

 private:
  [[nodiscard]] bool has_room(Bytes size) const {
    return size_.value + size.value <= config_.action_cache.max_size.value;
  }

  void consider(const ActionRef& action, ActionAttempts& attempts, bool fetches) {
    const auto here = store_.size_of(action);
    if (here) return keep(action, *here, attempts);
    const auto known = attempts.find(action);
    const bool is_refused = known != attempts.end() && !known->second.why.empty();
    const bool is_known_large = known != attempts.end() && !has_room(known->second.size);
    if (is_refused || is_known_large || !fetches || !outcome_ || fetched_ >= kMostFetched) return;
    const auto fetched = fetch(action);
    if (fetched) return keep(action, *fetched, attempts);
    lines_(action_text(action) + ": " + fetched.error().what);
    if (is_for_now(fetched.error().code)) {
      outcome_ = fail(fetched.error());
    } else {
      attempts[action] = ActionAttempt{now_, printable(fetched.error().what, kMaxWhy), Bytes{}};
    }
  }

  void keep(const ActionRef& action, Bytes size, ActionAttempts& attempts) {
    attempts.erase(action);
    if (has_room(size)) {
      size_.value += size.value;
      kept_.push_back(action);
    } else {
      attempts[action] = ActionAttempt{now_, "", size};
    }
  }

  Result<Bytes> fetch(const ActionRef& action) {
    lines_("fetching " + action_text(action));
    const std::string file = work_ + "/archive.tar.gz";
    TRY(sys::remove_file(file));  // of one that was refused
    TRY(download_archive(config_.github.url, action, file));
    TRY(store_.take(action, file));
    ++fetched_;
    return store_.size_of(action).value_or(Bytes{});
  }

  const core::Config& config_;
  const ActionStore& store_;
  const std::string& work_;
  const Lines& lines_;
  WallTime now_ = sys::wall_now();
  std::vector<ActionRef> kept_;
  Bytes size_;
  std::uint64_t fetched_ = 0;
  Result<void> outcome_;
};

Result<bool> publish(const ActionStore& store, const std::vector<ActionRef>& kept) {
  TRY(store.keep_only(kept));
  return store.publish();
}

// Of a cache that is off.
Result<ActionUpdate> empty(const core::Config& config, const ActionStore& store) {
  TRY(store.clear());
  TRY(sys::remove_file(path_of(config.state_dir)));
  return ActionUpdate{};
}

}  // namespace

std::string attempts_json(const ActionAttempts& attempts) {
  json all = json::object();
  for (const auto& [action, attempt] : attempts) {
    all[action_text(action)] = {
        {"at", format_iso8601(attempt.at)}, {"why", attempt.why}, {"size", attempt.size.value}};
  }
  return all.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<ActionAttempts> parse_attempts(const std::string& text) {
  const json all = json::parse(text, nullptr, false);
  if (!all.is_object()) return fail(Errc::invalid, "no JSON object");
  if (all.size() > image::kMostActionUses) return fail(Errc::too_large, "it has too many actions");
  ActionAttempts attempts;
  for (const auto& [name, object] : all.items()) {
    const auto action = parse_action_ref(name);
    if (!action) return fail(Errc::invalid, "\"" + printable(name, 80) + "\" is no action");
    TRY_ASSIGN(attempts[*action], context(attempt_of(object), printable(name, 80)));
  }
  return attempts;
}

Result<ActionAttempts> read_attempts(const std::string& state_dir) {
  const auto text = sys::read_file(path_of(state_dir), kMaxFile);
  if (!text && text.error().code == Errc::not_found) return ActionAttempts{};
  if (!text) return fail(text.error());
  return context(parse_attempts(*text), path_of(state_dir));
}

Result<ActionUpdate> update_actions(const core::Config& config, bool fetches,
                                    const std::function<void(const std::string&)>& lines) {
  const ActionStore store(config.state_dir);
  TRY_ASSIGN(const Fd lock, store.lock());
  if (!config.action_cache.enabled) return empty(config, store);
  TRY_ASSIGN(const image::ActionUses uses, image::read_uses(config.state_dir));
  // What was refused before is found out again.
  const ActionAttempts before = read_attempts(config.state_dir).value_or(ActionAttempts{});
  TRY_ASSIGN(const image::WorkDirectory work, store.make_work_directory());
  Round round(config, store, work.path(), lines);
  const auto attempts = round.run(image::wanted_actions(uses, sys::wall_now()), before, fetches);
  TRY_ASSIGN(const bool is_new, publish(store, round.kept()));
  if (attempts != before) {
    TRY(sys::write_file_atomic(path_of(config.state_dir), attempts_json(attempts)));
  }
  TRY(round.outcome());
  return ActionUpdate{round.fetched(), round.kept().size(), round.size(), is_new};
}

}  // namespace mvr::daemon
