// The host<->agent protocol. Both ends link this; nothing else is shared with the guest.
//
// Wire: JSON text sequences (RFC 7464): RS (0x1E), one JSON object, LF. A reader that joins in
// the middle, or after a cut, finds the next RS. One record is at most kMaxRecord bytes.
// Every object has "v": 1 and "type". Unknown types and fields, missing fields and fields out of
// bounds are errors: both ends are built from the same source, the guest is hostile.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/action_ref.h"
#include "base/result.h"
#include "base/secret.h"

namespace mvr::channel {

inline constexpr int kVersion = 1;
inline constexpr std::size_t kMaxRecord = std::size_t{256} * 1024;
inline constexpr std::size_t kMaxChunk = std::size_t{64} * 1024;  // bytes in one Output or Input
inline constexpr std::string_view kPortName = "dev.mvrunner.agent.0";
inline constexpr std::uint32_t kVsockPort = 1024;  // of the host, where there is no such port

// ---- host -> agent -----------------------------------------------------------------------------

// Claim: what this VM is for. Exactly one of jit_config (start the runner) and argv (a one-off
// command) is given. Accepted once; a second one is answered by `failed`.
struct Configure {
  std::string hostname;
  std::string user;                        // to run as; resolved in the image's passwd
  std::map<std::string, std::string> env;  // added to the image's
  std::string workdir;                     // empty: the user's home
  std::string profile;                     // by name; what a refused job is told
  std::string about;                       // lines for the log of the job's first step; printable
  bool serves_public = false;              // jobs of public repositories; the runner only
  bool serves_forks = false;               // jobs of pull requests from forks; the runner only
  Secret jit_config;                       // base64
  std::vector<std::string> argv;
  std::int64_t wall_ms = 0;  // host's wall clock; the agent steps the guest's
};
// Who this VM is, where its kernel command line told it to wait for that (mvr.waits): its memory
// may be a copy of another VM's. Accepted once, and nothing but `sync` and `shutdown` before it.
inline constexpr std::size_t kMinSeed = 32;
inline constexpr std::size_t kMaxSeed = 512;
struct Identity {
  std::string words;         // those of the kernel command line that it would have had; printable
  std::string mac;           // of its network interface; empty: it has none
  Secret seed;               // random bytes of the host, kMinSeed to kMaxSeed; base64 on the wire
  std::int64_t wall_ms = 0;  // host's wall clock
};
struct Sync {};  // answered by `state`
struct Shutdown {
  std::uint32_t grace_ms = 0;
};  // end the job (SIGINT, then SIGKILL), reboot
// Lets `public_key` log in as `user` for `lifetime_s` seconds; starts sshd when needed.
struct AuthorizeKey {
  std::string user;
  std::string public_key;
  std::uint32_t lifetime_s = 0;
};
struct Input {
  std::string data;
  bool end = false;
};  // to the one-off command's stdin
struct Notice {
  std::string text;
};  // for whoever works in the guest: appended to /run/mvrunner/notices; printable
// Once the runner or the command has exited, the VM goes on for `time_s` seconds from now.
struct Hold {
  std::uint32_t time_s = 0;
};

// A stream: a program in the guest, whose standard input and output the host has. Either side
// sends at most kStreamWindow bytes more than the other has acknowledged, so that neither grows.
inline constexpr std::size_t kStreamWindow = std::size_t{128} * 1024;
inline constexpr std::size_t kMaxStreams = 16;  // at once

// Starts argv as `user`, or, with an empty argv, the ssh server for one connection.
struct Open {
  std::uint32_t stream = 0;  // chosen by the host; none that is open
  std::string user;
  std::vector<std::string> argv;
};
// In either direction. Empty data: no more follows. From the agent, `error` marks standard error.
struct StreamData {
  std::uint32_t stream = 0;
  std::string data;
  bool error = false;
};
struct StreamAck {
  std::uint32_t stream = 0;
  std::uint32_t bytes = 0;
};
// From the host: nobody reads any more; the program is ended. From the agent: it has exited.
struct Close {
  std::uint32_t stream = 0;
  int exit_code = 0;  // from the agent
};
using ToAgent = std::variant<Configure, Sync, Shutdown, AuthorizeKey, Input, Notice, Hold, Open,
                             StreamData, StreamAck, Close, Identity>;

// ---- agent -> host -----------------------------------------------------------------------------

// waiting: for `identity`.
enum class RunnerState { waiting, idle, starting, listening, running, exited };
std::string_view runner_state_name(RunnerState state);

struct Hello {
  std::string agent_version;
  std::string kernel;
  std::uint64_t boot_ms = 0;
};  // once per boot
// The whole state, after `sync` and at each change.
struct State {
  RunnerState runner = RunnerState::idle;
  std::string job;               // display name while running and after
  std::string result;            // "Succeeded", "Failed", "Canceled", ... once known
  std::optional<int> exit_code;  // exited
};
struct Output {
  int stream = 1;
  std::string data;
};  // 1 stdout, 2 stderr, 3 the runner's own log (_diag); bytes, base64 on the wire
// What the guest uses; the whole of it each time. Sizes in bytes.
struct Usage {
  std::uint64_t memory = 0;       // all but what the kernel could give at once
  std::uint64_t memory_peak = 0;  // since the work began, as all peaks
  std::uint64_t memory_total = 0;
  std::uint64_t disk = 0;  // of the writable disk
  std::uint64_t disk_peak = 0;
  std::uint64_t disk_total = 0;
  std::uint64_t cpu_ms = 0;     // of all vCPUs, since the work began
  std::uint32_t oom_kills = 0;  // processes the guest's kernel killed for lack of memory
  std::string oom_victim;       // the first of them; printable
  bool disk_full = false;       // it was, at some time
  std::string network_trouble;  // what the runner says while it cannot reach GitHub; printable
  friend bool operator==(const Usage&, const Usage&) = default;
};
struct KeyAuthorized {
  std::string host_key;
};  // "ssh-ed25519 AAAA..."
struct Failed {
  std::string what;
};                                              // the agent could not do what was asked; printable
inline constexpr std::size_t kMaxActions = 64;  // of one VM, and so of one message
// Actions the runner resolved for its job; those that were not told before.
struct Actions {
  std::vector<ActionRef> used;  // at least one
};
using FromAgent = std::variant<Hello, State, Output, KeyAuthorized, Failed, Usage, Actions,
                               StreamData, StreamAck, Close>;

std::string encode(const ToAgent& message);  // with RS and LF; holds secrets for Configure
std::string encode(const FromAgent& message);
Result<ToAgent> decode_to_agent(std::string_view json);  // one record without RS and LF
Result<FromAgent> decode_from_agent(std::string_view json);

// Cuts a byte stream into records. Memory is bounded by kMaxRecord.
class Deframer {
 public:
  // Appends bytes; calls nothing. Bytes before the first RS are dropped.
  // Err too_large when a record exceeds kMaxRecord: the stream is to be given up.
  Result<void> push(std::string_view bytes);
  // The next whole record, if any.
  std::optional<std::string> pop();

 private:
  std::string partial_;
  bool in_record_ = false;
  std::vector<std::string> ready_;
  std::size_t next_ = 0;
};

}  // namespace mvr::channel
