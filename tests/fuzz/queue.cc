// Any bytes as an answer or message of the service behind scale sets.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/text.h"
#include "github/scale_set_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

bool is_printable(const std::string& text) { return mvr::printable(text, text.size()) == text; }

void check_queue_message(std::string_view body) {
  const auto message = mvr::github::decode_queue_message(body);
  if (!message) return;
  MVR_ASSERT(message->id > 0);
  for (const auto& entry : message->jobs) {
    MVR_ASSERT(entry.job.id > 0);
    MVR_ASSERT(entry.request >= 0);
    MVR_ASSERT(is_printable(entry.job.name));
    MVR_ASSERT(is_printable(entry.job.workflow));
    for (const std::string& label : entry.job.labels) MVR_ASSERT(is_printable(label));
  }
}

void check_scale_sets(std::string_view body) {
  check_queue_message(body);
  (void)mvr::github::decode_registration_token(body);  // whatever they answer: they ended
  (void)mvr::github::decode_scale_sets(body);
  (void)mvr::github::decode_group_id(body, "x");
  (void)mvr::github::decode_set_jit(body);
  (void)mvr::github::jwt_expiry(body);
  for (const bool may_be_plain : {false, true}) {
    const auto connection = mvr::github::decode_admin_connection(body, may_be_plain);
    if (connection) MVR_ASSERT(connection->url.starts_with("http"));
    const auto session = mvr::github::decode_session(body, may_be_plain);
    if (session) MVR_ASSERT(!session->token.empty());
  }
  MVR_ASSERT(is_printable(mvr::github::explain_service(409, {}, body, "x").what));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): libFuzzer's bytes as text
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check_scale_sets(body);
  return 0;
}
