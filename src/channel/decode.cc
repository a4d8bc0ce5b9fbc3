// Records to messages. Everything is checked here, so that a decoded message may be used as it
// is: fields known and complete, lengths bounded, text printable, keys well-formed.
#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "channel/message.h"

namespace mvr::channel {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 2;  // a message is an object of scalars, lists and one map
constexpr std::size_t kMaxName = 64;
constexpr std::size_t kMaxText = 4096;
constexpr std::size_t kMaxPath = 4096;
constexpr std::size_t kMaxKey = 8192;
constexpr std::size_t kMaxEntries = 1024;
constexpr std::int64_t kMaxWall = 253'402'300'799'000;        // the end of the year 9999
constexpr std::uint64_t kMaxInteger = 9'007'199'254'740'992;  // 2^53: exact in every JSON reader

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

bool is_printable(std::string_view text) { return printable(text, text.size()) == text; }

bool is_user_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= 32 && name.front() != '-' && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

bool is_variable_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && name.size() <= 256 && !(name.front() >= '0' && name.front() <= '9') &&
         std::all_of(name.begin(), name.end(), allowed);
}

// "<type> <base64>", and a comment where one is allowed: the text ends up in authorized_keys of
// the guest or known_hosts of the host.
bool is_key_line(std::string_view line, bool comment_allowed) {
  constexpr std::array<std::string_view, 7> kTypes{"ssh-ed25519",
                                                   "ssh-rsa",
                                                   "ecdsa-sha2-nistp256",
                                                   "ecdsa-sha2-nistp384",
                                                   "ecdsa-sha2-nistp521",
                                                   "sk-ssh-ed25519@openssh.com",
                                                   "sk-ecdsa-sha2-nistp256@openssh.com"};
  const auto fields = split(line, ' ');
  if (fields.size() < 2 || (fields.size() > 2 && !comment_allowed)) return false;
  const bool known = std::find(kTypes.begin(), kTypes.end(), fields[0]) != kTypes.end();
  return known && fields[1].size() >= 32 && base64_decode(fields[1]).has_value() &&
         is_printable(line);
}

// "02:6d:76:00:00:01": of one device, not of a group.
bool is_mac(std::string_view text) {
  const auto parts = split(text, ':');
  const auto is_byte = [](std::string_view part) {
    return part.size() == 2 && part.find_first_not_of("0123456789abcdef") == part.npos;
  };
  constexpr std::string_view kEven = "02468ace";
  return parts.size() == 6 && std::all_of(parts.begin(), parts.end(), is_byte) &&
         kEven.find(parts[0][1]) != kEven.npos;
}

// Reads the fields of one object. The first error sticks and every later read returns a default,
// so that a decoder is a list of reads and one finish().
class Reader {
 public:
  explicit Reader(json& object) : object_(object) {}

  [[nodiscard]] bool has(const char* name) const { return object_.contains(name); }
  std::string text(const char* name, std::size_t max) {
    json* value = field(name);
    if (value == nullptr || !value->is_string()) return reject(name, "must be a string");
    auto& content = value->get_ref<std::string&>();
    if (content.size() > max) return reject(name, "is too long");
    if (has_nul(content)) return reject(name, "holds a NUL");
    return std::move(content);
  }
  std::string shown(const char* name, std::size_t max) {
    std::string content = text(name, max);
    return is_printable(content) ? content : reject(name, "holds control characters");
  }
  std::string bytes(const char* name) {
    auto decoded = base64_decode(text(name, kMaxRecord));
    if (!decoded) return reject(name, "is not base64");
    if (decoded->size() > kMaxChunk) return reject(name, "is too long");
    return std::move(*decoded);
  }
  template <class Integer>
  Integer integer(const char* name, Integer min, Integer max) {
    const json* value = field(name);
    // Both comparisons are done in the type in which nlohmann/json holds the number.
    if (value != nullptr && value->is_number_unsigned() && max >= 0) {
      const auto number = value->get<std::uint64_t>();
      const auto low = static_cast<std::uint64_t>(std::max<Integer>(min, 0));
      if (number >= low && number <= static_cast<std::uint64_t>(max)) {
        return static_cast<Integer>(number);
      }
    }
    reject(name, "must be a number within its bounds");
    return min;
  }
  bool boolean(const char* name) {
    const json* value = field(name);
    if (value != nullptr && value->is_boolean()) return value->get<bool>();
    reject(name, "must be true or false");
    return false;
  }
  std::vector<std::string> list(const char* name) {
    json* value = field(name);
    std::vector<std::string> result;
    if (value == nullptr || !value->is_array() || value->size() > kMaxEntries) {
      reject(name, "must be a list of strings");
      return result;
    }
    for (json& entry : *value) {
      if (!entry.is_string() || has_nul(entry.get_ref<std::string&>())) {
        reject(name, "must hold strings without NUL");
        return {};
      }
      result.push_back(std::move(entry.get_ref<std::string&>()));
    }
    return result;
  }
  std::map<std::string, std::string> variables(const char* name) {
    json* value = field(name);
    std::map<std::string, std::string> result;
    if (value == nullptr || !value->is_object() || value->size() > kMaxEntries) {
      reject(name, "must be an object of strings");
      return result;
    }
    for (auto& [key, entry] : value->items()) {
      if (!is_variable_name(key) || !entry.is_string() || has_nul(entry.get_ref<std::string&>())) {
        reject(name, "must map variable names to strings without NUL");
        return {};
      }
      result.emplace(key, std::move(entry.get_ref<std::string&>()));
    }
    return result;
  }
  std::string reject(const char* name, std::string_view why) {
    if (error_.empty()) error_ = "field '" + std::string(name) + "' " + std::string(why);
    return {};
  }
  void require(bool good, const char* name, std::string_view why) {
    if (!good) reject(name, why);
  }
  // The message, unless something was wrong or a field was not asked for.
  template <class Message>
  Result<Message> finish(Message message) const {
    if (error_.empty() && used_ == object_.size()) return message;
    return fail(Errc::protocol,
                "channel: " + (error_.empty() ? std::string("unknown field") : error_));
  }

