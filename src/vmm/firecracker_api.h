// Firecracker's control connection: HTTP over a unix socket. We ask whom we talk to, may press
// Ctrl-Alt-Del, save the machine and begin from what was saved, and read in the VMM's log how it
// ended: the API does not tell.
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
sys::HttpRequest pause_request();
sys::HttpRequest resume_request();
sys::HttpRequest save_request();
sys::HttpRequest load_request(const MachineSpec& spec);

struct InstanceInfo {
  std::string id;
  std::string state;  // "Not started", "Running", "Paused"
  std::string version;
};
// The answer to GET /. Err protocol for anything that Firecracker does not say.
Result<InstanceInfo> decode_instance(int status, std::string_view body);
// The answer to a request that only asks for something to be done. Err invalid with the reason
// that Firecracker gave for refusing, protocol for anything it does not say.
Result<void> decode_done(int status, std::string_view body);

// What the end of a VMM's log says of its end, for Monitor::end_reason(): "guest-reset",
// "vmm-error 151: a file outgrew its limit", and "" while it has not ended by itself.
std::string end_in_log(std::string_view log);

// Connects. Err not_found while there is no socket, unavailable while nobody listens. What is
// asked is asked on the loop; a VMM that is not the one expected, or breaks the protocol, is not
// spoken to any more.
Result<std::unique_ptr<Monitor>> attach_firecracker(sys::Loop& loop,
                                                    const std::string& monitor_socket, Arch arch);

}  // namespace mvr::vmm
