// Reads the list inside one JSON document: only wanted fields are kept, the rest is skipped while
// it is parsed (a run carries two whole repositories). Pure and bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace mvr::github {

inline constexpr std::size_t kMaxRows = 1000;  // we ask for 100 a page
inline constexpr std::size_t kMaxDepth = 64;

// A value we can keep; OtherJson stands for objects, fractions and mixed arrays.
struct OtherJson {
  friend bool operator==(const OtherJson&, const OtherJson&) = default;
};
using JsonCell = std::variant<std::nullptr_t, bool, std::int64_t, std::string,
                              std::vector<std::string>, OtherJson>;

// One object of the list. Absent and null fields are the same. Errors name list and index.
class JsonRow {
 public:
  explicit JsonRow(std::string place) : place_(std::move(place)) {}

  [[nodiscard]] bool has(std::string_view field) const { return find(field) != nullptr; }
  [[nodiscard]] Result<std::int64_t> positive(std::string_view field) const;
  [[nodiscard]] Result<std::string> text(std::string_view field) const;  // required
  [[nodiscard]] Result<std::string> text_or_empty(std::string_view field) const;
  [[nodiscard]] Result<std::int64_t> number_or_zero(std::string_view field) const;
  [[nodiscard]] Result<bool> flag_or_false(std::string_view field) const;
  [[nodiscard]] Result<std::vector<std::string>> texts_or_empty(std::string_view field) const;
  [[nodiscard]] Error wrong(std::string_view field, std::string_view expected) const;

  void set(std::string_view field, JsonCell cell) {
    cells_.insert_or_assign(std::string(field), std::move(cell));
  }

 private:
  [[nodiscard]] const JsonCell* find(std::string_view field) const;

  std::string place_;  // "jobs[3]"
  std::map<std::string, JsonCell, std::less<>> cells_;
};

// JSON holds no zero byte, but the parser takes one for the end and never sees what follows.
bool has_nul(std::string_view body);

// A field "repository.private" is the field `private` of the object `repository` in a row.
//
// The objects of the array `list` of the top-level object; of the top-level array itself when
// `list` is empty. Err protocol: not JSON, no such list, an item that is not an object, too deep;
// too_large: more than kMaxRows.
Result<std::vector<JsonRow>> read_rows(std::string_view body, std::string_view list,
                                       std::span<const std::string_view> fields);

}  // namespace mvr::github