 private:
  json* field(const char* name) {
    const auto found = object_.find(name);
    if (found == object_.end()) return nullptr;
    ++used_;
    return &*found;
  }

  json& object_;
  std::size_t used_ = 2;  // "v" and "type"
  std::string error_;
};

Result<Configure> read_configure(Reader& in) {
  Configure message;
  message.hostname = in.text("hostname", 63);
  in.require(is_plain_name(message.hostname, 63), "hostname", "must be a plain name");
  message.user = in.text("user", 32);
  in.require(is_user_name(message.user), "user", "must be a user name");
  message.env = in.variables("env");
  message.workdir = in.text("workdir", kMaxPath);
  in.require(message.workdir.empty() || message.workdir.front() == '/', "workdir",
             "must be an absolute path");
  message.profile = in.text("profile", 63);
  in.require(is_plain_name(message.profile, 63), "profile", "must be a plain name");
  message.about = in.text("about", kMaxText);
  message.serves_public = in.boolean("serves_public");
  message.serves_forks = in.boolean("serves_forks");
  in.require(in.has("jit_config") != in.has("argv"), "argv", "or 'jit_config' must be given");
  if (in.has("jit_config")) {
    message.jit_config = Secret(in.text("jit_config", kMaxRecord));
    in.require(!message.jit_config.empty() && base64_decode(message.jit_config.expose()),
               "jit_config", "is not base64");
  }
  if (in.has("argv")) {
    message.argv = in.list("argv");
    in.require(!message.argv.empty() && !message.argv.front().empty(), "argv",
               "must name a program");
  }
  message.wall_ms = in.integer<std::int64_t>("wall_ms", 0, kMaxWall);
  return in.finish(std::move(message));
}

Result<Identity> read_identity(Reader& in) {
  Identity message;
  message.words = in.shown("words", kMaxText);
  message.mac = in.text("mac", kMaxName);
  in.require(message.mac.empty() || is_mac(message.mac), "mac", "must be a MAC address");
  message.seed = Secret(in.bytes("seed"));
  const std::size_t size = message.seed.expose().size();
  in.require(size >= kMinSeed && size <= kMaxSeed, "seed", "is too short or too long");
  message.wall_ms = in.integer<std::int64_t>("wall_ms", 0, kMaxWall);
  return in.finish(std::move(message));
}

Result<Shutdown> read_shutdown(Reader& in) {
  constexpr auto kMax = std::numeric_limits<std::uint32_t>::max();
  return in.finish(Shutdown{in.integer<std::uint32_t>("grace_ms", 0, kMax)});
}

Result<AuthorizeKey> read_authorize_key(Reader& in) {
  constexpr auto kMax = std::numeric_limits<std::uint32_t>::max();
  AuthorizeKey message{in.text("user", 32), in.text("public_key", kMaxKey),
                       in.integer<std::uint32_t>("lifetime_s", 1, kMax)};
  in.require(is_user_name(message.user), "user", "must be a user name");
  in.require(is_key_line(message.public_key, true), "public_key", "must be one OpenSSH key");
  return in.finish(std::move(message));
}

