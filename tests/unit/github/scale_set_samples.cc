#include "scale_set_samples.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "sys/loop.h"

namespace mvr::test {
namespace {

std::string base64url(const std::string& text) {
  std::string out = base64_encode(text);
  for (char& c : out) {
    if (c == '+') c = '-';
    if (c == '/') c = '_';
  }
  while (!out.empty() && out.back() == '=') out.pop_back();
  return out;
}

}  // namespace

std::string jwt(std::int64_t exp, const std::string& name) {
  const std::string end = exp == 0 ? "" : R"(,"exp":)" + std::to_string(exp);
  return base64url(R"({"alg":"RS256"})") + "." + base64url(R"({"n":")" + name + "\"" + end + "}") +
         ".c2ln";
}

std::int64_t in_seconds(std::int64_t seconds) {
  const auto now = sys::wall_now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count() + seconds;
}

std::string connection_json(const std::string& url, const std::string& token) {
  return R"({"url":")" + url + R"(","token":")" + token + "\"}";
}

std::string set_json(std::int64_t id, const std::string& name, const std::string& labels) {
  std::string list;
  for (const auto& label : split(labels, ',')) {
    list += (list.empty() ? "" : ",") + std::string(R"({"type":"System","name":")") +
            std::string(label) + "\"}";
  }
  return R"({"id":)" + std::to_string(id) + R"(,"name":")" + name +
         R"(","runnerGroupId":1,"runnerGroupName":"Default","labels":[)" + list +
         R"(],"RunnerSetting":{"disableUpdate":true},"createdOn":"2026-11-20T10:00:00Z"})";
}

std::string statistics_json(int assigned, int running, int available) {
  return R"({"totalAvailableJobs":)" + std::to_string(available) +
         R"(,"totalAcquiredJobs":0,"totalAssignedJobs":)" + std::to_string(assigned) +
         R"(,"totalRunningJobs":)" + std::to_string(running) +
         R"(,"totalRegisteredRunners":0,"totalBusyRunners":0,"totalIdleRunners":0})";
}

std::string session_json(const std::string& queue, const std::string& token,
                         const std::string& statistics) {
  return R"({"sessionId":"0b5f1a2c-1111-2222-3333-444455556666","ownerName":"h1",)"
         R"("messageQueueUrl":")" +
         queue + R"(","messageQueueAccessToken":")" + token + R"(","statistics":)" + statistics +
         "}";
}

std::string entry_json(const std::string& type, std::int64_t request, const std::string& job,
                       const std::string& more) {
  // All of one time: jobs of two calls would be of two ages where a second ends between them.
  static const std::string queued = format_iso8601(sys::wall_now());
  return R"({"messageType":")" + type + R"(","runnerRequestId":)" + std::to_string(request) +
         R"(,"jobId":")" + job +
         R"(","repositoryName":"app","ownerName":"acme","jobDisplayName":"build )" + job +
         R"(","jobWorkflowRef":"acme/app/.github/workflows/ci.yml@refs/heads/main",)"
         R"("workflowRunId":9001,"eventName":"push","requestLabels":["mv"],)"
         R"("queueTime":")" +
         queued + "\"" + more + "}";
}

std::string message_json(std::int64_t id, const std::string& entries,
                         const std::string& statistics) {
  const std::string body = nlohmann::json("[" + entries + "]").dump();
  return R"({"messageId":)" + std::to_string(id) +
         R"(,"messageType":"RunnerScaleSetJobMessages","body":)" + body + R"(,"statistics":)" +
         statistics + "}";
}

std::string fault_json(const std::string& type, const std::string& message) {
  return R"({"typeName":"GitHub.DistributedTask.WebApi.)" + type +
         R"(, GitHub.DistributedTask.WebApi","message":")" + message + "\"}";
}

}  // namespace mvr::test
