#include "github/json_rows.h"

#include <algorithm>
#include <limits>
#include <optional>

#include <nlohmann/json.hpp>

#include "github/catalogue.h"

namespace mvr::github {
namespace {

using nlohmann::json;

// Depths: the document is 1; the wanted list is at list_depth_, its objects one below, their
// values belong to the depth of the object.
class RowReader final : public nlohmann::json_sax<json> {
 public:
  RowReader(std::string_view list, std::span<const std::string_view> fields)
      : list_(list), fields_(fields), list_depth_(list.empty() ? 1 : 2) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool flag) override { return value(flag); }
  bool number_integer(number_integer_t number) override { return value(number); }
  bool number_unsigned(number_unsigned_t number) override {
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return value(OtherJson{});
    }
    return value(static_cast<std::int64_t>(number));
  }
  bool number_float(number_float_t, const string_t&) override { return value(OtherJson{}); }
  bool string(string_t& text) override { return value(std::move(text)); }
  bool binary(binary_t&) override { return value(OtherJson{}); }

  bool start_object(std::size_t) override {
    if (depth_ == 0) is_object_ = true;
    if (is_list_level()) return enter() && start_row();
    if (is_row_level()) is_inner_ = true;
    return nested() && enter();
  }
  bool key(string_t& name) override {
    if (depth_ == 1) top_key_ = name;
    if (is_row_level()) field_ = outer_ = name;
    if (is_inner_level()) field_ = outer_ + "." + name;
    return true;
  }
  bool end_object() override {
    --depth_;
    if (is_row_level()) is_inner_ = false;
    return true;
  }

  bool start_array(std::size_t) override {
    if (is_list_level()) return refuse("an item of the list is no object");
    if (is_row_level() && is_wanted()) {
      strings_.clear();
      collects_ = true;
      is_mixed_ = false;
      return enter();
    }
    if (!nested() || !enter()) return false;
    return list_open_ || depth_ != list_depth_ || !starts_list() || open_list();
  }
  bool end_array() override {
    if (is_list_level()) list_open_ = false;
    const bool ends_strings = collects_ && depth_ == list_depth_ + 2;
    --depth_;
    if (!ends_strings) return true;
    collects_ = false;
    keep(is_mixed_ ? JsonCell(OtherJson{}) : JsonCell(std::move(strings_)));
    strings_ = {};
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    if (!error_.has_value()) {
      error_ = not_json("broken at byte " + std::to_string(position));
    }
    return false;
  }

  Result<std::vector<JsonRow>> finish(bool parsed) {
    if (error_) return fail(*error_);
    if (!parsed) return fail(not_json("it ends early"));
    if (!list_seen_) {
      return fail(
          undocumented(list_.empty() ? "no list" : "no list \"" + std::string(list_) + "\""));
    }
    return std::move(rows_);
  }

 private:
  [[nodiscard]] bool is_list_level() const { return list_open_ && depth_ == list_depth_; }
  [[nodiscard]] bool is_row_level() const { return list_open_ && depth_ == list_depth_ + 1; }
  // Inside an object that is a value of a row.
  [[nodiscard]] bool is_inner_level() const {
    return list_open_ && is_inner_ && depth_ == list_depth_ + 2;
  }
  [[nodiscard]] bool is_wanted() const {
    return std::find(fields_.begin(), fields_.end(), field_) != fields_.end();
  }
  [[nodiscard]] bool starts_list() const {
    return list_.empty() ? !is_object_ : is_object_ && top_key_ == list_;
  }

