// One interface for VMMs. A Machine is one VMM process; a Backend knows how to start one and how to
// find its sockets again after a daemon restart. Nothing here logs or decides.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "sys/loop.h"
#include "sys/process.h"

namespace mvr::vmm {

enum class Accel { kvm, tcg };
std::string_view accel_name(Accel accel);

// What a device may use of a host's resource: `size` in each `refill`, and `burst` once beyond
// that.
struct TokenBucket {
  std::uint64_t size = 0;
  std::uint64_t burst = 0;
  Duration refill{1'000};
};
// Where there is no bucket there is no limit.
struct RateLimit {
  std::optional<TokenBucket> bytes;
  std::optional<TokenBucket> operations;
};

struct Drive {
  std::string serial;  // "base", "scratch", "tools": how the guest finds it
  std::string path;
  bool read_only = true;
  RateLimit rate{};
};

// What backs the guest's memory. `reserved`: 2 MiB pages of the host's pool (vm.nr_hugepages).
enum class HugePages { none, transparent, reserved };

// Everything of one VM as values; the same document for every backend.
struct MachineSpec {
  std::string name;       // shown in ps(1)
  std::string directory;  // per-VM; `uid` needs no right to write there
  std::string kernel;     // bzImage or vmlinux
  std::string initramfs;
  std::string command_line;  // what the agent needs; the backend adds its own words
  std::uint32_t vcpus = 1;
  Bytes memory;
  std::vector<Drive> drives;
  std::string mac;
  int tap_fd = -1;       // open tap; the caller closes its copy after launch
  std::string tap_name;  // for backends that open it by name, in `netns`
  std::string netns;     // path of the tap's network namespace
  std::string console;   // file: the guest's console and the VMM's own complaints, appended
  Bytes console_limit{8U << 20U};  // kept by bound_console()
  std::string agent_socket;
  std::string monitor_socket;
  std::uint32_t uid = 0;  // and gid; 0 keeps ours
  int cgroup_fd = -1;
  // Inherited under any number: locks that live as long as the VMM. Firecracker's jailer closes
  // them; its VMM has names of its own for the files, which hold them as well.
  std::vector<int> keep_open;
  Accel accel = Accel::tcg;
  // A directory that Monitor::save() filled: the machine begins there instead of at its kernel. All
  // that Backend::state_key() tells of both machines must be the same.
  std::string restore_from;
  bool may_be_saved = false;  // leaves the VMM room for that
  // Of either of these two where Backend::takes_memory(): a file in memory of the size of the
  // guest's. One that may be saved has its memory there, one that is restored begins with a private
  // copy of a sealed one. The caller keeps it open, the one to be saved until it is.
  int memory_fd = -1;
  bool smt = false;  // the guest sees its CPUs as pairs of threads
  HugePages huge_pages = HugePages::none;
  // Of the network device; only where Backend::limits_network().
  RateLimit receive;
  RateLimit transmit;
};

// How the host side of the channel comes to be: we connect to a socket the VMM listens on (QEMU
// virtio-serial), or we listen before launch and the guest connects out (Firecracker vsock).
enum class ChannelStyle { connect, listen };

// The VMM's own control connection (QMP, Firecracker API): learns why the VM ended, and ends it.
class Monitor {
 public:
  virtual ~Monitor() = default;
  virtual void request_quit() = 0;  // best effort, at once
  // "guest-reset", "guest-panic", "" while unknown; printable. Looks at what has arrived first,
  // so that it is right even when the end of the process is seen before its last words.
  virtual std::string end_reason() = 0;

  // Writes the state of a machine launched as `spec` says into `directory`, which is empty and ours
  // alone. The machine runs on afterwards, whether that worked or not. Calls back on the loop, from
  // within no call of ours, unless the monitor has gone; within kSaveLimit and a bit.
  using Done = std::function<void(Result<void>)>;
  virtual void save(const MachineSpec& spec, const std::string& directory, Done done) = 0;
  // Of a machine launched with spec.restore_from: does what the launch left to do. A VMM that
  // cannot ends; what does not come up is the caller's to notice.
  virtual void restore(const MachineSpec& spec) = 0;
  // Of an adopted machine, which its daemon may have left in the middle of either: has it run on.
  // `hopeless` is called when it never began.
  virtual void wake(std::function<void()> hopeless) = 0;
};

inline constexpr Duration kSaveLimit{60'000};
// The guest's memory in the directory of a state, which is as long and has holes.
inline constexpr std::string_view kSavedMemory = "/memory";

class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;  // "qemu"
  [[nodiscard]] virtual std::string version() const = 0;    // "7.2.22"
  [[nodiscard]] virtual ChannelStyle channel_style() const = 0;
  // Whether the tap is handed over as `tap_name` in `netns`, made for the VM's user and with nobody
  // attached (sys::give_tap), instead of as `tap_fd`.
  [[nodiscard]] virtual bool opens_tap_by_name() const = 0;
  // Whether it keeps a network device to its rates; for others the tap's owner has to.
  [[nodiscard]] virtual bool limits_network() const = 0;
  // Whether spec.memory_fd is for it; another one keeps memory as it likes.
  [[nodiscard]] virtual bool takes_memory() const = 0;
  // Starts the process. Err names the stage; nothing of ours is left behind then.
  virtual Result<sys::Process> launch(const MachineSpec& spec) = 0;
  // Connects to the monitor of a launched or adopted machine; retried by the caller while the
  // socket is not there yet (Err not_found or unavailable).
  virtual Result<std::unique_ptr<Monitor>> attach(sys::Loop& loop,
                                                  const std::string& monitor_socket) = 0;
  // ChannelStyle::listen: makes the socket that now listens at `spec.agent_socket` the one that
  // the guest reaches. launch() does it too; for a caller that listens anew, after a restart. Of
  // the spec the two sockets and the user are looked at.
  virtual Result<void> offer_channel(const MachineSpec& spec) = 0;
  // All on the VMM's side that must be the same between a save and a restore, as one text to
  // compare. Err unsupported: machines of this kind cannot be saved.
  [[nodiscard]] virtual Result<std::string> state_key(const MachineSpec& spec) const = 0;
  // Memory the VMM process needs beside the guest's, for cgroup limits.
  [[nodiscard]] virtual Bytes overhead(Accel accel) const = 0;
};

// Whether the host has the huge pages that the spec wants of its pool, by the text of the pool's
// free_hugepages. Err unavailable says how many are missing.
Result<void> check_huge_pages(const MachineSpec& spec, const std::string& free_pages);
inline constexpr const char* kFreeHugePages =
    "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";

// Err unsupported: no backend saves such a machine.
Result<void> check_can_be_saved(const MachineSpec& spec);

// The console file, empty, as a VMM is to append to it: ours alone, its user needs no right to it.
Result<Fd> create_console(const std::string& path);

// Of both backends' keys: the host's kernel and CPU, and how large each drive is, which a restored
// guest remembers.
Result<std::string> host_key(const MachineSpec& spec);

// What no file of the VMM needs to outgrow: its largest disk, its memory where that is a file, or
// its state. It is also the console's bound while no daemon looks after it.
std::uint64_t file_size_limit(const MachineSpec& spec);

// The guest decides how much it writes to its console. Empties the file when it is over `limit`
// and says whether it did. To be called every few seconds; while nobody calls it, the VMM's file
// size limit (the size of its largest writable drive) is the bound.
Result<bool> bound_console(const std::string& path, Bytes limit);

}  // namespace mvr::vmm
