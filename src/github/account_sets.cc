// What scopes of scale sets ask of the REST API.
#include <algorithm>

#include "github/account.h"
#include "github/scale_set_wire.h"
#include "github/url.h"

namespace mvr::github {

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
    return groups_.find(scope, [done = std::move(done)](const Result<RunnerGroup>& group) {
      if (!group) return done(fail(group.error()));
      done(group->allows_public);
    });
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

}  // namespace mvr::github
