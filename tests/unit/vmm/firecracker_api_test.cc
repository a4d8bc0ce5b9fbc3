#include "vmm/firecracker_api.h"

#include "catch.h"

namespace mvr::vmm {
namespace {

constexpr const char* kInstance =
    R"({"id":"ci-abcdef","state":"Running","vmm_version":"1.16.1","app_name":"Firecracker"})";

TEST_CASE("an instance tells who it is") {
  const auto info = decode_instance(200, kInstance).value();
  CHECK(info.id == "ci-abcdef");
  CHECK(info.state == "Running");
  CHECK(info.version == "1.16.1");
}

TEST_CASE("what Firecracker does not say is refused") {
  const std::string body =
      GENERATE(as<std::string>{}, "", "null", "[]", "{", "{}", "\xff",
               R"({"id":7,"state":"Running","vmm_version":"1.16.1","app_name":"Firecracker"})",
               R"({"state":"Running","vmm_version":"1.16.1","app_name":"Firecracker"})",
               R"({"id":"a","state":"Flying","vmm_version":"1.16.1","app_name":"Firecracker"})",
               R"({"id":"a","state":"Running","vmm_version":"1.16.1","app_name":"QEMU"})");
  CHECK(decode_instance(200, body).error().code == Errc::protocol);
}

TEST_CASE("a refusal has Firecracker's reason, printable") {
  const auto refused = decode_instance(400, "{\"fault_message\":\"no such\\u001b[31m thing\"}");
  CHECK(refused.error().code == Errc::invalid);
  CHECK(refused.error().what == "Firecracker refused: no such\\x1B[31m thing");
  CHECK(decode_done(400, R"({"fault_message":"x"})").error().what == "Firecracker refused: x");
}

TEST_CASE("an error without a reason is no answer of Firecracker's") {
  const std::string body = GENERATE(as<std::string>{}, "", "[]", "{}", R"({"fault_message":1})");
  CHECK(decode_done(400, body).error().code == Errc::protocol);
  CHECK(decode_done(500, R"({"fault_message":"x"})").error().code == Errc::protocol);
}

TEST_CASE("done is 204 without a body") {
  CHECK(decode_done(204, ""));
  CHECK_FALSE(decode_done(204, "{}"));
  CHECK_FALSE(decode_done(200, ""));
}

TEST_CASE("the requests are those of the API") {
  const auto describe = describe_request();
  CHECK(describe.method + " " + describe.url + describe.body == "GET http://localhost/");
  const auto quit = quit_request();
  CHECK(quit.method + " " + quit.url == "PUT http://localhost/actions");
  CHECK(quit.headers.at("Content-Type") == "application/json");
  CHECK(quit.body == R"({"action_type":"SendCtrlAltDel"})");
}

TEST_CASE("the log tells how the VMM ended") {
  const std::string start = "2026-01-01T00:00:00.1 [ci:main] Running Firecracker v1.16.1\n";
  CHECK(end_in_log("").empty());
  CHECK(end_in_log(start).empty());
  CHECK(end_in_log(start + "2026 [ci:main] Firecracker exiting successfully. exit_code=0\n") ==
        "guest-reset");
  CHECK(end_in_log(start + "2026 [ci:main] Firecracker exiting with error. exit_code=151\n") ==
        "vmm-error 151: a file outgrew its limit");
  CHECK(end_in_log("Firecracker exiting with error. exit_code=1") ==
        "vmm-error 1: its log tells why");
}

TEST_CASE("the last end in a log counts, and only one that is whole") {
  const std::string good = "Firecracker exiting successfully. exit_code=0\n";
  CHECK(end_in_log(good + "Firecracker exiting with error. exit_code=148\n")
            .starts_with("vmm-error 148"));
  const std::string tail = GENERATE(
      as<std::string>{}, "Firecracker exiting ",
      "Firecracker exiting with error. exit_code=", "Firecracker exiting with error. exit_code=999",
      "Firecracker exiting with error. exit_code=1x", "Firecracker exiting successfully.");
  CHECK(end_in_log(good + tail).empty());
}

}  // namespace
}  // namespace mvr::vmm
