#include "github/catalogue.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/assert.h"
#include "base/text.h"

namespace mvr::github {
namespace {

using Kind = Authority::Kind;
using core::ScopeKind;

// More is no message but a page, or worse.
constexpr std::size_t kMostText = 4096;

constexpr Fit answered(Source source, int from, int to) {
  Fit fit;
  fit.source = source;
  fit.from = from;
  fit.to = to;
  return fit;
}
constexpr Fit any(Source source) {
  return answered(source, std::numeric_limits<int>::min(), std::numeric_limits<int>::max());
}
constexpr Fit rest(int status) { return answered(Source::rest, status, status); }
constexpr Fit rest(int from, int to) { return answered(Source::rest, from, to); }
constexpr Fit sets(int status) { return answered(Source::sets, status, status); }
// The service names what happened; the status beside it differs.
constexpr Fit fault(std::string_view type) { return any(Source::sets).saying(type); }
constexpr Fit lost(Errc by) {
  Fit fit = any(Source::lost);
  fit.lost_by = by;
  return fit;
}
// 403 stands for limits as well as for missing permissions.
constexpr Fit limit() {
  Fit fit = rest(403);
  fit.also = 429;
  return fit;
}

constexpr std::string_view kWaits =
    "nothing at once: mvrunner waits; a longer github.poll_interval, or a token of its own, helps";
constexpr std::string_view kRetries = "nothing: mvrunner tries again";
constexpr std::string_view kWanted = "nothing: that is what was wanted";
constexpr std::string_view kStatusPage = "see https://www.githubstatus.com; mvrunner tries again";
constexpr std::string_view kSecondary =
    "GitHub finds our requests too many at once (its secondary limit); next try {wait}";
constexpr std::string_view kSignOn = "the organisation asks for single sign-on";
constexpr std::string_view kAuthorise =
    "authorise the token for it in the token settings of GitHub";
constexpr std::string_view kMissing = "a permission is missing: {needs}{accepted}";
constexpr std::string_view kExclude =
    "leave it out (exclude of the scope), or ask the support of GitHub";
constexpr std::string_view kProxy =
    "check the address github.url, and that no proxy answers in GitHub's place";
constexpr std::string_view kReport =
    "check the address github.url and any proxy; otherwise report it with the request id";

// The first that fits counts: what is special stands before what is general.
constexpr auto kCatalogue = std::to_array<KnownAnswer>({
    {"app_clock_off", "401 for a GitHub App, and this host's clock is wrong",
     rest(401).of(Kind::app).with(Sign::clock_off), Errc::unauthorized,
     "GitHub refused the signature of the GitHub App {app}, which holds for a few minutes only: "
     "{clock}",
     "set the clock right, for example with: timedatectl set-ntp true"},
    {"app_refused", "401 for a GitHub App", rest(401).of(Kind::app), Errc::unauthorized,
     "GitHub refused the signature of the GitHub App {app}",
     "check that app.id is its id and that the key in {place} is still among its private keys"},
    {"installation_token_refused", "401 for a token that a GitHub App has just got",
     rest(401).of(Kind::installation), Errc::unauthorized,
     "GitHub refused a fresh token of the GitHub App {app}",
     "see whether its installation was removed or suspended: the GitHub Apps in the account's "
     "settings"},
    {"token_refused", "401 for a token", rest(401), Errc::unauthorized,
     "GitHub refused the token: it is wrong, expired or revoked", "put a valid one into {place}"},

    {"secondary_limit_told", "403 or 429, \"secondary rate limit\", with Retry-After",
     limit().with(Sign::retry_after).saying("secondary rate|abuse detection"), Errc::rate_limited,
     kSecondary, kWaits},
    {"pause_told", "403 or 429 with Retry-After", limit().with(Sign::retry_after),
     Errc::rate_limited, "GitHub limits our requests; next try {wait}", kWaits},
    {"budget_used_up", "403 or 429 with X-RateLimit-Remaining: 0",
     limit().with(Sign::budget_used_up), Errc::rate_limited,
     "GitHub limits our requests: those of this hour are used up; next try {wait}",
     "a longer github.poll_interval, or a token of its own, helps"},
    {"secondary_limit", "403 or 429, \"secondary rate limit\"",
     limit().saying("secondary rate|abuse detection"), Errc::rate_limited, kSecondary, kWaits},
    {"rate_limited", "403, \"rate limit\"", rest(403).saying("rate limit"), Errc::rate_limited,
     "GitHub limits our requests; next try {wait}", kWaits},
    {"too_many_requests", "429", rest(429), Errc::rate_limited,
     "GitHub limits our requests; next try {wait}", kWaits},

    {"single_sign_on", "403 with X-GitHub-SSO", rest(403).with(Sign::single_sign_on), Errc::denied,
     kSignOn, kAuthorise},
    {"saml_enforced", "403, \"SAML\"", rest(403).saying("saml"), Errc::denied, kSignOn, kAuthorise},
    {"address_not_allowed", "403, \"IP allow list\" or \"IP address\"",
     rest(403).saying("ip allow list|ip address"), Errc::denied,
     "the account's IP allow list does not have this host's address",
     "add the public address of this host to the list in the account's settings"},
    {"user_agent_refused", "403, \"User-Agent\" or \"administrative rules\"",
     rest(403).saying("user-agent|administrative rules"), Errc::denied,
     "the request was refused before GitHub looked at the token: its header User-Agent was lost",
     "let the proxy pass User-Agent on, or go round it for GitHub (no_proxy)"},
    {"token_kind_forbidden", "403, \"forbids access via\"", rest(403).saying("forbids access via"),
     Errc::denied,
     "the organisation or enterprise forbids tokens of this kind, or ones that live so long",
     "use a kind and a lifetime it allows, or a GitHub App"},
    {"repository_blocked", "403, \"access blocked\"", rest(403).saying("access blocked"),
     Errc::denied, "GitHub has blocked the repository", kExclude},
    {"repository_read_only", "403, \"archived\" or \"locked\"",
     rest(403).saying("archived|been locked|is locked"), Errc::denied,
     "the repository is archived or locked", "unlock it, or leave it out (exclude of the scope)"},
    {"actions_off", "403, \"Actions is disabled\"",
     rest(403).saying("actions is disabled|actions are disabled|actions has been disabled|"
                      "actions have been disabled|runners are disabled"),
     Errc::denied, "Actions or self-hosted runners are switched off there",
     "allow them in the Actions settings of the repository or organisation"},
    {"installation_suspended", "403 for a GitHub App, \"installation has been suspended\"",
     rest(403).saying("installation has been suspended|installation is suspended"), Errc::denied,
     "the installation of the GitHub App {app} is suspended",
     "unsuspend it: the GitHub Apps in the account's settings"},
    {"installation_gives_none", "403 when a GitHub App asks for a token",
     rest(403).at(Endpoint::create_token), Errc::denied,
     "the installation of the GitHub App {app} gives no tokens: was it suspended?",
     "see the GitHub Apps in the account's settings"},
    {"account_suspended", "403, \"suspended\"", rest(403).saying("suspended"), Errc::denied,
     "the account of the token or the GitHub App is suspended",
     "ask the account's owner, or the support of GitHub"},
    {"not_an_administrator", "403, \"Must have admin rights\"",
     rest(403).of(Kind::token).saying("must have admin|must be an org|must be an owner"),
     Errc::denied, "the token's owner is no administrator there: {needs}{accepted}",
     "let an administrator make the token, or use a GitHub App"},
    {"token_not_granted", "403, \"Resource not accessible by personal access token\"",
     rest(403).of(Kind::token).saying("not accessible by personal access token"), Errc::denied,
     kMissing,
     "grant it in the token settings of GitHub, where the token's resource owner must be the "
     "scope's account, which may have to approve the token"},
    {"app_not_granted", "403 for a GitHub App, \"Resource not accessible by integration\"",
     rest(403).saying("not accessible by integration"), Errc::denied, kMissing,
     "grant it in the App's settings, accept it in the account where the App is installed, and let "
     "the App see the repository"},
    {"token_denied", "403 for a token", rest(403).of(Kind::token), Errc::denied, kMissing,
     "grant it in the token settings of GitHub, or put another token into {place}"},
    {"app_denied", "403 for a GitHub App", rest(403), Errc::denied, kMissing,
     "grant it in the App's settings, and accept it in the account where the App is installed"},

    {"app_not_installed", "404 when a GitHub App looks for its installation",
     rest(404).at(Endpoint::find_installation), Errc::not_found,
     "the GitHub App {app} is not installed there",
     "check the scope's spelling, install the App in the account, and let it see the repository"},
    {"installation_gone", "404 when a GitHub App asks for a token",
     rest(404).at(Endpoint::create_token), Errc::not_found,
     "the GitHub App {app} has no such installation",
     "check app.installation, or leave it out to have it looked up"},
    {"runner_gone", "404 when a runner is deleted", rest(404).at(Endpoint::delete_runner),
     Errc::not_found, "there is no such runner any more", kWanted},
    {"release_unknown", "404 when the end of a runner release is asked for",
     rest(404).at(Endpoint::runner_release), Errc::not_found,
     "this GitHub does not say when it stops taking a runner release",
     "nothing: it is asked again after a day"},
    {"groups_not_found", "404 when runner groups are listed", rest(404).at(Endpoint::list_groups),
     Errc::not_found, "its runner groups are not there, or out of sight: {needs}",
     "check the scope's spelling and runner_group, and grant what is missing"},
    {"repository_not_found", "404 when runs or jobs are listed",
     rest(404).at(Endpoint::list_runs, Endpoint::list_jobs), Errc::not_found,
     "there is no such repository, or it is out of sight: {needs}",
     "check the scope's spelling, and let the token or the App see the repository"},
    {"enterprise_not_found", "404 in an enterprise", rest(404).in(ScopeKind::enterprise),
     Errc::not_found, "there is no such enterprise, or it is out of sight: {needs}",
     "check the scope's spelling, and let an owner of the enterprise make the token"},
    {"organization_not_found", "404 in an organisation", rest(404).in(ScopeKind::organization),
     Errc::not_found, "there is no such organisation, or it is out of sight: {needs}",
     "check the scope's spelling, and grant what is missing"},
    {"not_found", "404 in a repository", rest(404), Errc::not_found,
     "there is no such thing, or it is out of sight: {needs}",
     "check the scope's spelling, and let the token or the App see the repository"},

    {"name_taken", "409 when a runner is registered", rest(409).at(Endpoint::generate_jit),
     Errc::exists, "the name is taken", "nothing: mvrunner tries again with a fresh one"},
    {"conflict", "409", rest(409), Errc::exists,
     "it is there already, or is being changed at this moment", kRetries},
    {"api_version_gone", "410, \"version\"", rest(410).saying("version"), Errc::unsupported,
     "GitHub gave up the version of its API that this mvrunner uses", "update mvrunner"},
    {"gone", "410", rest(410), Errc::unsupported,
     "GitHub gave up the version of its API that this mvrunner uses, or Actions are off here",
     "update mvrunner, or allow Actions there"},
    {"api_version_refused", "400, \"API version\"",
     rest(400).saying("api version|api-version|not a supported version"), Errc::unsupported,
     "GitHub does not know the version of its API that this mvrunner uses",
     "update mvrunner; a GitHub server that is too old must be updated itself"},
    {"bad_request", "400", rest(400), Errc::protocol, "GitHub cannot read the request", kReport},
    {"media_type_refused", "415", rest(415), Errc::protocol,
     "GitHub does not take the form of the request", kReport},
    {"runner_busy", "422 when a runner is deleted", rest(422).at(Endpoint::delete_runner),
     Errc::busy, "the runner runs a job", "nothing: mvrunner tries again later"},
    {"group_refused", "422 when a runner is registered, \"group\"",
     rest(422).at(Endpoint::generate_jit).saying("group"), Errc::invalid,
     "GitHub refused the runner's group", "check runner_group of the scope"},
    {"labels_refused", "422 when a runner is registered, \"label\"",
     rest(422).at(Endpoint::generate_jit).saying("label"), Errc::invalid,
     "GitHub refused the runner's labels", "check labels of the profile and github.extra_labels"},
    {"runner_refused", "422 when a runner is registered", rest(422).at(Endpoint::generate_jit),
     Errc::invalid, "GitHub refused the runner's settings",
     "check its labels and its runner group"},
    {"app_token_refused", "422 when a GitHub App asks for a token",
     rest(422).at(Endpoint::create_token), Errc::invalid,
     "the GitHub App {app} asked for more than it was granted",
     "accept its permissions in the account where it is installed"},
    {"parameters_refused", "422", rest(422), Errc::invalid,
     "GitHub refused the request's parameters", "check the names in the scope"},
    {"repository_locked", "423", rest(423), Errc::denied, "the repository is locked",
     "wait until its move has ended, or leave it out (exclude of the scope)"},
    {"blocked_by_law", "451", rest(451), Errc::denied,
     "GitHub has blocked the repository for legal reasons", kExclude},

    {"maintenance", "503, \"maintenance\"", rest(503).saying("maintenance"), Errc::unavailable,
     "the GitHub server is under maintenance", "nothing: mvrunner tries again, jobs go on"},
    {"github_fails", "500 and above", rest(500, 599), Errc::unavailable,
     "GitHub fails at the moment", kStatusPage},
    {"unchanged", "304 for what was not asked before", rest(304), Errc::protocol,
     "GitHub says that nothing has changed, and nothing is known from before", kProxy},
    {"redirect", "301, 302, 307 or 308 elsewhere, or too many of them", rest(300, 308),
     Errc::protocol,
     "too many redirects, or one that would change host or method; was the repository renamed?",
     "write its present name in the scope; check github.url, and that no proxy asks for a login"},
    {"unknown", "any other status", any(Source::rest), Errc::protocol,
     "an answer mvrunner does not expect", kReport},

    {"set_name_taken", "scale sets: AgentExistsException", fault("agentexistsexception"),
     Errc::exists, "the name is taken", "nothing: mvrunner tries again with a fresh one"},
    {"set_runner_gone", "scale sets: AgentNotFoundException", fault("agentnotfoundexception"),
     Errc::not_found, "there is no such runner", kWanted},
    {"set_runner_busy", "scale sets: JobStillRunningException", fault("jobstillrunningexception"),
     Errc::busy, "the runner runs a job", "nothing: mvrunner tries again later"},
    {"set_session_taken", "scale sets: RunnerScaleSetSessionConflictException",
     fault("runnerscalesetsessionconflictexception"), Errc::busy,
     "another host holds the scale set, or this one did a minute ago: a set serves one host",
     "wait a few minutes; two hosts need a runner group each (runner_group of the scope)"},
    {"set_request_refused", "scale sets: 400", sets(400), Errc::invalid,
     "GitHub refused the request", "check labels and runner group"},
    {"set_settings_refused", "scale sets: 422", sets(422), Errc::invalid,
     "GitHub refused the settings", "check labels and runner group"},
    {"set_unauthorized", "scale sets: 401", sets(401), Errc::unauthorized,
     "GitHub took back what it had given for this",
     "nothing: mvrunner registers again; where it stays so, check the scope's credentials"},
    {"set_denied", "scale sets: 403", sets(403), Errc::denied,
     "the credentials may not manage runner scale sets",
     "grant \"Self-hosted runners: write\" (of a repository: \"Administration: write\"); "
     "`discovery: poll` does without scale sets"},
    {"set_not_found", "scale sets: 404", sets(404), Errc::not_found,
     "there is no such scale set, session or group (any more)",
     "nothing: mvrunner makes it anew; where it stays so, check runner_group of the scope"},
    {"set_conflict", "scale sets: 409", sets(409), Errc::exists, "it is there already", kRetries},
    {"set_limited", "scale sets: 429", sets(429), Errc::rate_limited, "GitHub limits our requests",
     "nothing: mvrunner waits"},
    {"set_service_fails", "scale sets: 500 and above", answered(Source::sets, 500, 599),
     Errc::unavailable, "GitHub fails at the moment", kStatusPage},
    {"set_unknown", "scale sets: any other answer", any(Source::sets), Errc::protocol,
     "an answer mvrunner does not expect",
     "`discovery: poll` helps; report it with the request id"},

    {"timed_out", "no answer in time", lost(Errc::timed_out), Errc::timed_out,
     "GitHub did not answer in time",
     "check network, proxy and firewall, and https://www.githubstatus.com; mvrunner tries again"},
    {"too_large", "an answer longer than mvrunner reads", lost(Errc::too_large), Errc::too_large,
     "the answer is longer than any of GitHub", kProxy},
    {"proxy_fails", "no connection through the proxy",
     lost(Errc::unavailable).saying("resolve proxy|proxy connect|from proxy"), Errc::unavailable,
     "the proxy does not connect", "check https_proxy and no_proxy of the service"},
    {"no_such_host", "no address for the host's name",
     lost(Errc::unavailable).saying("could not resolve|couldn't resolve|resolving timed out"),
     Errc::unavailable, "the host's name has no address",
     "check github.url, and the DNS of this host"},
    {"not_trusted", "no TLS connection",
     lost(Errc::unavailable).saying("certificate|ssl_|ssl:|openssl|gnutls|tls connect|tls alert"),
     Errc::unavailable, "there is no TLS connection, or its certificate is not trusted",
     "install the certificate authority of the server or proxy (update-ca-certificates), and check "
     "this host's clock"},
    {"no_connection", "no connection",
     lost(Errc::unavailable)
         .saying("refused|failed to connect|couldn't connect|could not connect|no route|"
                 "unreachable"),
     Errc::unavailable, "nobody answers at the address",
     "check github.url, the network and the firewall"},
    {"connection_lost", "a connection that broke", lost(Errc::unavailable), Errc::unavailable,
     "the connection broke", "check the network and https://www.githubstatus.com"},

    {"not_json", "an answer that is no JSON", any(Source::unreadable).saying("not json"),
     Errc::protocol, "the answer is not JSON", kProxy},
    {"not_documented", "an answer that is other JSON", any(Source::unreadable), Errc::protocol,
     "the answer is not what GitHub documents", "update mvrunner; otherwise report it"},
});

bool has_sign(const Answer& answer, Sign sign) {
  switch (sign) {
    case Sign::none:
      return true;
    case Sign::clock_off:
      return answer.is_clock_off;
    case Sign::retry_after:
      return answer.has_retry_after;
    case Sign::budget_used_up:
      return answer.is_budget_used_up;
    case Sign::single_sign_on:
      return answer.asks_for_sign_on;
  }
  return false;
}

bool says_one(std::string_view text, std::string_view words) {
  if (words.empty()) return true;
  const auto said = split(words, '|');
  return std::ranges::any_of(
      said, [&](std::string_view each) { return text.find(each) != std::string_view::npos; });
}

bool fits(const Fit& fit, const Answer& answer, std::string_view text) {
  const bool has_status = (answer.status >= fit.from && answer.status <= fit.to) ||
                          (fit.also != 0 && answer.status == fit.also);
  const unsigned endpoint = 1U << static_cast<unsigned>(answer.endpoint);
  return fit.source == answer.source && has_status &&
         (fit.source != Source::lost || fit.lost_by == answer.code) &&
         (fit.endpoints == 0 || (fit.endpoints & endpoint) != 0) &&
         fit.asker.value_or(answer.asker) == answer.asker &&
         fit.scope.value_or(answer.scope) == answer.scope && has_sign(answer, fit.sign) &&
         says_one(text, fit.words);
}

Error unreadable(std::string_view id, std::string_view why) {
  const KnownAnswer& known = known_answer(id);
  std::string text = std::string(known.meaning) + ": " + std::string(why);
  return Error{known.code, std::move(text), std::string(known.remedy)};
}

}  // namespace

std::span<const KnownAnswer> catalogue() { return kCatalogue; }

const KnownAnswer* find_known(const Answer& answer) {
  const std::string text = ascii_lower(std::string_view(answer.text).substr(0, kMostText));
  const auto found = std::ranges::find_if(
      kCatalogue, [&](const KnownAnswer& each) { return fits(each.fit, answer, text); });
  return found == kCatalogue.end() ? nullptr : &*found;
}

const KnownAnswer& known_answer(std::string_view id) {
  const auto* found = std::ranges::find(kCatalogue, id, &KnownAnswer::id);
  MVR_ASSERT(found != kCatalogue.end());
  return *found;
}

std::string fill(std::string_view text, const Values& values) {
  std::string filled;
  while (!text.empty()) {
    const std::size_t open = std::min(text.find('{'), text.size());
    filled += text.substr(0, open);
    text.remove_prefix(open);
    const std::size_t close = text.find('}');
    if (close == std::string_view::npos) return filled += text;
    const auto value = values.find(text.substr(1, close - 1));
    filled += value == values.end() ? text.substr(0, close + 1) : std::string_view(value->second);
    text.remove_prefix(close + 1);
  }
  return filled;
}

Error known_error(const KnownAnswer& known, std::string_view about, const Values& values) {
  std::string text = std::string(about) + ": " + fill(known.meaning, values);
  text += " [" + std::string(known.id) + "]";
  return Error{known.code, std::move(text), fill(known.remedy, values)};
}

Error not_json(std::string_view why) { return unreadable("not_json", why); }
Error undocumented(std::string_view why) { return unreadable("not_documented", why); }

Error explain_loss(Error error) {
  Answer answer;
  answer.source = Source::lost;
  answer.code = error.code;
  answer.text = error.what;
  const KnownAnswer* known = find_known(answer);
  if (known == nullptr || !error.remedy.empty()) return error;
  error.what += " [" + std::string(known->id) + "]";
  error.remedy = known->remedy;
  return error;
}

}  // namespace mvr::github
