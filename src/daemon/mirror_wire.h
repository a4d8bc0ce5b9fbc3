// What is said to docker-registry and what it says, as text (pure). Of version 2.8, whose numbers
// need reading between the lines: it calls every answer a hit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "core/config.h"

namespace mvr::daemon {

// Of an account at the upstream registry; both empty: anonymous.
struct MirrorLogin {
  std::string user;
  Secret password;
};
// "user:password" on the first line. Error texts hold neither.
Result<MirrorLogin> parse_mirror_login(std::string_view text);

// The configuration of docker-registry as JSON, which is YAML.
Secret mirror_configuration(const core::Config& config, const MirrorLogin& login);

// Since docker-registry started, or over several such lives.
struct MirrorCounts {
  std::uint64_t manifest_hits = 0;
  std::uint64_t manifest_misses = 0;
  std::uint64_t blob_hits = 0;
  std::uint64_t blob_misses = 0;
  std::uint64_t served_bytes = 0;  // to VMs
  friend bool operator==(const MirrorCounts&, const MirrorCounts&) = default;
};
MirrorCounts operator+(const MirrorCounts& a, const MirrorCounts& b);
// The larger of each: what a read between two steps of one pull misses comes with a later one.
MirrorCounts at_least(const MirrorCounts& a, const MirrorCounts& b);

// Out of /debug/vars and /metrics of docker-registry.
Result<MirrorCounts> parse_mirror_counts(std::string_view vars, std::string_view metrics);

// The line of docker-registry's last words that says why it died; "" when there is none.
std::string last_words(std::string_view text);

}  // namespace mvr::daemon
