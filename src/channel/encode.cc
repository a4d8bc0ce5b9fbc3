// Messages to records. Strings that are not UTF-8 are encoded with replacement characters, so
// that encoding cannot fail.
#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "base/text.h"
#include "channel/message.h"

namespace mvr::channel {
namespace {

using nlohmann::json;

json object(std::string_view type) { return json{{"v", kVersion}, {"type", type}}; }

json to_json(const Configure& message) {
  json result = object("configure");
  result["hostname"] = message.hostname;
  result["user"] = message.user;
  result["env"] = json::object();
  for (const auto& [name, value] : message.env) result["env"][name] = value;
  result["workdir"] = message.workdir;
  result["profile"] = message.profile;
  result["about"] = message.about;
  result["serves_public"] = message.serves_public;
  result["serves_forks"] = message.serves_forks;
  if (!message.jit_config.empty()) result["jit_config"] = message.jit_config.expose();
  if (!message.argv.empty()) result["argv"] = message.argv;
  result["wall_ms"] = message.wall_ms;
  return result;
}

json to_json(const Identity& message) {
  json result = object("identity");
  result["words"] = message.words;
  result["mac"] = message.mac;
  result["seed"] = base64_encode(message.seed.expose());
  result["wall_ms"] = message.wall_ms;
  return result;
}

json to_json(const Sync&) { return object("sync"); }

json to_json(const Shutdown& message) {
  json result = object("shutdown");
  result["grace_ms"] = message.grace_ms;
  return result;
}

json to_json(const AuthorizeKey& message) {
  json result = object("authorize_key");
  result["user"] = message.user;
  result["public_key"] = message.public_key;
  result["lifetime_s"] = message.lifetime_s;
  return result;
}

json to_json(const Input& message) {
  json result = object("input");
  result["data"] = base64_encode(message.data);
  result["end"] = message.end;
  return result;
}

json to_json(const Notice& message) {
  json result = object("notice");
  result["text"] = message.text;
  return result;
}

json to_json(const Hold& message) {
  json result = object("hold");
  result["time_s"] = message.time_s;
  return result;
}

json to_json(const Open& message) {
  json result = object("open");
  result["stream"] = message.stream;
  result["user"] = message.user;
  result["argv"] = message.argv;
  return result;
}

json to_json(const StreamData& message) {
  json result = object("stream_data");
  result["stream"] = message.stream;
  result["data"] = base64_encode(message.data);
  result["error"] = message.error;
  return result;
}

json to_json(const StreamAck& message) {
  json result = object("stream_ack");
  result["stream"] = message.stream;
  result["bytes"] = message.bytes;
  return result;
}

json to_json(const Close& message) {
  json result = object("close");
  result["stream"] = message.stream;
  result["exit_code"] = message.exit_code;
  return result;
}

json to_json(const Usage& message) {
  json result = object("usage");
  result["memory"] = message.memory;
  result["memory_peak"] = message.memory_peak;
  result["memory_total"] = message.memory_total;
  result["disk"] = message.disk;
  result["disk_peak"] = message.disk_peak;
  result["disk_total"] = message.disk_total;
  result["cpu_ms"] = message.cpu_ms;
  result["oom_kills"] = message.oom_kills;
  result["oom_victim"] = message.oom_victim;
  result["disk_full"] = message.disk_full;
  result["network_trouble"] = message.network_trouble;
  return result;
}

json to_json(const Hello& message) {
  json result = object("hello");
  result["agent_version"] = message.agent_version;
  result["kernel"] = message.kernel;
  result["boot_ms"] = message.boot_ms;
  return result;
}

json to_json(const State& message) {
  json result = object("state");
  result["runner"] = runner_state_name(message.runner);
  result["job"] = message.job;
  result["result"] = message.result;
  if (message.exit_code) result["exit_code"] = *message.exit_code;
  return result;
}

json to_json(const Output& message) {
  json result = object("output");
  result["stream"] = message.stream;
  result["data"] = base64_encode(message.data);
  return result;
}

json to_json(const KeyAuthorized& message) {
  json result = object("key_authorized");
  result["host_key"] = message.host_key;
  return result;
}

json to_json(const Failed& message) {
  json result = object("failed");
  result["what"] = message.what;
  return result;
}

json to_json(const Actions& message) {
  json result = object("actions");
  result["used"] = json::array();
  for (const ActionRef& action : message.used) result["used"].push_back(action_text(action));
  return result;
}

template <class Message>
std::string encode_any(const Message& message) {
  const json value = std::visit([](const auto& kind) { return to_json(kind); }, message);
  std::string record = "\x1e";
  record += value.dump(-1, ' ', false, json::error_handler_t::replace);
  record += '\n';
  return record;
}

}  // namespace

std::string_view runner_state_name(RunnerState state) {
  switch (state) {
    case RunnerState::waiting:
      return "waiting";
    case RunnerState::idle:
      return "idle";
    case RunnerState::starting:
      return "starting";
    case RunnerState::listening:
      return "listening";
    case RunnerState::running:
      return "running";
    case RunnerState::exited:
      return "exited";
  }
  assert_failed("a RunnerState out of range", __FILE__, __LINE__);
}

std::string encode(const ToAgent& message) { return encode_any(message); }
std::string encode(const FromAgent& message) { return encode_any(message); }

}  // namespace mvr::channel
