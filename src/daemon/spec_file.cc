#include "daemon/spec_file.h"

#include <nlohmann/json.hpp>

namespace mvr::daemon {
namespace {

using nlohmann::json;

std::int64_t to_ms(Instant time) { return time.time_since_epoch().count(); }
Instant from_ms(std::int64_t ms) { return Instant{Duration{ms}}; }

// Reads typed fields and remembers the first one that is missing or of another type.
class Reader {
 public:
  explicit Reader(const json& object) : object_(object) {}

  template <class T>
  T get(const char* name) {
    const auto it = object_.find(name);
    if (it == object_.end() || !matches<T>(*it)) {
      if (missing_.empty()) missing_ = name;
      return T{};
    }
    return it->template get<T>();
  }
  [[nodiscard]] const std::string& missing() const { return missing_; }

 private:
  template <class T>
  static bool matches(const json& value) {
    if constexpr (std::is_same_v<T, std::string>) return value.is_string();
    if constexpr (std::is_same_v<T, bool>) return value.is_boolean();
    if constexpr (std::is_unsigned_v<T>) return value.is_number_unsigned();
    return value.is_number_integer();
  }
  const json& object_;
  std::string missing_;
};

Result<core::Egress> egress_of(const json& object) {
  const auto invalid = [] { return fail(Errc::protocol, "spec.json: unknown egress"); };
  core::Egress egress;
  const json word = object.value("egress", json());
  const auto mode = word.is_string() ? core::parse_egress(word.get<std::string>()) : std::nullopt;
  if (!mode) return invalid();
  egress.mode = *mode;
  const json names = object.value("egress_names", json());
  if (!names.is_array()) return invalid();
  for (const json& name : names) {
    if (!name.is_string() || !core::is_egress_name(name.get<std::string>())) return invalid();
    egress.names.push_back(name.get<std::string>());
  }
  return egress;
}

}  // namespace

std::string encode_spec(const core::SavedVm& saved) {
  const core::Vm& vm = saved.vm;
  json out = {
      {"version", kSpecVersion},
      {"boot_id", saved.boot_id},
      {"pid", saved.pid},
      {"start_time", saved.start_time},
      {"slot", vm.slot},
      {"name", vm.name},
      {"profile", vm.profile},
      {"scope", vm.scope},
      {"memory", vm.size.memory.value},
      {"vcpus", vm.size.vcpus},
      {"disk", vm.size.disk.value},
      {"boot_limit_ms", vm.limits.boot.count()},
      {"listen_limit_ms", vm.limits.listen.count()},
      {"job_limit_ms", vm.limits.job.count()},
      {"origin", vm.origin},
      {"repository", vm.repository},
      {"workflow", vm.workflow},
      {"warned", vm.warned},
      {"expected_ms", vm.expected.count()},
      {"phase", core::phase_name(vm.phase)},
      {"since_ms", to_ms(vm.since)},
      {"created_ms", to_ms(vm.created)},
      {"job", vm.job},
      {"result", vm.result},
      {"cause", core::cause_name(vm.cause)},
      {"cause_text", vm.cause_text},
      {"runner_id", vm.runner ? vm.runner->id : 0},
      {"runner_name", vm.runner ? vm.runner->name : std::string()},
  };
  if (vm.exit_code) out["exit_code"] = *vm.exit_code;
  if (vm.run != 0) out["run"] = vm.run;
  if (vm.trouble != core::EndCause::none) {
    out["trouble"] = core::cause_name(vm.trouble);
    out["trouble_text"] = vm.trouble_text;
  }
  if (vm.egress != core::Egress{}) {
    out["egress"] = core::egress_word(vm.egress.mode);
    out["egress_names"] = vm.egress.names;
  }
  if (vm.hold > Duration{0}) out["hold_ms"] = vm.hold.count();
  if (vm.held_until) out["held_until_ms"] = to_ms(*vm.held_until);
  if (vm.queued) out["queued_ms"] = vm.queued->time_since_epoch().count();
  return out.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<core::SavedVm> decode_spec(std::string_view text) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return fail(Errc::protocol, "spec.json: not a JSON object");
  Reader read(object);
  if (read.get<int>("version") != kSpecVersion) {
    return fail(Errc::protocol, "spec.json: not version " + std::to_string(kSpecVersion));
  }
  core::SavedVm saved;
  saved.boot_id = read.get<std::string>("boot_id");
  saved.pid = read.get<std::int32_t>("pid");
  saved.start_time = read.get<std::uint64_t>("start_time");
  core::Vm& vm = saved.vm;
  vm.slot = read.get<std::uint32_t>("slot");
  vm.name = read.get<std::string>("name");
  vm.profile = read.get<std::string>("profile");
  vm.scope = read.get<std::string>("scope");
  vm.size =
      core::Resources{Bytes{read.get<std::uint64_t>("memory")}, read.get<std::uint32_t>("vcpus"),
                      Bytes{read.get<std::uint64_t>("disk")}};
  vm.limits = core::Limits{Duration{read.get<std::int64_t>("boot_limit_ms")},
                           Duration{read.get<std::int64_t>("listen_limit_ms")},
                           Duration{read.get<std::int64_t>("job_limit_ms")}};
  vm.origin = read.get<std::string>("origin");
  vm.repository = read.get<std::string>("repository");
  vm.workflow = read.get<std::string>("workflow");
  vm.warned = read.get<bool>("warned");
  vm.expected = Duration{read.get<std::int64_t>("expected_ms")};
  const auto phase = core::parse_phase(read.get<std::string>("phase"));
  const auto cause = core::parse_cause(read.get<std::string>("cause"));
  if (!phase || !cause) return fail(Errc::protocol, "spec.json: unknown phase or cause");
  vm.phase = *phase;
  vm.cause = *cause;
  vm.since = from_ms(read.get<std::int64_t>("since_ms"));
  vm.created = from_ms(read.get<std::int64_t>("created_ms"));
  vm.job = read.get<std::string>("job");
  vm.result = read.get<std::string>("result");
  vm.cause_text = read.get<std::string>("cause_text");
  if (object.contains("exit_code")) vm.exit_code = read.get<int>("exit_code");
  if (object.contains("run")) vm.run = read.get<std::int64_t>("run");
  if (object.contains("queued_ms")) {
    vm.queued = WallTime{Duration{read.get<std::int64_t>("queued_ms")}};
  }
  if (object.contains("trouble")) {
    const auto trouble = core::parse_cause(read.get<std::string>("trouble"));
    if (!trouble) return fail(Errc::protocol, "spec.json: unknown trouble");
    vm.trouble = *trouble;
    vm.trouble_text = read.get<std::string>("trouble_text");
  }
  if (object.contains("egress")) {
    TRY_ASSIGN(vm.egress, egress_of(object));
  }
  if (object.contains("hold_ms")) vm.hold = Duration{read.get<std::int64_t>("hold_ms")};
  if (object.contains("held_until_ms")) {
    vm.held_until = from_ms(read.get<std::int64_t>("held_until_ms"));
  }
  core::Runner runner{read.get<std::int64_t>("runner_id"), read.get<std::string>("runner_name")};
  if (!runner.name.empty()) vm.runner = std::move(runner);
  if (!read.missing().empty()) {
    return fail(Errc::protocol,
                "spec.json: field '" + read.missing() + "' is missing or of the wrong type");
  }
  return saved;
}

}  // namespace mvr::daemon
