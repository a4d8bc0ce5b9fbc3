// What waits to be written to the port, bounded.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "channel/message.h"

namespace mvr::guest {

// When more than kMaxBytes wait, the oldest output goes; nothing else is ever dropped. A state
// or a usage replaces one that waits, as each is the whole of it, and streams send no more than
// they may: so the rest is bounded too.
class Outbox {
 public:
  static constexpr std::size_t kMaxBytes = 1 << 20;

  void push(const channel::FromAgent& message);
  [[nodiscard]] bool empty() const { return queue_.empty(); }
  [[nodiscard]] std::size_t size() const { return size_; }  // bytes
  // The bytes to write next; they are gone after consume().
  [[nodiscard]] std::string_view next() const;
  void consume(std::size_t count);
  // A new reader has come: what was begun is sent again from its start.
  void restart() { sent_ = 0; }

 private:
  struct Entry {
    std::size_t kind = 0;  // index in channel::FromAgent
    std::string record;
  };
  // Removes the oldest entry of a kind that is not partly written; false when there is none.
  bool drop_oldest(std::size_t kind);

  std::deque<Entry> queue_;
  std::size_t size_ = 0;
  std::size_t sent_ = 0;  // of the first record
};

}  // namespace mvr::guest
