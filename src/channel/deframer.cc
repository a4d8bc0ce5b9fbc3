// Records out of a byte stream (RFC 7464: RS, text, LF).
#include "channel/message.h"

namespace mvr::channel {
namespace {
constexpr char kRecordSeparator = '\x1e';
constexpr std::string_view kDelimiters = "\x1e\n";
}  // namespace

Result<void> Deframer::push(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t stop = in_record_ ? bytes.find_first_of(kDelimiters) : bytes.find('\x1e');
    const std::string_view head = bytes.substr(0, stop);
    if (in_record_ && partial_.size() + head.size() > kMaxRecord) {
      in_record_ = false;
      partial_ = std::string();
      return fail(Errc::too_large, "channel: a record is longer than the limit of 256 KiB");
    }
    if (in_record_) partial_.append(head);
    if (stop == std::string_view::npos) break;
    // A separator inside a record means that the rest of that record was lost: start anew.
    if (bytes[stop] != kRecordSeparator) ready_.push_back(std::move(partial_));
    in_record_ = bytes[stop] == kRecordSeparator;
    partial_ = std::string();
    bytes.remove_prefix(stop + 1);
  }
  return {};
}

std::optional<std::string> Deframer::pop() {
  if (next_ == ready_.size()) return std::nullopt;
  std::string record = std::move(ready_[next_]);
  if (++next_ == ready_.size()) {
    ready_.clear();
    next_ = 0;
  }
  return record;
}

}  // namespace mvr::channel
