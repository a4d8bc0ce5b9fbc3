#include "daemon/web.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "daemon/journal.h"
#include "daemon/page.h"

namespace mvr::daemon {
namespace {

// https://prometheus.io/docs/instrumenting/exposition_formats
constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

bool is_own_host(const std::string& host) {
  std::string name = host.substr(0, host.rfind(':'));
  if (host.ends_with(']')) name = host;  // [v6] without a port
  if (ascii_lower(name) == "localhost") return true;
  if (name.size() > 2 && name.starts_with('[') && name.ends_with(']')) {
    in6_addr address{};
    return ::inet_pton(AF_INET6, name.substr(1, name.size() - 2).c_str(), &address) == 1;
  }
  in_addr address{};
  return ::inet_pton(AF_INET, name.c_str(), &address) == 1;
}

std::string why_not_ready(const core::Config& config, const core::World& world) {
  std::string why;
  if (world.draining) why += "the host is draining\n";
  if (!world.pressure.empty()) why += "the host is under pressure: " + world.pressure + "\n";
  for (const auto& [id, state] : world.scopes) {
    if (!state.failure || config.scope(id) == nullptr) continue;
    why += "queued jobs of " + id + " cannot be listed: " + full_text(*state.failure) + "\n";
  }
  for (const auto& profile : config.profiles) {
    const auto missing = world.missing_images.find(profile.name);
    if (missing == world.missing_images.end() || missing->second.empty()) continue;
    why += "profile " + profile.name + " cannot boot: " + missing->second + "\n";
  }
  return why;
}

Web::Web(sys::Loop& loop, MetricsText metrics, WhyNotReady why_not_ready, PageHtml page)
    : loop_(loop),
      metrics_(std::move(metrics)),
      why_not_ready_(std::move(why_not_ready)),
      page_(std::move(page)) {}

void Web::listen_on(const std::string& address) {
  if (address == address_) return;
  server_.reset();
  address_ = address;
  tend();
}

void Web::tend() {
  if (server_ || address_.empty()) return;
  auto server = sys::HttpServer::listen(
      loop_, address_, [this](const sys::HttpAsked& asked) { return answer(asked); });
  if (!server) {
    return log(Level::warn, "web_not_listening",
               {{"error", server.error().what},
                {"effect", "no metrics; tried again"},
                {"remedy", "free the port or set web.listen"}});
  }
  server_ = std::move(*server);
  log(Level::info, "web_listening", {{"address", address_}});
}

sys::HttpAnswer Web::answer(const sys::HttpAsked& asked) const {
  // Where anybody may connect, the operator's own names for this host are as good as addresses.
  if (server_->is_loopback() && !is_own_host(asked.host)) {
    return {403, "text/plain; charset=utf-8", "ask by address or as localhost\n"};
  }
  sys::HttpAnswer out;
  if (asked.path == "/metrics") {
    out.type = kMetricsType;
    out.body = metrics_();
  } else if (asked.path == "/healthz") {
    out.body = "ok\n";
  } else if (asked.path == "/readyz") {
    out.body = why_not_ready_();
    if (out.body.empty()) {
      out.body = "ok\n";
    } else {
      out.status = 503;
    }
  } else if (asked.path == "/") {
    out.type = "text/html; charset=utf-8";
    out.headers = {{"Content-Security-Policy", page_policy()},
                   {"Referrer-Policy", "no-referrer"},
                   {"Cross-Origin-Opener-Policy", "same-origin"},
                   {"Cross-Origin-Resource-Policy", "same-origin"}};
    out.body = page_();
  } else {
    out.status = 404;
    out.body = "not here; see /\n";
  }
  return out;
}

}  // namespace mvr::daemon
