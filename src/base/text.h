// Strict text: parsing that accepts exactly what is documented, and its printing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace mvr {

// Decimal digits only: no sign, no space, no leading '+'; overflow is an error.
Result<std::uint64_t> parse_u64(std::string_view text);
// The same, and one '-' in front.
Result<std::int64_t> parse_i64(std::string_view text);

// "512MiB", "4GiB", "1TiB", "65536" (bytes), "4096B", "16KiB". Decimal units (KB, MB, GB) are
// refused with a hint, a fraction too.
Result<Bytes> parse_bytes(std::string_view text);
// In the largest unit that is not above the size, with one (rounded) decimal unless it divides
// exactly: "4GiB", "1.5GiB", "100B". For people: what has a decimal does not parse again.
std::string format_bytes(Bytes size);

// "250ms", "90s", "15m", "6h", "1h30m", "2d". A bare number is refused.
Result<Duration> parse_duration(std::string_view text);
// "250ms", "90s" -> "1m30s", "6h", "2d3h": the largest unit and the next one, the rest is cut.
std::string format_duration(Duration value);

// "2026-11-20T10:00:00Z", also with fractions and offsets ("...-08:00") as GitHub sends them;
// digits beyond milliseconds are cut.
Result<WallTime> parse_iso8601(std::string_view text);
// UTC with milliseconds: "2026-11-20T10:00:00.000Z".
std::string format_iso8601(WallTime time);

// Lower-case ASCII only; other bytes pass unchanged.
std::string ascii_lower(std::string_view text);
// True for [a-z0-9]([a-z0-9-]*[a-z0-9])? of at most `max` characters: names of ours.
bool is_plain_name(std::string_view text, std::size_t max);
bool is_valid_utf8(std::string_view text);

// Standard base64 with padding (RFC 4648 section 4); decoding refuses anything else.
std::string base64_encode(std::string_view bytes);
Result<std::string> base64_decode(std::string_view text);
std::string hex(std::span<const unsigned char> bytes);

// What a terminal or a log line may show: control characters, marks that change the direction of
// text and bytes that are not UTF-8 become "\xNN"; at most `max` bytes, cut at a character.
std::string printable(std::string_view text, std::size_t max = 4096);

// The candidate with the smallest edit distance, if it is near enough to be a slip of the pen.
std::optional<std::string> nearest_name(std::string_view name,
                                        std::span<const std::string_view> candidates);

// "a,,b" -> "a", "", "b"; the empty text is one empty part.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);

// A stable 64-bit hash (FNV-1a with a final mix) for names and jitter. Not for security.
std::uint64_t stable_hash(std::string_view bytes, std::uint64_t seed = 0);

}  // namespace mvr
