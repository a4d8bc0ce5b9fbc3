// Firecracker's control connection: HTTP over a unix socket. We ask whom we talk to, may press
// Ctrl-Alt-Del, and read in the VMM's log how it ended: the API does not tell.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "sys/http.h"
#include "vmm/firecracker_config.h"
#include "vmm/machine.h"

namespace mvr::vmm {

sys::HttpRequest describe_request();  // GET /
// On x86-64 only; the guest's kernel reboots by it, whatever runs there.
sys::HttpRequest quit_request();

struct InstanceInfo {
  std::string id;
  std::string state;  // "Not started", "Running", "Paused"
  std::string version;
};
// The answer to GET /. Err protocol for anything that Firecracker does not say.
Result<InstanceInfo> decode_instance(int status, std::string_view body);
// The end that a request without an answer's body had. Err invalid with what Firecracker refused
// it for.
Result<void> decode_done(int status, std::string_view body);

// What the end of a VMM's log says of its end, as a word for Monitor::end_reason(): "guest-reset",
// "vmm-exit-148" for an error, and "" while it has not ended by itself.
std::string end_in_log(std::string_view log);
// What an exit code of Firecracker's means; empty for those that mean nothing special.
std::string_view exit_meaning(int code);

// Connects. Err not_found while there is no socket, unavailable while nobody listens. What is
// asked is asked on the loop; a VMM that is not the one expected, or breaks the protocol, is not
// spoken to any more.
Result<std::unique_ptr<Monitor>> attach_firecracker(sys::Loop& loop,
                                                    const std::string& monitor_socket, Arch arch);

}  // namespace mvr::vmm
