#include "github/discovery.h"

#include <map>
#include <utility>
#include <vector>

namespace mvr::github {
namespace {

// Calls back within this, whatever GitHub does.
constexpr Duration kLongestLeave{5'000};

// One for all scopes that are polled, and one for each that has scale sets.
class Discoveries final : public Discovery {
 public:
  Discoveries(sys::Loop& loop, const core::Config& config, Client& client, ServeCapacity capacity)
      : loop_(loop),
        client_(client),
        capacity_(std::move(capacity)),
        poll_(make_poll_discovery(loop, config, client)) {
    take_sets(config);
  }

  void start(std::function<void(core::Event)> report) override {
    report_ = std::move(report);
    poll_->start(report_);
    for (const auto& [id, sets] : sets_) sets->start(report_);
  }

  void renew(const core::Config& config) override {
    poll_->renew(config);
    for (auto each = sets_.begin(); each != sets_.end();) {
      if (serves(config, each->first)) {
        (each++)->second->renew(config);
      } else {
        dismiss(std::move(each->second));
        each = sets_.erase(each);
      }
    }
    for (const std::string& id : take_sets(config)) sets_.at(id)->start(report_);
  }

  void hint(std::string_view repository) override {
    poll_->hint(repository);
    for (const auto& [id, sets] : sets_) sets->hint(repository);
  }

  [[nodiscard]] std::vector<Look> looks() const override { return poll_->looks(); }

  void stop(std::function<void()> done) override {
    poll_.reset();
    auto leave = std::make_shared<Leave>();
    leave->left = sets_.size() + 1;  // one more, so that it does not end before all were told
    leave->done = std::move(done);
    deadline_ = loop_.call_at(loop_.now() + kLongestLeave, [leave] { leave->end(); });
    for (const auto& [id, sets] : sets_) sets->stop([leave] { leave->one_less(); });
    leave->one_less();
  }

 private:
  struct Leave {
    void one_less() {
      if (--left == 0) end();
    }
    void end() {
      if (done) std::exchange(done, nullptr)();
    }
    std::size_t left = 0;
    std::function<void()> done;
  };

  static bool serves(const core::Config& config, const std::string& id) {
    const core::Scope* scope = config.scope(id);
    return scope != nullptr && config.github.feed_of(*scope) == core::Feed::scale_set;
  }

  // The ids of those that are new.
  std::vector<std::string> take_sets(const core::Config& config) {
    std::vector<std::string> fresh;
    for (const core::Scope& scope : config.github.scopes) {
      if (!serves(config, scope.id()) || sets_.contains(scope.id())) continue;
      sets_[scope.id()] = make_scale_set_discovery(loop_, config, client_, scope, capacity_);
      fresh.push_back(scope.id());
    }
    return fresh;
  }

  // It lives until it has given back its sessions.
  void dismiss(std::unique_ptr<Discovery> sets) {
    Discovery* const leaving = sets.get();
    leaving_[leaving] = std::move(sets);
    leaving->stop([this, leaving, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) leaving_.erase(leaving);
    });
  }

  sys::Loop& loop_;
  Client& client_;
  ServeCapacity capacity_;
  std::function<void(core::Event)> report_;
  std::unique_ptr<Discovery> poll_;
  std::map<std::string, std::unique_ptr<Discovery>> sets_;
  std::map<Discovery*, std::unique_ptr<Discovery>> leaving_;
  sys::Timer deadline_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<Discovery> make_discovery(sys::Loop& loop, const core::Config& config,
                                          Client& client, const ServeCapacity& capacity) {
  return std::make_unique<Discoveries>(loop, config, client, capacity);
}

}  // namespace mvr::github
