#include "vmm/accel_cache.h"

#include <array>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "sys/files.h"

namespace mvr::vmm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchema = 1;
constexpr std::size_t kMaxFile = 16U << 10U;

// The whole key is in the file as well: two keys of one hash must not share an answer.
std::string cache_path(const std::string& directory, const std::string& key) {
  std::array<unsigned char, 8> bytes{};
  std::uint64_t hash = stable_hash(key);
  for (unsigned char& byte : bytes) {
    byte = static_cast<unsigned char>(hash & 0xFFU);
    hash >>= 8U;
  }
  return directory + "/" + hex(bytes) + ".json";
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

std::string accel_key(const ProbeInput& input, const std::string& host_kernel,
                      const std::string& cpu_model) {
  return std::string(input.backend->name()) + " " + input.backend->version() + " | kernel " +
         input.kernel_id + " | " + (input.uid == 0 ? "own user" : "VM user") + " | host " +
         host_kernel + " | " + cpu_model;
}

std::string cpu_model(std::string_view cpuinfo) {
  for (const std::string_view line : split(cpuinfo, '\n')) {
    const auto colon = line.find(": ");
    if (colon == std::string_view::npos || line.substr(0, 10) != "model name") continue;
    return printable(line.substr(colon + 2), 200);
  }
  return {};
}

std::optional<ProbeResult> cached_accel(const std::string& directory, const std::string& key,
                                        const std::string& boot_id) {
  const auto text = sys::read_file(cache_path(directory, key), kMaxFile);
  if (!text) return std::nullopt;
  const Json object = Json::parse(*text, nullptr, false);
  if (!object.is_object() || object.value("schema", Json()) != kSchema) return std::nullopt;
  if (text_of(object, "key") != key) return std::nullopt;
  const std::string accel = text_of(object, "accel");
  if (accel == accel_name(Accel::kvm)) return ProbeResult{Accel::kvm, "", true};
  const std::string reason = text_of(object, "reason");
  if (accel != accel_name(Accel::tcg) || reason.empty()) return std::nullopt;
  // A failure may have had a passing cause (load, a module not loaded yet): not for ever.
  if (text_of(object, "boot_id") != boot_id) return std::nullopt;
  return ProbeResult{Accel::tcg, printable(reason), true};
}

Result<void> remember_accel(const std::string& directory, const std::string& key,
                            const std::string& boot_id, const ProbeResult& result) {
  Json object;
  object["schema"] = kSchema;
  object["key"] = key;
  object["accel"] = std::string(accel_name(result.accel));
  object["reason"] = result.reason;
  object["boot_id"] = boot_id;
  TRY(sys::make_directories(directory));
  const std::string text =
      object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  return sys::write_file_atomic(cache_path(directory, key), text, 0644);
}

}  // namespace mvr::vmm
