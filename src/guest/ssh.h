// Shells for people: keys with a lifetime, and one `sshd -i` per connection, which comes as a
// stream over the channel. Nothing listens, and no network is needed.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "channel/message.h"
#include "guest/process.h"

namespace mvr::guest {

class SshAccess {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Err not_found when the image has no OpenSSH server; the VM goes on.
  Result<channel::KeyAuthorized> authorize(const channel::AuthorizeKey& request, Time now);
  // Removes keys whose time is over; without keys nobody is let in any more. Sessions stay.
  void expire(Time now);
  [[nodiscard]] std::optional<Time> next_expiry() const;
  // The server for one connection. Err denied while no key is valid: nobody could log in.
  Result<SpawnSpec> server() const;

 private:
  struct Key {
    std::string user;
    std::string line;
    Time expires;
  };
  Result<void> prepare();
  Result<void> write_keys(const std::string& user) const;

  std::string sshd_;      // path; empty until prepared
  std::string host_key_;  // "ssh-ed25519 AAAA..."
  std::vector<Key> keys_;
};

}  // namespace mvr::guest
