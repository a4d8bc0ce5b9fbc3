#include "daemon/page.h"

#include <algorithm>
#include <array>

#include <openssl/sha.h>

#include "base/text.h"
#include "core/names.h"
#include "daemon/page_parts.h"
#include "daemon/web.h"

namespace mvr::daemon {
namespace {

constexpr std::array<std::string_view, 4> kQuietEnds{"finished", "unused", "cancelled", "killed"};

// A source expression of a Content-Security-Policy for exactly this text.
std::string hash_source(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): OpenSSL's bytes
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return "'sha256-" + base64_encode(std::string(digest.begin(), digest.end())) + "'";
}

double share(double part, double all) { return all > 0 ? part / all : 0; }

Markup bar(double part) {
  return Markup().put(
      "<svg class=\"bar\" aria-hidden=\"true\" width=\"100%\" height=\"6\"><rect class=\"track\" "
      "width=\"100%\" height=\"6\" rx=\"3\"/><rect class=\"level\" width=\"",
      percent(part), "\" height=\"6\" rx=\"3\"/></svg>");
}

Markup fact(std::string_view name, const Markup& value, const Markup& detail) {
  return Markup().put("<div><dt>", safe(name), "</dt><dd><strong>", value, "</strong> <span>",
                      detail, "</span></dd></div>");
}

// Of something the host has for VMs.
Markup room_fact(std::string_view name, const Markup& used, const Markup& all, double part) {
  const auto whole = static_cast<std::uint64_t>(std::max(part, 0.0) * 100);
  return fact(name, used, Markup().put("of ", all, ", ", number(whole), "%").put(bar(part)));
}

std::optional<Duration> oldest_wait(const Page& page) {
  std::optional<Duration> oldest;
  for (const auto& wait : page.waits) {
    if (!wait.oldest) continue;
    const Duration age = page.wall - wait.oldest->created;
    oldest = std::max(oldest.value_or(age), age);
  }
  return oldest;
}

Markup facts_part(const Page& page) {
  std::uint64_t waiting = 0;
  for (const auto& wait : page.waits) waiting += wait.jobs;
  const auto running = std::ranges::count(page.vms, core::Phase::running, &PageVm::phase);
  const core::Capacity& all = page.capacity;
  const core::Capacity& used = page.used;
  const auto bytes = [](Bytes value) { return static_cast<double>(value.value); };
  const auto oldest = oldest_wait(page);
  Markup out;
  out.put("<dl class=\"facts\" id=\"facts\">");
  out.put(fact(
      "Jobs running", number(static_cast<std::uint64_t>(running)),
      Markup().put("in ", safe(counted(page.vms.size(), "VM")), ", at most ", number(all.vms))));
  out.put(fact("Jobs waiting", number(waiting),
               oldest ? Markup().put("the oldest for ", span(*oldest)) : Markup()));
  out.put(room_fact("Memory in use", size(used.memory), size(all.memory),
                    share(bytes(used.memory), bytes(all.memory))));
  out.put(room_fact("vCPUs in use", number(used.vcpus), number(all.vcpus),
                    share(used.vcpus, all.vcpus)));
  out.put(room_fact("Disk in use", size(used.disk), size(all.disk),
                    share(bytes(used.disk), bytes(all.disk))));
  return out.put("</dl>");
}

Markup notice_part(const Page& page) {
  Markup out;
  if (page.why_not_ready.empty()) {
    return out.put(
        "<p class=\"notice good\" id=\"notice\"><span class=\"mark\" aria-hidden=\"true\">"
        "\u2713</span> This host takes jobs.</p>");
  }
  out.put(
      "<div class=\"notice bad\" id=\"notice\"><p><span class=\"mark\" aria-hidden=\"true\">!"
      "</span> Not all is well:</p><ul>");
  for (const std::string_view line : split(page.why_not_ready, '\n')) {
    if (!line.empty()) out.put("<li>", safe(line, 500), "</li>");
  }
  return out.put("</ul></div>");
}

Markup queue_row(const PageWait& wait, WallTime now) {
  Markup out;
  out.put("<tr><td class=\"number\">", number(wait.jobs), "</td><th scope=\"row\">");
  out.put(isolated(wait.profile.empty() ? "none" : wait.profile), "</th><td>", isolated(wait.scope),
          "</td><td class=\"wide\">", safe(wait.why, 500));
  if (!wait.advice.empty()) {
    out.put("<p class=\"minor\">What to do: ", safe(wait.advice, 500), "</p>");
  }
  out.put("</td><td>");
  if (wait.oldest) {
    out.put(isolated(wait.oldest->name), "<p class=\"minor\">", isolated(wait.oldest->repository),
            ", queued for ", span(now - wait.oldest->created), "</p>");
  }
  out.put("</td><td>");
  if (wait.next) {
    out.put(time_tag(*wait.next, now));
  } else {
    out.put("<span class=\"minor\">not known</span>");
  }
  return out.put("</td></tr>");
}

Markup queue_part(const Page& page) {
  Markup out;
  out.put("<section id=\"queue\" aria-labelledby=\"queue-head\"><h2 id=\"queue-head\">Queue</h2>");
  if (page.waits.empty()) return out.put("<p class=\"empty\">No job waits.</p></section>");
  out.put(table_start(
      Markup().put("queue-table"), Markup().put("Queued jobs no VM is being made for, and why"),
      Markup().put("<th scope=\"col\" class=\"number\">Jobs</th><th scope=\"col\">Profile</th>"
                   "<th scope=\"col\">Scope</th><th scope=\"col\">Why they wait</th>"
                   "<th scope=\"col\">Oldest job</th>"
                   "<th scope=\"col\">Next change expected</th>")));
  for (const auto& wait : page.waits) out.put(queue_row(wait, page.wall));
  return out.put(table_end(), "</section>");
}

Markup head_part(const Page& page) {
  Markup out;
  out.put("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>mvrunner on ",
          safe(page.host), "</title>");
  out.put(
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<meta name=\"color-scheme\" content=\"light dark\">"
      "<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' "
      "viewBox='0 0 16 16'%3E%3Crect x='1' y='1' width='8' height='14' rx='2' fill='%232f7d4a'/"
      "%3E%3Crect x='10' y='1' width='5' height='7' rx='2' fill='%232563a8'/%3E%3Crect x='10' "
      "y='9' width='5' height='6' rx='2' fill='%238a94a3'/%3E%3C/svg%3E\"><style>");
  out.put(constant(kPageStyle), "</style></head><body>");
  out.put(
      "<a class=\"skip\" href=\"#machine\">Skip to the machine</a><header><div><h1>mvrunner "
      "<span>on ",
      isolated(page.host), "</span></h1><p id=\"as-of\">As of ", time_tag(page.wall, page.wall),
      " UTC</p></div>");
  return out.put(
      "<nav aria-label=\"Parts of this page\"><ul><li><a href=\"#machine\">Machine</a></li><li>"
      "<a href=\"#queue\">Queue</a></li><li><a href=\"#jobs\">Recent jobs</a></li><li>"
      "<a href=\"#charts\">Last 24 hours</a></li></ul></nav><div class=\"updates\" id=\"updates\" "
      "hidden><button type=\"button\" id=\"pause\" aria-pressed=\"false\">Pause updates</button>"
      "<span id=\"fresh\" role=\"status\"></span></div><p class=\"minor\" id=\"stale\">Reload the "
      "page for newer values.</p></header>");
}

}  // namespace

