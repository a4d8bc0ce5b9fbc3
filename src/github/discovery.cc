#include "github/discovery.h"

#include <utility>
#include <vector>

namespace mvr::github {
namespace {

// Calls back within this, whatever GitHub does.
constexpr Duration kLongestLeave{5'000};

// Several discoveries as one.
class Discoveries final : public Discovery {
 public:
  Discoveries(sys::Loop& loop, std::vector<std::unique_ptr<Discovery>> all)
      : loop_(loop), all_(std::move(all)) {}

  void start(std::function<void(core::Event)> report) override {
    for (const auto& each : all_) each->start(report);
  }

  void hint(std::string_view repository) override {
    for (const auto& each : all_) each->hint(repository);
  }

  void stop(std::function<void()> done) override {
    auto leave = std::make_shared<Leave>();
    leave->left = all_.size() + 1;  // one more, so that it does not end before all were told
    leave->done = std::move(done);
    deadline_ = loop_.call_at(loop_.now() + kLongestLeave, [leave] { leave->end(); });
    for (const auto& each : all_) each->stop([leave] { leave->one_less(); });
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

  sys::Loop& loop_;
  std::vector<std::unique_ptr<Discovery>> all_;
  sys::Timer deadline_;
};

}  // namespace

std::unique_ptr<Discovery> make_discovery(sys::Loop& loop, const core::Config& config,
                                          Client& client, const ServeCapacity& capacity) {
  std::vector<std::unique_ptr<Discovery>> all;
  core::Config polled = config;
  polled.github.scopes.clear();
  for (const core::Scope& scope : config.github.scopes) {
    if (config.github.feed_of(scope) == core::Feed::poll) {
      polled.github.scopes.push_back(scope);
    } else {
      all.push_back(make_scale_set_discovery(loop, config, client, scope, capacity));
    }
  }
  if (!polled.github.scopes.empty()) all.push_back(make_poll_discovery(loop, polled, client));
  return std::make_unique<Discoveries>(loop, std::move(all));
}

}  // namespace mvr::github