Result<Input> read_input(Reader& in) {
  Input message{in.bytes("data"), in.boolean("end")};
  return in.finish(std::move(message));
}

Result<Notice> read_notice(Reader& in) {
  Notice message{in.shown("text", kMaxText)};
  return in.finish(std::move(message));
}

Result<Hold> read_hold(Reader& in) {
  constexpr std::uint32_t kDay = 24 * 60 * 60;
  return in.finish(Hold{in.integer<std::uint32_t>("time_s", 1, kDay)});
}

std::uint32_t read_stream(Reader& in) {
  return in.integer<std::uint32_t>("stream", 0, std::numeric_limits<std::uint32_t>::max());
}

Result<Open> read_open(Reader& in) {
  Open message{read_stream(in), in.text("user", 32), in.list("argv")};
  in.require(is_user_name(message.user), "user", "must be a user name");
  in.require(message.argv.empty() || !message.argv.front().empty(), "argv", "must name a program");
  return in.finish(std::move(message));
}

Result<StreamData> read_stream_data(Reader& in) {
  StreamData message{read_stream(in), in.bytes("data"), in.boolean("error")};
  return in.finish(std::move(message));
}

Result<StreamAck> read_stream_ack(Reader& in) {
  constexpr auto kMost = static_cast<std::uint32_t>(kStreamWindow);
  return in.finish(StreamAck{read_stream(in), in.integer<std::uint32_t>("bytes", 1, kMost)});
}

Result<Close> read_close(Reader& in) {
  return in.finish(Close{read_stream(in), in.integer<int>("exit_code", 0, 255)});
}

Result<Usage> read_usage(Reader& in) {
  const auto number = [&in](const char* name) {
    return in.integer<std::uint64_t>(name, 0, kMaxInteger);
  };
  Usage message;
  message.memory = number("memory");
  message.memory_peak = number("memory_peak");
  message.memory_total = number("memory_total");
  message.disk = number("disk");
  message.disk_peak = number("disk_peak");
  message.disk_total = number("disk_total");
  message.cpu_ms = number("cpu_ms");
  message.oom_kills = in.integer<std::uint32_t>("oom_kills", 0, 1'000'000'000);
  message.oom_victim = in.shown("oom_victim", kMaxName);
  message.disk_full = in.boolean("disk_full");
  message.network_trouble = in.shown("network_trouble", kMaxText);
  return in.finish(std::move(message));
}

Result<Hello> read_hello(Reader& in) {
  Hello message{in.shown("agent_version", kMaxName), in.shown("kernel", 2 * kMaxName),
                in.integer<std::uint64_t>("boot_ms", 0, kMaxInteger)};
  return in.finish(std::move(message));
}

std::optional<RunnerState> runner_state(std::string_view name) {
  for (const auto state : {RunnerState::waiting, RunnerState::idle, RunnerState::starting,
                           RunnerState::listening, RunnerState::running, RunnerState::exited}) {
    if (runner_state_name(state) == name) return state;
  }
  return std::nullopt;
}

Result<State> read_state(Reader& in) {
  State message;
  const auto runner = runner_state(in.text("runner", kMaxName));
  in.require(runner.has_value(), "runner", "is no known state");
  message.runner = runner.value_or(RunnerState::idle);
  message.job = in.shown("job", kMaxText);
  message.result = in.shown("result", kMaxName);
  const bool exited = message.runner == RunnerState::exited;
  in.require(in.has("exit_code") == exited, "exit_code", "belongs to 'exited'");
  if (in.has("exit_code")) message.exit_code = in.integer<int>("exit_code", 0, 255);
  return in.finish(std::move(message));
}

Result<Output> read_output(Reader& in) {
  Output message{in.integer<int>("stream", 1, 3), in.bytes("data")};
  return in.finish(std::move(message));
}

Result<KeyAuthorized> read_key_authorized(Reader& in) {
  KeyAuthorized message{in.text("host_key", kMaxKey)};
  in.require(is_key_line(message.host_key, false), "host_key", "must be one OpenSSH key");
  return in.finish(std::move(message));
}

Result<Failed> read_failed(Reader& in) {
  Failed message{in.shown("what", kMaxText)};
  in.require(!message.what.empty(), "what", "is empty");
  return in.finish(std::move(message));
}

Result<Actions> read_actions(Reader& in) {
  Actions message;
  const std::vector<std::string> names = in.list("used");
  in.require(!names.empty() && names.size() <= kMaxActions, "used", "has none or too many");
  for (const std::string& name : names) {
    auto action = parse_action_ref(name);
    in.require(action.has_value(), "used", "must hold actions like owner/name@sha");
    if (action) message.used.push_back(std::move(*action));
  }
  return in.finish(std::move(message));
}

// Parses one object. Nesting and repeated names are refused while parsing: the library would
// follow the first into any depth and keep only the last of the second.
Result<json> parse_object(std::string_view text) {
  if (text.size() > kMaxRecord) return fail(Errc::too_large, "channel: a record is too long");
  bool good = true;
  std::array<std::set<std::string>, kMaxDepth + 1> names;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    const bool opens =
        event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    if (opens && depth >= kMaxDepth) good = false;
    if (!good) return false;
    const auto level = static_cast<std::size_t>(depth);
    if (event == json::parse_event_t::object_start) names.at(level + 1).clear();
    if (event == json::parse_event_t::key) {
      good = names.at(level).insert(value.get_ref<const std::string&>()).second;
    }
    return good;
  };
  json value = json::parse(text.begin(), text.end(), watch, false);
  if (!good || !value.is_object())
    return fail(Errc::protocol, "channel: not a JSON object of ours");
  return value;
}

