// The runner groups of organisations and enterprises: their ids, and whose jobs GitHub gives to
// their runners.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/config.h"
#include "core/demand.h"
#include "github/pages.h"
#include "github/wire.h"
#include "sys/loop.h"

namespace mvr::github {

// The scope's group among those of its account; null when there is none of that name. Pure.
const RunnerGroup* group_of(const core::Scope& scope, const std::vector<RunnerGroup>& groups);

class Groups {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  Groups(sys::Loop& loop, Fetcher& fetcher, std::string base)
      : loop_(loop), fetcher_(fetcher), base_(std::move(base)) {}

  // The scope's group; what GitHub said holds for an hour. Calls back once, perhaps before it
  // returns. Err not_found when there is none of that name.
  void find(const core::Scope& scope, Done<RunnerGroup> done);
  // Whether the group's runners get jobs of a repository ("owner/name"). `none` also when GitHub
  // does not tell: then it is GitHub that keeps the job from them. As find().
  void bar(const core::Scope& scope, const std::string& repository, bool is_public,
           std::function<void(core::GroupBar)> done);
  // What is known of the scope's groups may be outdated.
  void forget(const core::Scope& scope);

 private:
  struct Known {
    std::vector<RunnerGroup> groups;
    Instant good_until{};
  };
  using Listed = std::function<void(Result<std::vector<RunnerGroup>>)>;

  void list(const core::Scope& scope, const std::string& repository, Listed done);

  sys::Loop& loop_;
  Fetcher& fetcher_;
  std::string base_;
  // By scope, and by repository among those it may use; "" = all of the scope.
  std::map<std::pair<std::string, std::string>, Known> known_;
};

}  // namespace mvr::github