  bool refuse(std::string_view what) {
    error_ = undocumented(what);
    return false;
  }
  bool enter() { return ++depth_ <= kMaxDepth || refuse("it is nested too deeply"); }
  bool open_list() {
    if (list_seen_) return refuse("the list is there twice");
    list_seen_ = true;
    list_open_ = true;
    return true;
  }
  bool start_row() {
    if (rows_.size() >= kMaxRows) {
      error_ = Error{Errc::too_large, "the answer lists more than " + std::to_string(kMaxRows) +
                                          " items on one page"};
      return false;
    }
    rows_.emplace_back(std::string(list_) + "[" + std::to_string(rows_.size()) + "]");
    return true;
  }
  void keep(JsonCell cell) {
    const bool is_value = is_row_level() || is_inner_level();
    if (is_value && is_wanted()) rows_.back().set(field_, std::move(cell));
  }
  // An object or array that is no row: only that it is there is remembered.
  bool nested() {
    if (collects_) is_mixed_ = true;
    keep(OtherJson{});
    return true;
  }
  bool value(JsonCell cell) {
    if (is_list_level()) return refuse("an item of the list is no object");
    auto* text = std::get_if<std::string>(&cell);
    if (collects_ && text != nullptr && depth_ == list_depth_ + 2) {
      strings_.push_back(std::move(*text));
    } else if (collects_) {
      is_mixed_ = true;
    } else {
      keep(std::move(cell));
    }
    return true;
  }

  std::string_view list_;
  std::span<const std::string_view> fields_;
  std::size_t list_depth_;
  std::size_t depth_ = 0;
  bool is_object_ = false;  // of the document
  bool list_seen_ = false;
  bool list_open_ = false;
  bool is_inner_ = false;  // inside an object of a row
  bool collects_ = false;  // inside the array of a wanted field
  bool is_mixed_ = false;  // ... which holds more than strings
  std::string top_key_;
  std::string field_;  // "name", or "outer.name"
  std::string outer_;
  std::vector<std::string> strings_;
  std::vector<JsonRow> rows_;
  std::optional<Error> error_;
};

}  // namespace

Error JsonRow::wrong(std::string_view field, std::string_view expected) const {
  return undocumented(place_ + "." + std::string(field) + " is not " + std::string(expected));
}

const JsonCell* JsonRow::find(std::string_view field) const {
  const auto found = cells_.find(field);
  if (found == cells_.end() || std::holds_alternative<std::nullptr_t>(found->second)) {
    return nullptr;
  }
  return &found->second;
}

Result<std::int64_t> JsonRow::positive(std::string_view field) const {
  const JsonCell* cell = find(field);
  const auto* number = cell == nullptr ? nullptr : std::get_if<std::int64_t>(cell);
  if (number == nullptr || *number <= 0) return fail(wrong(field, "a positive number"));
  return *number;
}

Result<std::string> JsonRow::text(std::string_view field) const {
  const JsonCell* cell = find(field);
  const auto* text = cell == nullptr ? nullptr : std::get_if<std::string>(cell);
  if (text == nullptr) return fail(wrong(field, "a string"));
  return *text;
}

Result<std::string> JsonRow::text_or_empty(std::string_view field) const {
  if (find(field) == nullptr) return std::string();
  return text(field);
}

Result<std::int64_t> JsonRow::number_or_zero(std::string_view field) const {
  const JsonCell* cell = find(field);
  if (cell == nullptr) return std::int64_t{0};
  const auto* number = std::get_if<std::int64_t>(cell);
  if (number == nullptr) return fail(wrong(field, "a whole number"));
  return *number;
}

Result<bool> JsonRow::flag_or_false(std::string_view field) const {
  const JsonCell* cell = find(field);
  if (cell == nullptr) return false;
  const auto* flag = std::get_if<bool>(cell);
  if (flag == nullptr) return fail(wrong(field, "true or false"));
  return *flag;
}

Result<std::vector<std::string>> JsonRow::texts_or_empty(std::string_view field) const {
  const JsonCell* cell = find(field);
  if (cell == nullptr) return std::vector<std::string>();
  const auto* texts = std::get_if<std::vector<std::string>>(cell);
  if (texts == nullptr) return fail(wrong(field, "a list of strings"));
  return *texts;
}

bool has_nul(std::string_view body) { return body.find('\0') != std::string_view::npos; }

Result<std::vector<JsonRow>> read_rows(std::string_view body, std::string_view list,
                                       std::span<const std::string_view> fields) {
  if (has_nul(body)) return fail(not_json("it holds a zero byte"));
  RowReader reader(list, fields);
  const bool parsed = json::sax_parse(body.begin(), body.end(), &reader);
  return reader.finish(parsed);
}

}  // namespace mvr::github