// The type of a message of our version.
Result<std::string> message_type(const json& object) {
  const auto version = object.find("v");
  if (version == object.end() || !version->is_number_unsigned() || *version != kVersion) {
    return fail(Errc::protocol,
                "channel: the other side speaks another version; agent and daemon must be from "
                "one build");
  }
  const auto type = object.find("type");
  if (type == object.end() || !type->is_string()) {
    return fail(Errc::protocol, "channel: a message without 'type'");
  }
  return type->get<std::string>();
}

// Widens the result of a reader to the variant.
template <class Any, class Message>
Result<Any> widen(Result<Message> message) {
  if (!message) return fail(std::move(message).error());
  return Any{std::move(*message)};
}

tl::unexpected<Error> unknown_type(const std::string& type) {
  return fail(Errc::protocol, "channel: unknown message type '" + printable(type, kMaxName) + "'");
}

}  // namespace

Result<ToAgent> decode_to_agent(std::string_view json_text) {
  TRY_ASSIGN(json object, parse_object(json_text));
  TRY_ASSIGN(const std::string type, message_type(object));
  Reader in(object);
  if (type == "configure") return widen<ToAgent>(read_configure(in));
  if (type == "identity") return widen<ToAgent>(read_identity(in));
  if (type == "sync") return widen<ToAgent>(in.finish(Sync{}));
  if (type == "shutdown") return widen<ToAgent>(read_shutdown(in));
  if (type == "authorize_key") return widen<ToAgent>(read_authorize_key(in));
  if (type == "input") return widen<ToAgent>(read_input(in));
  if (type == "notice") return widen<ToAgent>(read_notice(in));
  if (type == "hold") return widen<ToAgent>(read_hold(in));
  if (type == "open") return widen<ToAgent>(read_open(in));
  if (type == "stream_data") return widen<ToAgent>(read_stream_data(in));
  if (type == "stream_ack") return widen<ToAgent>(read_stream_ack(in));
  if (type == "close") return widen<ToAgent>(read_close(in));
  return unknown_type(type);
}

Result<FromAgent> decode_from_agent(std::string_view json_text) {
  TRY_ASSIGN(json object, parse_object(json_text));
  TRY_ASSIGN(const std::string type, message_type(object));
  Reader in(object);
  if (type == "hello") return widen<FromAgent>(read_hello(in));
  if (type == "state") return widen<FromAgent>(read_state(in));
  if (type == "output") return widen<FromAgent>(read_output(in));
  if (type == "key_authorized") return widen<FromAgent>(read_key_authorized(in));
  if (type == "failed") return widen<FromAgent>(read_failed(in));
  if (type == "usage") return widen<FromAgent>(read_usage(in));
  if (type == "actions") return widen<FromAgent>(read_actions(in));
  if (type == "stream_data") return widen<FromAgent>(read_stream_data(in));
  if (type == "stream_ack") return widen<FromAgent>(read_stream_ack(in));
  if (type == "close") return widen<FromAgent>(read_close(in));
  return unknown_type(type);
}

}  // namespace mvr::channel
