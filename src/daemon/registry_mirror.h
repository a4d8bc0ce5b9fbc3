// The supervised docker-registry that caches a public registry for all VMs of this host. Like the
// resolver it runs on the host side of the veth pair, and the firewall lets VMs reach its one port;
// it runs as a user of its own. Guests are told by the kernel's command line (mvr.mirror=).
//
// A pull does not depend on it: dockerd and BuildKit turn to the registry itself when a mirror does
// not answer. docker-registry needs its upstream when it starts, but not to serve what it has.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "core/config.h"
#include "daemon/hub_quota.h"
#include "daemon/mirror_store.h"
#include "daemon/mirror_wire.h"
#include "sys/http.h"
#include "sys/loop.h"
#include "sys/process.h"

namespace mvr::daemon {

struct MirrorState {
  bool up = false;
  std::uint64_t restarts = 0;
  MirrorCounts counts;
  Bytes size;  // of what it keeps
  Bytes max_size;
  std::uint64_t removed_blobs = 0;  // to keep to max_size
  std::optional<HubQuota> quota;    // while known
};

class RegistryMirror {
 public:
  // Err for a login that cannot be read. A program that is missing or dies is logged and tried
  // again, with back-off; it dies with the daemon.
  static Result<std::unique_ptr<RegistryMirror>> start(sys::Loop& loop, const core::Config& config);
  ~RegistryMirror();
  RegistryMirror(const RegistryMirror&) = delete;
  RegistryMirror& operator=(const RegistryMirror&) = delete;

  [[nodiscard]] MirrorState state() const;

 private:
  RegistryMirror(sys::Loop& loop, const core::Config& config);
  Result<void> prepare(const core::Config& config);
  void begin();
  Result<void> spawn();
  Result<Fd> open_words();
  void hear();
  void on_exit();
  void again_later();
  void tend();
  void look_at_store();
  void ask_health();
  void on_health(const Result<sys::HttpResponse>& response);
  void ask_counts();
  void ask_metrics(std::string vars);
  void ask_quota();

  sys::Loop& loop_;
  std::string directory_;
  unsigned uid_ = 0;
  std::string url_;
  std::string debug_url_;
  Secret configuration_;
  MirrorStore store_;
  MirrorState state_;
  MirrorCounts current_;  // of the process that runs; state_ has those before
  std::unique_ptr<sys::HttpClient> client_;
  std::unique_ptr<HubQuotaWatch> hub_;
  std::unique_ptr<sys::HttpCall> health_call_;
  std::unique_ptr<sys::HttpCall> counts_call_;
  sys::Process process_;
  sys::Watch watch_;
  Fd words_;
  sys::Watch words_watch_;
  std::string last_words_;
  sys::Timer retry_;
  sys::Timer tend_;
  Instant quota_due_{};
  std::uint32_t failures_ = 0;
  std::uint32_t silent_ = 0;  // health checks without an answer, in a row
  bool quota_failed_ = false;
};

}  // namespace mvr::daemon
