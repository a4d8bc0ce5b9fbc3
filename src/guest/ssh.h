// Shells for people: keys with a lifetime, and one `sshd -i` per connection.
//
// The agent itself listens, so that no daemon has to be waited for, none is left over, and the
// port is closed as soon as no key is valid.
#pragma once

#include <netinet/in.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "channel/message.h"

namespace mvr::guest {

class SshAccess {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `address` is the guest's; nothing: there is no network. Err not_found when the image has no
  // OpenSSH server; the VM goes on.
  Result<channel::KeyAuthorized> authorize(const channel::AuthorizeKey& request,
                                           std::optional<in_addr> address, Time now);
  // Removes keys whose time is over; without keys nobody is let in any more. Sessions stay.
  void expire(Time now);
  [[nodiscard]] std::optional<Time> next_expiry() const;
  // To wait on; -1 while nobody may come.
  [[nodiscard]] int listener() const { return listener_.get(); }
  // Starts sshd for who is waiting.
  void accept();

 private:
  struct Key {
    std::string user;
    std::string line;
    Time expires;
  };
  Result<void> prepare();
  Result<void> listen(in_addr address);
  Result<void> write_keys(const std::string& user) const;

  std::string sshd_;      // path; empty until prepared
  std::string host_key_;  // "ssh-ed25519 AAAA..."
  std::uint16_t port_ = 0;
  Fd listener_;
  std::vector<Key> keys_;
};

}  // namespace mvr::guest
