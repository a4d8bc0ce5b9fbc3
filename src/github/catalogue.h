// The answers of GitHub mvrunner knows, each with what it means and what helps. Pure.
// mvrunner-github(7) is this table; the ids are an interface.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "core/config.h"
#include "github/errors.h"

namespace mvr::github {

// Who gave the answer: the REST API; the service of runner scale sets; nobody, since the request
// was lost; mvrunner, which cannot read what came.
enum class Source { rest, sets, lost, unreadable };

// What headers and clocks say beside the status.
enum class Sign { none, clock_off, retry_after, budget_used_up, single_sign_on };

// Which answers an entry is about: those for which everything that is set holds.
struct Fit {
  Source source = Source::rest;
  int from = 0;  // status, both ends included
  int to = 0;
  int also = 0;                      // another status
  Errc lost_by = Errc::unavailable;  // of Source::lost
  unsigned endpoints = 0;            // bits; none: any endpoint
  std::optional<Authority::Kind> asker{};
  std::optional<core::ScopeKind> scope{};
  Sign sign = Sign::none;
  std::string_view words{};  // in lower case, alternatives parted by '|': one of them is said

  template <class... Endpoints>
  [[nodiscard]] constexpr Fit at(Endpoints... each) const {
    Fit fit = *this;
    fit.endpoints = (0U | ... | (1U << static_cast<unsigned>(each)));
    return fit;
  }
  [[nodiscard]] constexpr Fit of(Authority::Kind kind) const {
    Fit fit = *this;
    fit.asker = kind;
    return fit;
  }
  [[nodiscard]] constexpr Fit in(core::ScopeKind kind) const {
    Fit fit = *this;
    fit.scope = kind;
    return fit;
  }
  [[nodiscard]] constexpr Fit with(Sign seen) const {
    Fit fit = *this;
    fit.sign = seen;
    return fit;
  }
  [[nodiscard]] constexpr Fit saying(std::string_view said) const {
    Fit fit = *this;
    fit.words = said;
    return fit;
  }
};

struct KnownAnswer {
  std::string_view id;
  std::string_view when;  // for people: "401 for a token"
  Fit fit;
  Errc code = Errc::protocol;
  std::string_view meaning;  // one line; words in braces are filled in, see fill()
  std::string_view remedy;   // likewise
};

// What came.
struct Answer {
  Source source = Source::rest;
  int status = 0;
  Errc code = Errc::protocol;  // of a request that was lost
  Endpoint endpoint = Endpoint::list_runs;
  Authority::Kind asker = Authority::Kind::token;
  core::ScopeKind scope = core::ScopeKind::repository;
  bool is_clock_off = false;
  bool has_retry_after = false;
  bool is_budget_used_up = false;
  bool asks_for_sign_on = false;
  std::string text;  // whatever says what happened; of any size
};

std::span<const KnownAnswer> catalogue();
// The first entry that fits; for any answer of GitHub there is one.
const KnownAnswer* find_known(const Answer& answer);
const KnownAnswer& known_answer(std::string_view id);  // one that exists

// "{app}" and the like replaced; names without a value stay as they are.
using Values = std::map<std::string_view, std::string>;
std::string fill(std::string_view text, const Values& values);

// An error of ours about an answer: "about: the entry's meaning [id]", with its remedy.
Error known_error(const KnownAnswer& known, std::string_view about, const Values& values = {});
// Of an answer with a good status: it is no JSON, or not as GitHub documents it.
Error not_json(std::string_view why);
Error undocumented(std::string_view why);
// Adds what helps to the error of a request that got no answer.
Error explain_loss(Error error);

}  // namespace mvr::github
