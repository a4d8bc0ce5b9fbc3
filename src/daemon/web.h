// What the daemon shows by HTTP, to be looked at only: the status page, /metrics, /healthz,
// /readyz.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/config.h"
#include "core/world.h"
#include "sys/http_server.h"
#include "sys/loop.h"

namespace mvr::daemon {

// The listener of `web.listen`. That a port is taken ends no daemon: jobs come first, it is tried
// again.
class Web {
 public:
  using MetricsText = std::function<std::string()>;
  using WhyNotReady = std::function<std::string()>;  // empty: ready
  using PageHtml = std::function<std::string()>;

  Web(sys::Loop& loop, MetricsText metrics, WhyNotReady why_not_ready, PageHtml page);

  // Listens there from now on; an address it listens on already changes nothing. "": nowhere.
  void listen_on(const std::string& address);
  // Tries again when it could not; called now and then.
  void tend();

 private:
  [[nodiscard]] sys::HttpAnswer answer(const sys::HttpAsked& asked) const;
  sys::Loop& loop_;
  MetricsText metrics_;
  WhyNotReady why_not_ready_;
  PageHtml page_;
  std::string address_;
  std::unique_ptr<sys::HttpServer> server_;
};

// Whether a browser that asked with this Host header was sent here by its user and not by a web
// site whose name was made to resolve to this host: an address, or localhost (pure).
bool is_own_host(const std::string& host);

// Why this host takes no jobs just now, one line each; empty: it does (pure).
std::string why_not_ready(const core::Config& config, const core::World& world);

}  // namespace mvr::daemon
