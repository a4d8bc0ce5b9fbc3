// Firecracker's jailer: its arguments, and the directory that becomes the VMM's root.
//
//   <VM's directory>/firecracker.log        the VMM's log, under a name that is ours
//   <VM's directory>/<program>/<id>/root/   "/" of the VMM; the jailer gives it to the VM's user
//     vm.json, kernel, initramfs            ours, read-only; hard links wherever there is a file
//     state.machine, state.memory           instead, where the VM begins from a saved state
//     drive-base, drive-tools, ...          likewise
//     drive-scratch                         a hard link; the file is the VM's user's
//     run/vsock.sock_1024                   a hard link to the agent's socket, on which we listen
//     run/api.sock                          made by Firecracker
//     run/state.machine, run/state.memory   likewise, until take_state() has taken them away
//
// Once the VMM runs, whoever takes it over can put anything in place of anything below root/. So
// we go there only in ways that pass no link and leave the directory by none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "vmm/machine.h"

namespace mvr::vmm {

// Absolute paths without links: the jailer names directories by what a link points to.
struct JailPrograms {
  std::string jailer;
  std::string firecracker;
};

struct Jail {
  std::string id;         // the machine's name
  std::string directory;  // all of the jail is below it
  std::string root;
  std::string log;
};
// Err invalid for a name that is no id (letters, digits and '-', at most 64), and for a machine
// without a user of its own or with a tap in no namespace.
Result<Jail> jail_of(const MachineSpec& spec, const std::string& firecracker);

// No daemon, no PID namespace: the jailer becomes the VMM, so that the process we start is the
// VMM's. No cgroup: the process is born in it.
std::vector<std::string> jailer_arguments(const MachineSpec& spec, const JailPrograms& programs,
                                          const Jail& jail);

// Makes the jail in place of what an earlier launch may have left: `config` is the document,
// spec.agent_socket is there, and spec.monitor_socket becomes a link to the API's socket. Err
// invalid when the VM's user could write a file it shares, or could not use its own.
Result<void> make_jail(const Jail& jail, const MachineSpec& spec, std::string_view config);
// Absent is ok. Keeps spec.agent_socket: its listener removes it.
Result<void> remove_jail(const Jail& jail, const MachineSpec& spec);

// Puts what listens at spec.agent_socket now where the VMM connects to, and gives it to its user.
// Of the spec the two sockets and the user are looked at.
Result<void> offer_agent_socket(const MachineSpec& spec);

// Moves the state that Firecracker has just written out of the jail of the machine with this
// spec.monitor_socket, into the files state.machine and state.memory of `directory`; they are ours
// from then on, for all to read. Before the guest has run anything that is not ours only: else its
// VMM may have been taken over, and still have them open.
Result<void> take_state(const std::string& monitor_socket, const std::string& directory);

// Whether the machine with this spec.monitor_socket is in a jail.
bool is_jailed(const std::string& monitor_socket);

// The API's socket that a spec.monitor_socket leads to, as a reference (O_PATH) to connect to by
// /proc/self/fd. Err not_found until Firecracker has made it; invalid when it is something else.
Result<Fd> find_api_socket(const std::string& monitor_socket);

}  // namespace mvr::vmm
