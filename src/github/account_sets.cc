// What scopes of scale sets ask of the REST API.
#include <algorithm>

#include "base/text.h"
#include "github/account.h"
#include "github/scale_set_wire.h"
#include "github/url.h"

namespace mvr::github {
namespace {

constexpr int kMostPages = 100;

Error no_group(const core::Scope& scope) {
  const std::string group = scope.runner_group.empty()
                                ? "default runner group"
                                : "runner group \"" + printable(scope.runner_group, 100) + "\"";
  return Error{Errc::not_found, scope.id() + " has no " + group +
                                    " that this token sees; check runner_group of the scope"};
}

}  // namespace

void Account::registration_token(const core::Scope& scope, Done<Secret> done) {
  ApiRequest call;
  call.method = "POST";
  call.url = registration_token_url(base_, scope);
  // GitHub asks for the same permission for both.
  call.about = CallInfo{Endpoint::generate_jit, scope.kind, request_label("POST", call.url)};
  const std::string label = call.about.label;
  transport_->send(std::move(call), [label, done = std::move(done)](Result<ApiReply> reply) {
    if (!reply) return done(fail(std::move(reply.error())));
    auto token = decode_registration_token(reply->body);
    std::fill(reply->body.begin(), reply->body.end(), '\0');
    done(context(std::move(token), label));
  });
}

void Account::is_public(const core::Scope& scope, Done<bool> done) {
  if (scope.kind != core::ScopeKind::repository) {
    return is_group_public(scope, groups_url(base_, scope), kMostPages, std::move(done));
  }
  ApiRequest call;
  call.url = repository_url(base_, scope);
  call.about = CallInfo{Endpoint::list_repositories, scope.kind, request_label("GET", call.url)};
  const std::string label = call.about.label;
  transport_->send(std::move(call), [label, done = std::move(done)](const Result<ApiReply>& reply) {
    if (!reply) return done(fail(reply.error()));
    done(context(decode_repository_openness(reply->body), label));
  });
}

// Not from the cache of pages: what is kept there of this list is without what is asked for here.
void Account::is_group_public(const core::Scope& scope, const std::string& url, int pages,
                              Done<bool> done) {
  ApiRequest call;
  call.url = url;
  call.about = CallInfo{Endpoint::list_groups, scope.kind, request_label("GET", url)};
  const std::string label = call.about.label;
  auto take = [this, scope, url, pages, label,
               done = std::move(done)](const Result<ApiReply>& reply) {
    if (!reply) return done(fail(reply.error()));
    auto is_open = decode_group_openness(reply->body, scope.runner_group);
    if (!is_open) return done(fail(with_context(is_open.error(), label)));
    if (*is_open) return done(**is_open);
    const auto next = next_of(*reply, url);
    if (!next) return done(fail(with_context(next.error(), label)));
    if (next->empty() || pages <= 1) return done(fail(no_group(scope)));
    is_group_public(scope, *next, pages - 1, done);
  };
  transport_->send(std::move(call), std::move(take));
}

}  // namespace mvr::github
