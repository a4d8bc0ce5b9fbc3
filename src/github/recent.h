// What was seen lately, by key: bounded in number and in time.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <utility>

#include "base/units.h"

namespace mvr::github {

template <class Key, class Value>
class Recent {
 public:
  Recent(std::size_t most, Duration life) : most_(most), life_(life) {}

  // Null when it was not put for `life`, or others took its place.
  [[nodiscard]] const Value* find(const Key& key, Instant now) {
    forget(now);
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : &found->second->value;
  }
  // Of too many, the one that was put first goes, and so does what is too old.
  void put(const Key& key, Value value, Instant now) {
    forget(now);
    drop(key);
    entries_.push_front(Entry{key, std::move(value), now});
    by_key_[key] = entries_.begin();
    if (entries_.size() > most_) drop_oldest();
  }
  void drop(const Key& key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    entries_.erase(found->second);
    by_key_.erase(found);
  }
  // use(value) of each, what was put last first.
  template <class Use>
  void each(Use use) const {
    for (const Entry& entry : entries_) use(entry.value);
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Key key;
    Value value;
    Instant since;
  };
  void forget(Instant now) {
    while (!entries_.empty() && now - entries_.back().since >= life_) drop_oldest();
  }
  void drop_oldest() {
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }

  std::size_t most_;
  Duration life_;
  std::list<Entry> entries_;  // put last is in front
  std::map<Key, typename std::list<Entry>::iterator> by_key_;
};

}  // namespace mvr::github
