#include "github/pages.h"

#include <algorithm>

namespace mvr::github {
namespace {

constexpr std::size_t kMaxEtag = 256;
constexpr Duration kLookForDead = std::chrono::minutes(1);

}  // namespace

std::shared_ptr<const CachedPage> PageCache::find(const std::string& url) {
  const auto found = pages_.find(url);
  if (found == pages_.end()) return nullptr;
  ages_.splice(ages_.begin(), ages_, found->second.age);
  return found->second.page;
}

void PageCache::put(const std::string& url, CachedPage page, Instant now) {
  drop(url);
  drop_dead(now);
  if (page.cost > most_) return;
  while (cost_ + page.cost > most_) {
    const std::string oldest = ages_.back();
    drop(oldest);
  }
  cost_ += page.cost;
  ages_.push_front(url);
  pages_[url] = Slot{std::make_shared<const CachedPage>(std::move(page)), ages_.begin(), now};
}

void PageCache::confirm(const std::string& url, Instant now) {
  if (const auto found = pages_.find(url); found != pages_.end()) found->second.used = now;
}

// Without this a page of each run there ever was would be kept until the cache is full.
void PageCache::drop_dead(Instant now) {
  if (now < look_at_) return;
  look_at_ = now + kLookForDead;
  std::vector<std::string> dead;
  for (const auto& [url, slot] : pages_) {
    if (slot.page->life && now - slot.used >= *slot.page->life) dead.push_back(url);
  }
  for (const std::string& url : dead) drop(url);
}

void PageCache::drop(const std::string& url) {
  const auto found = pages_.find(url);
  if (found == pages_.end()) return;
  cost_ -= found->second.page->cost;
  ages_.erase(found->second.age);
  pages_.erase(found);
}

Result<std::string> next_of(const ApiReply& reply, const std::string& url) {
  const std::string target = next_page(sys::header_of(reply.headers, "link"));
  if (target.empty()) return std::string();
  return same_origin_url(url, target);
}

std::string etag_of(const ApiReply& reply) {
  std::string etag = sys::header_of(reply.headers, "etag");
  const bool is_plain =
      std::all_of(etag.begin(), etag.end(), [](char c) { return c >= ' ' && c < '\x7f'; });
  if (!is_plain || etag.size() > kMaxEtag) return {};
  return etag;
}

}  // namespace mvr::github
