#include "github/groups.h"

#include <algorithm>

#include "base/text.h"
#include "github/url.h"

namespace mvr::github {
namespace {

constexpr Duration kKeep{3'600'000};
constexpr std::size_t kMostKnown = 5'000;

bool same_name(std::string_view a, std::string_view b) { return ascii_lower(a) == ascii_lower(b); }

Error no_group(const core::Scope& scope) {
  return Error{Errc::not_found,
               scope.id() + " has no runner group \"" + printable(scope.runner_group, 100) +
                   "\" that this token sees",
               "check runner_group of the scope"};
}

}  // namespace

const RunnerGroup* group_of(const core::Scope& scope, const std::vector<RunnerGroup>& groups) {
  const auto found = std::ranges::find_if(groups, [&scope](const RunnerGroup& group) {
    return scope.runner_group.empty() ? group.is_default
                                      : same_name(group.name, scope.runner_group);
  });
  return found == groups.end() ? nullptr : &*found;
}

void Groups::list(const core::Scope& scope, const std::string& repository, Listed done) {
  const std::pair key(scope.id(), repository);
  const auto known = known_.find(key);
  if (known != known_.end() && loop_.now() < known->second.good_until) {
    return done(known->second.groups);
  }
  PageQuery<RunnerGroup> query;
  query.url =
      repository.empty() ? groups_url(base_, scope) : visible_groups_url(base_, scope, repository);
  query.about = CallInfo{Endpoint::list_groups, scope.kind, request_label("GET", query.url)};
  query.decode = decode_groups;
  fetcher_.fetch<RunnerGroup>(
      std::move(query), [this, key, done = std::move(done)](Result<Pages<RunnerGroup>> pages) {
        if (!pages) return done(fail(std::move(pages.error())));
        if (known_.size() >= kMostKnown) known_.clear();
        Known& kept = known_[key];
        kept = Known{std::move(pages->items), loop_.now() + kKeep};
        done(kept.groups);
      });
}

void Groups::find(const core::Scope& scope, Done<RunnerGroup> done) {
  const auto known = known_.find({scope.id(), ""});
  const bool may_be_new = known != known_.end() && loop_.now() < known->second.good_until;
  list(scope, "",
       [this, scope, may_be_new, done = std::move(done)](Result<std::vector<RunnerGroup>> groups) {
         if (!groups) return done(fail(std::move(groups.error())));
         if (const RunnerGroup* group = group_of(scope, *groups)) return done(*group);
         if (may_be_new) {  // made since the groups were listed
           forget(scope);
           return find(scope, done);
         }
         done(fail(no_group(scope)));
       });
}

// What cannot be found out is asked again after an hour only: the token may lack the permission.
void Groups::bar(const core::Scope& scope, const std::string& repository, bool is_public,
                 std::function<void(core::GroupBar)> done) {
  if (scope.kind == core::ScopeKind::repository) return done(core::GroupBar::none);
  const std::string name = repository.substr(repository.find('/') + 1);
  list(scope, "",
       [this, scope, name, is_public,
        done = std::move(done)](Result<std::vector<RunnerGroup>> groups) {
         if (!groups) {
           known_[{scope.id(), ""}] = Known{{}, loop_.now() + kKeep};
           return done(core::GroupBar::none);
         }
         const RunnerGroup* group = group_of(scope, *groups);
         if (group == nullptr) return done(core::GroupBar::none);
         if (is_public && !group->allows_public) return done(core::GroupBar::refuses_public);
         // Only organisations tell which of their groups a repository may use.
         const bool is_open = group->visibility != "selected";
         if (is_open || scope.kind == core::ScopeKind::enterprise)
           return done(core::GroupBar::none);
         list(scope, name, [scope, done](Result<std::vector<RunnerGroup>> visible) {
           const bool is_hidden = visible && group_of(scope, *visible) == nullptr;
           done(is_hidden ? core::GroupBar::hides_repository : core::GroupBar::none);
         });
       });
}

void Groups::forget(const core::Scope& scope) {
  std::erase_if(known_, [id = scope.id()](const auto& known) { return known.first.first == id; });
}

}  // namespace mvr::github
