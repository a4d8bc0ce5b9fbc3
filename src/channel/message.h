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

#include "base/result.h"
#include "base/secret.h"

namespace mvr::channel {

inline constexpr int kVersion = 1;
inline constexpr std::size_t kMaxRecord = std::size_t{256} * 1024;
inline constexpr std::size_t kMaxChunk = std::size_t{64} * 1024;  // bytes in one Output or Input
inline constexpr std::string_view kPortName = "dev.mvrunner.agent.0";

// ---- host -> agent -----------------------------------------------------------------------------

// Claim: what this VM is for. Exactly one of jit_config (start the runner) and argv (a one-off
// command) is given. Accepted once; a second one is answered by `failed`.
struct Configure {
  std::string hostname;
  std::string user;                        // to run as; resolved in the image's passwd
  std::map<std::string, std::string> env;  // added to the image's
  std::string workdir;                     // empty: the user's home
  std::string profile;                     // by name; what a refused job is told
  bool serves_public = false;              // jobs of public repositories; the runner only
  bool serves_forks = false;               // jobs of pull requests from forks; the runner only
  Secret jit_config;                       // base64
  std::vector<std::string> argv;
  std::int64_t wall_ms = 0;  // host's wall clock; the agent steps the guest's
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
using ToAgent = std::variant<Configure, Sync, Shutdown, AuthorizeKey, Input, Notice>;

// ---- agent -> host -----------------------------------------------------------------------------

enum class RunnerState { idle, starting, listening, running, exited };
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
};  // 1 stdout, 2 stderr; bytes, base64 on the wire
struct KeyAuthorized {
  std::string host_key;
  std::uint16_t port = 22;
};  // "ssh-ed25519 AAAA..."
struct Failed {
  std::string what;
};  // the agent could not do what was asked; printable
using FromAgent = std::variant<Hello, State, Output, KeyAuthorized, Failed>;

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
