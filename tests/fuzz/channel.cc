// Any bytes on the channel: the stream is cut within its bounds however it is split, and a message
// that decodes says the same when it is encoded again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "channel/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using mvr::channel::Deframer;

// The records of a stream that arrives `step` bytes at a time.
std::vector<std::string> records_of(std::string_view stream, std::size_t step) {
  Deframer deframer;
  std::vector<std::string> records;
  while (!stream.empty()) {
    const std::size_t length = std::min(step, stream.size());
    if (!deframer.push(stream.substr(0, length))) break;
    stream.remove_prefix(length);
    while (std::optional<std::string> record = deframer.pop()) {
      MVR_ASSERT(record->size() <= mvr::channel::kMaxRecord);
      records.push_back(std::move(*record));
    }
  }
  return records;
}

// Without the framing that encode() adds.
std::string_view unframed(std::string_view record) {
  MVR_ASSERT(record.size() >= 2);
  MVR_ASSERT(record.front() == '\x1e');
  MVR_ASSERT(record.back() == '\n');
  return record.substr(1, record.size() - 2);
}

template <class Decode>
void check_decoder(std::string_view record, Decode decode) {
  const auto message = decode(record);
  if (!message) return;
  const std::string encoded = mvr::channel::encode(*message);
  const auto again = decode(unframed(encoded));
  MVR_ASSERT(again.has_value());
  MVR_ASSERT(mvr::channel::encode(*again) == encoded);
}

void check_record(std::string_view record) {
  check_decoder(record, mvr::channel::decode_to_agent);
  check_decoder(record, mvr::channel::decode_from_agent);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t step = data[0] + std::size_t{1};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): libFuzzer's bytes as text
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::vector<std::string> records = records_of(stream, step);
  MVR_ASSERT(records == records_of(stream, stream.size() + 1));
  for (const std::string& record : records) check_record(record);
  check_record(stream);
  return 0;
}
