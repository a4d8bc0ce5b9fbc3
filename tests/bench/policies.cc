#include "policies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <queue>

namespace mvr::bench {
namespace {

constexpr std::size_t kResources = 2;
constexpr double kPrecision = 1e-9;
using Parts = std::array<double, kResources>;  // of the host

Instant seen_at(const core::ReplayJob& job, const core::ReplaySettings& settings) {
  const auto since = job.created.time_since_epoch();
  return Instant{(since + settings.poll - Duration{1}) / settings.poll * settings.poll};
}

Parts parts_of(const Mix& mix, const core::ReplayJob& job) {
  const core::Resources& size = mix.config.profile(job.profile)->size;
  return {static_cast<double>(size.memory.value) / static_cast<double>(mix.capacity.memory.value),
          static_cast<double>(size.vcpus) / mix.capacity.vcpus};
}

std::vector<Parts> all_parts(const Mix& mix) {
  std::vector<Parts> parts;
  for (const core::ReplayJob& job : mix.jobs) parts.push_back(parts_of(mix, job));
  return parts;
}

double seconds_of(Duration duration) { return static_cast<double>(duration.count()) / 1000; }

// --- others ---

struct Ending {
  Instant at{};
  Parts parts{};
  friend bool operator>(const Ending& a, const Ending& b) { return a.at > b.at; }
};
using Endings = std::priority_queue<Ending, std::vector<Ending>, std::greater<>>;

class Host {
 public:
  [[nodiscard]] bool has_room(const Parts& parts) const {
    for (std::size_t r = 0; r < kResources; ++r) {
      if (used_.at(r) + parts.at(r) > 1 + kPrecision) return false;
    }
    return true;
  }
  void take(const Parts& parts, Instant end) {
    for (std::size_t r = 0; r < kResources; ++r) used_.at(r) += parts.at(r);
    endings_.push(Ending{end, parts});
  }
  [[nodiscard]] std::optional<Instant> next_end() const {
    return endings_.empty() ? std::nullopt : std::optional(endings_.top().at);
  }
  void end_until(Instant now) {
    for (; !endings_.empty() && endings_.top().at <= now; endings_.pop()) {
      for (std::size_t r = 0; r < kResources; ++r) used_.at(r) -= endings_.top().parts.at(r);
    }
  }

 private:
  Parts used_{};
  Endings endings_;
};

struct Order {
  bool is_strict = false;    // nobody passes one that does not fit
  std::vector<double> work;  // not empty: the least goes first
};

Waits serve(const Mix& mix, const core::ReplaySettings& settings, const std::vector<Parts>& parts,
            const Order& order) {
  Waits waits(mix.jobs.size());
  std::vector<std::size_t> queue;
  Host host;
  std::size_t arrived = 0;
  while (arrived < mix.jobs.size() || !queue.empty()) {
    std::optional<Instant> now = queue.empty() ? std::nullopt : host.next_end();
    if (arrived < mix.jobs.size()) {
      const Instant seen = seen_at(mix.jobs[arrived], settings);
      now = now ? std::min(*now, seen) : seen;
    }
    host.end_until(*now);
    while (arrived < mix.jobs.size() && seen_at(mix.jobs[arrived], settings) <= *now) {
      queue.push_back(arrived++);
    }
    if (!order.work.empty()) {
      std::ranges::stable_sort(queue, {}, [&order](std::size_t job) { return order.work[job]; });
    }
    bool is_blocked = false;
    std::erase_if(queue, [&](std::size_t job) {
      if (is_blocked || !host.has_room(parts[job])) {
        is_blocked = order.is_strict;
        return false;
      }
      waits[job] = *now + settings.boot - mix.jobs[job].created;
      host.take(parts[job], *now + settings.boot + mix.jobs[job].run);
      return true;
    });
  }
  return waits;
}

// --- the bound ---

constexpr double kBucket = 20;  // seconds of one price
constexpr int kRounds = 400;
constexpr int kPatience = 8;  // rounds without a better bound until steps get shorter

struct Item {
  double seen = 0;  // seconds since the first
  double length = 0;
  Parts parts{};
};

class Bound {
 public:
  explicit Bound(std::vector<Item> items) : items_(std::move(items)) {
    double end = 0;
    double work = 0;
    for (const Item& item : items_) {
      end = std::max(end, item.seen + item.length);
      work += item.length * *std::ranges::max_element(item.parts);
    }
    buckets_ = static_cast<std::size_t>((end + work) / kBucket) + 2;
    for (auto& prices : prices_) prices.assign(buckets_, 0);
  }

  // Of the sum of (start - seen).
  double find(double good) {
    double best = 0;
    double scale = 1;
    int since = 0;
    for (int round = 0; round < kRounds; ++round) {
      const double value = evaluate();
      ++since;
      if (value > best) {
        best = value;
        since = 0;
      }
      if (since >= kPatience) {
        scale *= 0.7;
        since = 0;
      }
      step(scale * (good - value));
    }
    return best;
  }

 private:
  // Price of [0, t) of resource r.
  [[nodiscard]] double paid(std::size_t r, double t) const {
    const auto bucket = std::min(static_cast<std::size_t>(t / kBucket), buckets_ - 1);
    return sums_.at(r)[bucket] +
           (t - static_cast<double>(bucket) * kBucket) * prices_.at(r)[bucket];
  }

