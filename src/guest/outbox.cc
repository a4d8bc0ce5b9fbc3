#include "guest/outbox.h"

#include <algorithm>

#include "base/assert.h"

namespace mvr::guest {
namespace {
const std::size_t kOutput = channel::FromAgent(channel::Output{}).index();
}  // namespace

void Outbox::push(const channel::FromAgent& message) {
  const std::size_t kind = message.index();
  const bool is_whole = std::holds_alternative<channel::State>(message) ||
                        std::holds_alternative<channel::Usage>(message);
  if (is_whole) drop_oldest(kind);
  Entry& entry = queue_.emplace_back(Entry{kind, channel::encode(message)});
  size_ += entry.record.size();
  while (size_ > kMaxBytes && drop_oldest(kOutput)) {
  }
}

bool Outbox::drop_oldest(std::size_t kind) {
  const auto first = queue_.begin() + (sent_ > 0 ? 1 : 0);
  const auto found =
      std::find_if(first, queue_.end(), [kind](const Entry& e) { return e.kind == kind; });
  if (found == queue_.end()) return false;
  size_ -= found->record.size();
  queue_.erase(found);
  return true;
}

std::string_view Outbox::next() const {
  if (queue_.empty()) return {};
  return std::string_view(queue_.front().record).substr(sent_);
}

void Outbox::consume(std::size_t count) {
  MVR_ASSERT(count <= next().size());
  sent_ += count;
  if (queue_.empty() || sent_ < queue_.front().record.size()) return;
  size_ -= queue_.front().record.size();
  queue_.pop_front();
  sent_ = 0;
}

}  // namespace mvr::guest
