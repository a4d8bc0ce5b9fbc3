// The token's text, out of the files it may be in. Pure; keyring.h reads them.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace mvr::github {

// True for what can go into a header: visible ASCII, of any length.
bool is_token(std::string_view text);

// The first line of `text` without what ends it. GitHub's tokens differ in length by kind and
// year; only characters that could break a header are refused. Error texts never hold the token.
Result<Secret> parse_token(std::string_view text);

// The value of GITHUB_TOKEN in KEY=VALUE lines (the last one counts; quotes around it are taken
// off; lines that are empty or start with # are skipped).
Result<Secret> parse_token_environment(std::string_view text);

}  // namespace mvr::github