Page make_page(const core::Config& config, const core::World& world, const core::Plan& plan,
               Instant now, WallTime wall) {
  Page page;
  page.host = config.host.id;
  page.wall = wall;
  page.why_not_ready = why_not_ready(config, world);
  page.capacity = world.capacity;
  page.used = core::used(world);
  page.reserve = config.host.reserve_memory;
  page.vms.reserve(world.vms.size());
  for (const auto& [slot, vm] : world.vms) {
    page.vms.push_back(PageVm{vm.name, vm.profile, vm.scope, vm.phase, now - vm.since,
                              now - vm.created, vm.size, vm.repository, vm.job});
  }
  page.waits.reserve(plan.waits.size());
  for (const auto& wait : plan.waits) {
    PageWait row{wait.jobs,
                 wait.profile,
                 wait.scope,
                 core::reason_text(wait.reason, now),
                 core::reason_advice(wait.reason),
                 wait.oldest,
                 std::nullopt};
    if (wait.next) row.next = wall + (*wait.next - now);
    page.waits.push_back(std::move(row));
  }
  return page;
}

std::vector<history::FinishedJob> page_jobs(std::vector<history::FinishedJob> entries) {
  std::erase_if(entries, [](const history::FinishedJob& entry) {
    return entry.job.empty() && std::ranges::find(kQuietEnds, entry.cause) != kQuietEnds.end();
  });
  if (entries.size() > kPageJobs) entries.resize(kPageJobs);
  return entries;
}

Markup table_start(const Markup& id, const Markup& caption, const Markup& heads) {
  // A keyboard scrolls it as well.
  Markup out;
  out.put("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"", id,
          "\"><table><caption id=\"", id, "\">", caption, "</caption><thead><tr>", heads);
  return out.put("</tr></thead><tbody>");
}

Markup table_end() { return Markup().put("</tbody></table></div>"); }

std::string page_html(const Page& page) {
  Markup out;
  out.put(head_part(page), "<main>", notice_part(page), facts_part(page), machine_part(page),
          queue_part(page), jobs_part(page), charts_part(page));
  out.put("</main><footer><p>Times are UTC. Also here: <a href=\"/metrics\">metrics</a>, ",
          "<a href=\"/healthz\">healthz</a>, <a href=\"/readyz\">readyz</a>. This page changes "
          "nothing; <code>mvrunner</code> on the host does.</p></footer><script>");
  out.put(constant(kPageScript), "</script></body></html>\n");
  return out.text();
}

Markup legend(std::string_view kind, std::string_view label, std::span<const Look> looks) {
  Markup out;
  out.put("<ul class=\"legend\" aria-label=\"", safe(label), "\">");
  for (const Look& look : looks) {
    out.put("<li><svg class=\"", safe(kind), " ", safe(look.name),
            "\" aria-hidden=\"true\" width=\"22\" height=\"14\"><rect class=\"plain\" "
            "width=\"100%\" height=\"100%\"/><rect class=\"over\" width=\"100%\" "
            "height=\"100%\"/></svg> ",
            safe(look.text), "</li>");
  }
  return out.put("</ul>");
}

std::string page_policy() {
  static const std::string policy =
      "default-src 'none'; style-src " + hash_source(kPageStyle) + "; script-src " +
      hash_source(kPageScript) +
      "; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
      "frame-ancestors 'none'";
  return policy;
}

}  // namespace mvr::daemon