  [[nodiscard]] double cost(const Item& item, double start) const {
    double sum = start - item.seen;
    for (std::size_t r = 0; r < kResources; ++r) {
      sum += item.parts.at(r) * (paid(r, start + item.length) - paid(r, start));
    }
    return sum;
  }

  // Costs are linear between the starts at which either end meets a change of price.
  double choose(const Item& item, double& start) const {
    double best = cost(item, item.seen);
    start = item.seen;
    const double shift = std::fmod(item.length, kBucket);
    const double limit = static_cast<double>(buckets_) * kBucket;
    for (double at = (std::floor(item.seen / kBucket) + 1) * kBucket; at < limit; at += kBucket) {
      for (const double candidate : {at - shift, at}) {
        if (candidate <= item.seen) continue;
        if (candidate - item.seen >= best) return best;  // prices only add to that
        const double value = cost(item, candidate);
        if (value >= best) continue;
        best = value;
        start = candidate;
      }
    }
    return best;
  }

  void use(std::size_t r, double from, double to, double part) {
    while (from < to) {
      const auto bucket = std::min(static_cast<std::size_t>(from / kBucket), buckets_ - 1);
      const double next = std::min(to, static_cast<double>(bucket + 1) * kBucket);
      slopes_.at(r)[bucket] += part * (std::max(next, from) - from);
      if (next <= from) return;
      from = next;
    }
  }

  double evaluate() {
    double value = 0;
    for (std::size_t r = 0; r < kResources; ++r) {
      slopes_.at(r).assign(buckets_, -kBucket);
      sums_.at(r).assign(buckets_ + 1, 0);
      for (std::size_t n = 0; n < buckets_; ++n) {
        sums_.at(r)[n + 1] = sums_.at(r)[n] + prices_.at(r)[n] * kBucket;
      }
      value -= sums_.at(r)[buckets_];
    }
    for (const Item& item : items_) {
      double start = 0;
      value += choose(item, start);
      for (std::size_t r = 0; r < kResources; ++r) {
        use(r, start, start + item.length, item.parts.at(r));
      }
    }
    return value;
  }

  void step(double length) {
    double norm = 0;
    for (std::size_t r = 0; r < kResources; ++r) {
      for (std::size_t n = 0; n < buckets_; ++n) {
        const double slope = slopes_.at(r)[n];
        if (slope > 0 || prices_.at(r)[n] > 0) norm += slope * slope;
      }
    }
    if (norm <= 0 || length <= 0) return;
    for (std::size_t r = 0; r < kResources; ++r) {
      for (std::size_t n = 0; n < buckets_; ++n) {
        double& price = prices_.at(r)[n];
        price = std::max(0.0, price + length / norm * slopes_.at(r)[n]);
      }
    }
  }

  std::vector<Item> items_;
  std::size_t buckets_ = 0;
  std::array<std::vector<double>, kResources> prices_;
  std::array<std::vector<double>, kResources> sums_;
  std::array<std::vector<double>, kResources> slopes_;
};

}  // namespace

Waits fifo_slots(const Mix& mix, const core::ReplaySettings& settings) {
  core::Resources largest;
  for (const core::Profile& profile : mix.config.profiles) {
    largest.memory = std::max(largest.memory, profile.size.memory);
    largest.vcpus = std::max(largest.vcpus, profile.size.vcpus);
  }
  const auto slots = std::min<std::uint64_t>(mix.capacity.memory.value / largest.memory.value,
                                             mix.capacity.vcpus / largest.vcpus);
  const double part = 1.0 / static_cast<double>(slots);
  return serve(mix, settings, std::vector<Parts>(mix.jobs.size(), Parts{part, part}),
               Order{true, {}});
}

Waits first_fit(const Mix& mix, const core::ReplaySettings& settings) {
  return serve(mix, settings, all_parts(mix), Order{});
}

Waits least_work_first(const Mix& mix, const core::ReplaySettings& settings) {
  const std::vector<Parts> parts = all_parts(mix);
  Order order;
  for (std::size_t n = 0; n < parts.size(); ++n) {
    order.work.push_back(*std::ranges::max_element(parts[n]) *
                         seconds_of(settings.boot + mix.jobs[n].run));
  }
  return serve(mix, settings, parts, order);
}

Duration least_mean_wait(const Mix& mix, const core::ReplaySettings& settings, Duration good) {
  const Instant first = seen_at(mix.jobs.front(), settings);
  const auto count = static_cast<double>(mix.jobs.size());
  std::vector<Item> items;
  double fixed = 0;  // polling and booting, which nobody gets around
  for (const core::ReplayJob& job : mix.jobs) {
    const Instant seen = seen_at(job, settings);
    fixed += seconds_of(seen - job.created + settings.boot);
    items.push_back(
        Item{seconds_of(seen - first), seconds_of(settings.boot + job.run), parts_of(mix, job)});
  }
  const double least = Bound(std::move(items)).find(seconds_of(good) * count - fixed);
  return Duration{static_cast<std::int64_t>((least + fixed) / count * 1000)};
}

}  // namespace mvr::bench
