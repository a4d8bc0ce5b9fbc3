// Members of a parsed JSON object that others wrote: null, 0 or nothing where one is absent or of
// another type than asked for. Lists are read with json_rows.h.
#pragma once

#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace mvr::github {

// Err protocol (see not_json() and undocumented() of catalogue.h): no JSON, or no object. `filter`
// drops what is not wanted while the text is parsed.
Result<nlohmann::json> parse_object(std::string_view body,
                                    const nlohmann::json::parser_callback_t& filter = nullptr);

nlohmann::json* member(nlohmann::json& object, const char* key);
const nlohmann::json* member(const nlohmann::json& object, const char* key);
// May be moved out of, so that no copy of a secret stays behind.
nlohmann::json::string_t* text_member(nlohmann::json& object, const char* key);
const nlohmann::json::string_t* text_member(const nlohmann::json& object, const char* key);
std::int64_t positive_member(const nlohmann::json& object, const char* key);

}  // namespace mvr::github
