// QMP, QEMU's control connection: one JSON object a line, in both directions. We wait for the
// greeting, say qmp_capabilities, listen for why the guest ended, and may say quit. A machine is
// saved by what QEMU calls migration, to a file that we open and hand over with the command. Its
// memory is left out of it (the capability x-ignore-shared): that is copied while the guest stands
// still, and a restored machine maps the copy, so that it reads only what it touches.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "vmm/machine.h"

namespace mvr::vmm {

struct QmpGreeting {};
struct QmpReturn {};
struct QmpError {
  std::string text;  // printable
};
struct QmpEvent {
  std::string name;    // "SHUTDOWN"
  std::string reason;  // of SHUTDOWN: "guest-reset"; "" where there is none
  std::string status;  // of MIGRATION: "completed"; likewise
};
using QmpMessage = std::variant<QmpGreeting, QmpReturn, QmpError, QmpEvent>;

// One line without its end. Err protocol for anything QMP does not say.
Result<QmpMessage> decode_qmp(std::string_view line);

// Connects; the negotiation goes on by itself on the loop. A VMM that breaks the protocol is no
// longer listened to.
Result<std::unique_ptr<Monitor>> attach_qmp(sys::Loop& loop, const std::string& socket);

}  // namespace mvr::vmm
