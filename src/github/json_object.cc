#include "github/json_object.h"

#include <utility>

#include "github/catalogue.h"
#include "github/json_rows.h"

namespace mvr::github {

using nlohmann::json;

Result<json> parse_object(std::string_view body, const json::parser_callback_t& filter) {
  if (has_nul(body)) return fail(not_json("it holds a zero byte"));
  json document = json::parse(body.begin(), body.end(), filter, false);
  if (!document.is_object()) return fail(undocumented("no object"));
  return document;
}

const json* member(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

json* member(json& object, const char* key) {
  return const_cast<json*>(member(std::as_const(object), key));  // NOLINT: it is not const
}

const json::string_t* text_member(const json& object, const char* key) {
  const json* found = member(object, key);
  return found == nullptr ? nullptr : found->get_ptr<const json::string_t*>();
}

json::string_t* text_member(json& object, const char* key) {
  json* found = member(object, key);
  return found == nullptr ? nullptr : found->get_ptr<json::string_t*>();
}

std::int64_t positive_member(const json& object, const char* key) {
  const json* found = member(object, key);
  const auto* number =
      found == nullptr ? nullptr : found->get_ptr<const json::number_unsigned_t*>();
  const bool fits = number != nullptr && *number <= std::uint64_t{INT64_MAX};
  return fits ? static_cast<std::int64_t>(*number) : 0;
}

}  // namespace mvr::github
