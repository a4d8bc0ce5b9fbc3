#include "base/text.h"

#include <algorithm>
#include <array>
#include <limits>

namespace mvr {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); }

// Edits of one kind each: insert, delete, replace, or swap of two neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> older(b.size() + 1);
  std::vector<std::size_t> previous(b.size() + 1);
  std::vector<std::size_t> current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], older[j - 2] + 1);
      }
    }
    std::swap(older, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

}  // namespace

Result<std::uint64_t> parse_u64(std::string_view text) {
  if (text.empty()) return fail(Errc::invalid, "a number is missing");
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t value = 0;
  for (const char c : text) {
    if (!is_digit(c)) {
      return fail(Errc::invalid, "'" + printable(text, 64) + "' is not a decimal number");
    }
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (value > (kMax - digit) / 10) {
      return fail(Errc::invalid, "'" + printable(text, 64) + "' is too large a number");
    }
    value = value * 10 + digit;
  }
  return value;
}

Result<std::int64_t> parse_i64(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  TRY_ASSIGN(const std::uint64_t magnitude, parse_u64(negative ? text.substr(1) : text));
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (magnitude > kMax + (negative ? 1U : 0U)) {
    return fail(Errc::invalid, "'" + printable(text, 64) + "' is too large a number");
  }
  // Two's complement negation in unsigned arithmetic reaches the smallest value as well.
  return static_cast<std::int64_t>(negative ? 0 - magnitude : magnitude);
}

std::string ascii_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool is_plain_name(std::string_view text, std::size_t max) {
  if (text.empty() || text.size() > max) return false;
  if (!is_lower_alnum(text.front()) || !is_lower_alnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_lower_alnum(c) || c == '-'; });
}

std::optional<std::string> nearest_name(std::string_view name,
                                        std::span<const std::string_view> candidates) {
  // Longer names are not slips of the pen, and the distance costs the product of the lengths.
  constexpr std::size_t kLongest = 64;
  if (name.empty() || name.size() > kLongest) return std::nullopt;
  const std::size_t limit = std::clamp<std::size_t>(name.size() / 3, 1, 3);
  std::optional<std::string> best;
  std::size_t best_distance = limit + 1;
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    const std::size_t distance = edit_distance(name, candidate);
    // A candidate that shares nothing with the name is no suggestion.
    if (distance < best_distance && distance < std::max(name.size(), candidate.size())) {
      best = std::string(candidate);
      best_distance = distance;
    }
  }
  return best;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t start = 0;
  for (std::size_t end = text.find(separator); end != std::string_view::npos;
       end = text.find(separator, start)) {
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  parts.push_back(text.substr(start));
  return parts;
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string joined;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) joined += separator;
    joined += parts[i];
  }
  return joined;
}

std::uint64_t stable_hash(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325U ^ (seed * 0x9e3779b97f4a7c15U);
  for (const char c : bytes) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3U;
  }
  // FNV leaves its high bits weak on short input: mix so that every output bit depends on all.
  hash ^= hash >> 30U;
  hash *= 0xbf58476d1ce4e5b9U;
  hash ^= hash >> 27U;
  hash *= 0x94d049bb133111ebU;
  return hash ^ (hash >> 31U);
}

}  // namespace mvr
