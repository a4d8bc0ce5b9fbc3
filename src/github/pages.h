// Lists that come in pages, asked for conditionally: a page GitHub says is unchanged comes out of
// a cache of parsed pages.
#pragma once

#include <any>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "github/transport.h"
#include "github/url.h"

namespace mvr::github {

// What is kept of one page; `items` is a std::vector of what its URL lists.
struct CachedPage {
  std::string etag;
  std::string next;  // URL of the next page; empty: none
  std::any items;
  std::size_t cost = 1;  // grows with the number of items
  // Unused for so long it goes, for lists that end by themselves. Empty: only when room is wanted.
  std::optional<Duration> life = {};
};

// Parsed pages by full URL. Bounded by their cost: the page unused for longest goes first.
class PageCache {
 public:
  explicit PageCache(std::size_t most) : most_(most) {}
  // Null when absent. The page stays valid for as long as the pointer is held.
  std::shared_ptr<const CachedPage> find(const std::string& url);
  void put(const std::string& url, CachedPage page, Instant now);
  // It was asked for, and GitHub said that it is unchanged.
  void confirm(const std::string& url, Instant now);
  [[nodiscard]] std::size_t cost() const { return cost_; }
  [[nodiscard]] std::size_t size() const { return pages_.size(); }

 private:
  struct Slot {
    std::shared_ptr<const CachedPage> page;
    std::list<std::string>::iterator age;
    Instant used{};
  };
  void drop(const std::string& url);
  void drop_dead(Instant now);

  std::size_t most_;
  std::size_t cost_ = 0;
  Instant look_at_{};            // for dead ones
  std::list<std::string> ages_;  // the URL used last is in front
  std::map<std::string, Slot> pages_;
};

// A whole list, or its first pages when it is longer than what was asked for.
template <class T>
struct Pages {
  std::vector<T> items;
  Instant sent{};     // when the request of the first page left
  WallTime date{};    // GitHub's clock at the first page
  bool whole = true;  // false: there are more pages than were allowed
};

template <class T>
struct PageQuery {
  std::string url;
  CallInfo about;
  std::size_t most_pages = 10;
  std::optional<Duration> life = {};  // of what is cached, see CachedPage
  std::function<Result<std::vector<T>>(std::string_view)> decode;
};

class Fetcher {
 public:
  explicit Fetcher(Transport& transport) : transport_(transport), cache_(kMostCached) {}

  // Calls back exactly once, from the loop.
  template <class T>
  void fetch(PageQuery<T> query, std::function<void(Result<Pages<T>>)> done);

 private:
  template <class T>
  struct Chain {
    PageQuery<T> query;
    std::function<void(Result<Pages<T>>)> done;
    Pages<T> pages;
    std::size_t count = 0;
  };
  template <class T>
  void fetch_page(std::shared_ptr<Chain<T>> chain, const std::string& url);
  template <class T>
  Result<std::string> take(Chain<T>& chain, const std::string& url, const ApiReply& reply,
                           const std::shared_ptr<const CachedPage>& known);

  // One job with its texts is about 500 bytes: some 10 MB at worst.
  static constexpr std::size_t kMostCached = 20'000;

  Transport& transport_;
  PageCache cache_;
};

// The next page's URL of a reply; empty when there is none, Err when it leads elsewhere.
Result<std::string> next_of(const ApiReply& reply, const std::string& url);
// The tag to send next time; empty when the reply has none worth keeping.
std::string etag_of(const ApiReply& reply);

template <class T>
void Fetcher::fetch(PageQuery<T> query, std::function<void(Result<Pages<T>>)> done) {
  auto chain = std::make_shared<Chain<T>>();
  const std::string url = query.url;
  chain->query = std::move(query);
  chain->done = std::move(done);
  fetch_page(std::move(chain), url);
}

template <class T>
void Fetcher::fetch_page(std::shared_ptr<Chain<T>> chain, const std::string& url) {
  auto known = cache_.find(url);
  ApiRequest request;
  request.url = url;
  request.about = chain->query.about;
  if (known) request.etag = known->etag;
  transport_.send(std::move(request), [this, chain, url, known](Result<ApiReply> reply) {
    if (!reply) return chain->done(fail(std::move(reply.error())));
    auto next = take(*chain, url, *reply, known);
    if (!next) return chain->done(fail(with_context(next.error(), chain->query.about.label)));
    if (next->empty() || chain->count >= chain->query.most_pages) {
      chain->pages.whole = next->empty();
      return chain->done(std::move(chain->pages));
    }
    fetch_page(chain, *next);
  });
}

// Adds a reply's items to the chain and answers the URL of the page after it.
template <class T>
Result<std::string> Fetcher::take(Chain<T>& chain, const std::string& url, const ApiReply& reply,
                                  const std::shared_ptr<const CachedPage>& known) {
  if (chain.count++ == 0) {
    chain.pages.sent = reply.sent;
    chain.pages.date = reply.date;
  }
  auto& all = chain.pages.items;
  if (reply.status == 304) {
    cache_.confirm(url, reply.sent);
    const auto* items = known ? std::any_cast<std::vector<T>>(&known->items) : nullptr;
    if (items == nullptr) return fail(Errc::protocol, "\"not modified\", but nothing was known");
    all.insert(all.end(), items->begin(), items->end());
    return known->next;
  }
  TRY_ASSIGN(std::vector<T> items, chain.query.decode(reply.body));
  TRY_ASSIGN(std::string next, next_of(reply, url));
  all.insert(all.end(), items.begin(), items.end());
  std::string etag = etag_of(reply);
  if (!etag.empty()) {
    const std::size_t cost = items.size() + 1;
    cache_.put(url, CachedPage{std::move(etag), next, std::move(items), cost, chain.query.life},
               reply.sent);
  }
  return next;
}

}  // namespace mvr::github
