#include "github/url.h"

#include "catch.h"
#include "github/client.h"

namespace mvr::github {

TEST_CASE("the API base follows from the web address") {
  struct Case {
    const char* web;
    const char* base;
  };
  const std::vector<Case> cases{
      {"https://github.com", "https://api.github.com"},
      {"https://github.com/", "https://api.github.com"},
      {"HTTPS://GitHub.com", "https://api.github.com"},
      {"https://www.github.com", "https://api.github.com"},
      {"https://acme.ghe.com", "https://api.acme.ghe.com"},
      {"https://ghe.com", "https://ghe.com/api/v3"},
      {"https://github.example.com", "https://github.example.com/api/v3"},
      {"https://github.example.com:8443", "https://github.example.com:8443/api/v3"},
      {"https://github.example.com:443", "https://github.example.com/api/v3"},
      {"https://notgithub.com", "https://notgithub.com/api/v3"},
      {"http://127.0.0.1:8080", "http://127.0.0.1:8080/api/v3"},
      {"http://localhost", "http://localhost/api/v3"},
      {"http://10.1.2.3", "http://10.1.2.3/api/v3"},
      {"http://172.31.255.1", "http://172.31.255.1/api/v3"},
      {"http://192.168.0.9:80", "http://192.168.0.9/api/v3"},
      {"http://192.0.2.7", "http://192.0.2.7/api/v3"},
      {"http://198.51.100.7", "http://198.51.100.7/api/v3"},
      {"http://203.0.113.7", "http://203.0.113.7/api/v3"},
      {"http://[::1]:3000", "http://[::1]:3000/api/v3"},
      {"http://[fd00::1]", "http://[fd00::1]/api/v3"},
      {"http://[2001:db8::5]", "http://[2001:db8::5]/api/v3"}};
  for (const Case& c : cases) {
    INFO(c.web);
    const auto base = api_base(c.web);
    REQUIRE(base);
    CHECK(*base == c.base);
  }
}

TEST_CASE("a web address that is not one is refused with what to write instead") {
  for (const char* web :
       {"", "github.com", "ftp://github.com", "https://", "https:///x", "https://a b",
        "https://user@github.com", "https://github.com:0", "https://github.com:99999",
        "https://github.com:", "https://[::1", "https://[nonsense]", "https://-x.com",
        "https://github.com/acme", "https://github.com?x=1", "https://github.com#x",
        "https://gith\xc3\xbc"
        "b.com",
        "https://api.github.com", "https://api.acme.ghe.com"}) {
    INFO(web);
    const auto base = api_base(web);
    REQUIRE_FALSE(base);
    CHECK(base.error().code == Errc::invalid);
    CHECK(base.error().what.find("write") != std::string::npos);
  }
}

TEST_CASE("plain http is refused for hosts that may be on the internet") {
  for (const char* web :
       {"http://github.com", "http://8.8.8.8", "http://172.32.0.1", "http://192.0.3.1",
        "http://127.0.0.1.example.com", "http://[2001:4860::1]", "http://localhost.example.com"}) {
    INFO(web);
    const auto base = api_base(web);
    REQUIRE_FALSE(base);
    CHECK(base.error().what.find("https") != std::string::npos);
  }
}

TEST_CASE("a Link header's next page is found among the others") {
  CHECK(next_page(R"(<https://h/a?page=2>; rel="next", <https://h/a?page=9>; rel="last")") ==
        "https://h/a?page=2");
  CHECK(next_page(R"(<https://h/a?page=1>; rel="prev", <https://h/a?x=1,2&page=3>; rel="next")") ==
        "https://h/a?x=1,2&page=3");
  CHECK(next_page(R"(<u>; title="a, b"; rel=next)") == "u");
  CHECK(next_page(R"(<u>; rel="last next")") == "u");
}

TEST_CASE("a Link header without a next page, or none at all, ends the list") {
  for (const char* link :
       {"", "<u>; rel=\"last\"", "<u>", "u; rel=next", "<u", "<u>; rel", "<u>; rev=\"next\"",
        "<u>; rel=\"nextish\"", ",,,", "<u>; =next", "<u>;;;"}) {
    INFO(link);
    CHECK(next_page(link).empty());
  }
}

TEST_CASE("a target is followed on the same origin only") {
  const std::string base = "https://api.github.com/repos/o/r";
  CHECK(*same_origin_url(base, "https://api.github.com/repositories/1/actions") ==
        "https://api.github.com/repositories/1/actions");
  CHECK(*same_origin_url(base, "https://API.github.com:443/x") == "https://API.github.com:443/x");
  CHECK(*same_origin_url(base, "/x?y=1") == "https://api.github.com/x?y=1");
  for (const char* target :
       {"https://evil.com/x", "http://api.github.com/x", "https://api.github.com:8443/x",
        "//evil.com/x", "https://api.github.com@evil.com/x", "https://api.github.com.evil.com/",
        "x", "", "javascript:x", "https://api.github.com\\@evil.com/", "/x\r\nHost: evil"}) {
    INFO(target);
    const auto url = same_origin_url(base, target);
    REQUIRE_FALSE(url);
    CHECK(url.error().code == Errc::protocol);
  }
}

TEST_CASE("requests are addressed as GitHub documents them") {
  const std::string base = "https://api.github.com";
  core::Scope repository;
  repository.owner = "acme";
  repository.repository = "app";
  core::Scope organization;
  organization.kind = core::ScopeKind::organization;
  organization.owner = "acme";
  CHECK(runs_url(base, "acme/app", "queued") ==
        "https://api.github.com/repos/acme/app/actions/"
        "runs?status=queued&per_page=100&exclude_pull_requests=true");
  CHECK(run_jobs_url(base, "acme/app", 7) ==
        "https://api.github.com/repos/acme/app/actions/runs/7/jobs?filter=latest&per_page=100");
  CHECK(repositories_url(base, "acme") ==
        "https://api.github.com/orgs/acme/repos?type=all&sort=pushed&per_page=100");
  CHECK(groups_url(base, organization) ==
        "https://api.github.com/orgs/acme/actions/runner-groups?per_page=100");
  core::Scope enterprise;
  enterprise.kind = core::ScopeKind::enterprise;
  enterprise.owner = "big-inc";
  CHECK(enterprise.id() == "enterprises/big-inc");
  CHECK(groups_url(base, enterprise) ==
        "https://api.github.com/enterprises/big-inc/actions/runner-groups?per_page=100");
  CHECK(jit_url(base, enterprise) ==
        "https://api.github.com/enterprises/big-inc/actions/runners/generate-jitconfig");
  CHECK(runners_url(base, repository) ==
        "https://api.github.com/repos/acme/app/actions/runners?per_page=100");
  CHECK(runners_url(base, organization) ==
        "https://api.github.com/orgs/acme/actions/runners?per_page=100");
  CHECK(runner_url(base, organization, 5) == "https://api.github.com/orgs/acme/actions/runners/5");
  CHECK(jit_url(base, repository) ==
        "https://api.github.com/repos/acme/app/actions/runners/generate-jitconfig");
}

TEST_CASE("names cannot leave their place in a path") {
  core::Scope scope;
  scope.owner = "a/../b";
  scope.repository = "c?d#e";
  CHECK(runners_url("https://h", scope) ==
        "https://h/repos/a%2F..%2Fb/c%3Fd%23e/actions/runners?per_page=100");
}

TEST_CASE("a repository name is owner/name in GitHub's characters") {
  CHECK(is_repository_name("acme/app"));
  CHECK(is_repository_name("A-1/x_y.z"));
  for (const char* name : {"", "acme", "acme/", "/app", "a/b/c", "a/..", "./b", "a b/c", "a/b?c"}) {
    INFO(name);
    CHECK_FALSE(is_repository_name(name));
  }
}

TEST_CASE("a request's label is method and path") {
  CHECK(request_label("GET", "https://h:1/repos/o/r?x=1") == "GET /repos/o/r");
}

}  // namespace mvr::github
