// The last 24 hours: how long jobs waited, and how much of the host was in use. Each chart has a
// table of its numbers.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "base/text.h"
#include "daemon/page_parts.h"

namespace mvr::daemon {
namespace {

constexpr double kHeight = 150;
constexpr double kTop = 14;  // above the highest line: its label

// The least of these that is not below the longest wait.
Duration scale_of(Duration longest) {
  using std::chrono::hours;
  using std::chrono::minutes;
  using std::chrono::seconds;
  static constexpr std::array<Duration, 16> kScales{
      seconds(2), seconds(5),  seconds(10), seconds(30), minutes(1), minutes(2),
      minutes(5), minutes(10), minutes(30), hours(1),    hours(2),   hours(6),
      hours(12),  hours(24),   hours(72),   hours(240)};
  for (const Duration scale : kScales) {
    if (longest <= scale) return scale;
  }
  return longest;
}

double height_at(double part) { return kTop + (1 - std::clamp(part, 0.0, 1.0)) * (kHeight - kTop); }

// Lines across at the top, the middle and the bottom, with what they stand for.
Markup grid(const std::string& whole, const std::string& half) {
  Markup out;
  for (const auto& [part, text] :
       {std::pair<double, std::string>{1, whole}, {0.5, half}, {0, ""}}) {
    const double y = height_at(part);
    out.put("<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"", pixels(y), "\" y2=\"", pixels(y),
            "\"/><text x=\"0\" y=\"", pixels(y - 3), "\">", safe(text), "</text>");
  }
  return out;
}

// Times of day, every six hours, and the present at the end.
Markup hours_axis(WallTime from, WallTime end) {
  constexpr Duration kApart = std::chrono::hours(6);
  constexpr double kNearEnd = 0.07;  // there stands something else
  Markup out;
  const auto first = from.time_since_epoch() / kApart + 1;
  for (auto step = first; WallTime{step * kApart} < end; ++step) {
    const Duration since = WallTime{step * kApart} - from;
    const double x = static_cast<double>(since.count()) / static_cast<double>((end - from).count());
    if (x < kNearEnd || x > 1 - kNearEnd) continue;
    out.put("<text class=\"hour\" text-anchor=\"middle\" x=\"", percent(x), "\" y=\"",
            pixels(kHeight + 16), "\">", safe(clock_text(WallTime{step * kApart})), "</text>");
  }
  return out.put("<text class=\"hour\" text-anchor=\"end\" x=\"100%\" y=\"", pixels(kHeight + 16),
                 "\">now</text>");
}

Markup chart_start(const Markup& words) {
  return Markup().put("<svg class=\"chart\" role=\"img\" aria-label=\"", words,
                      "\" width=\"100%\" height=\"", pixels(kHeight + 22), "\">");
}

// A table below its chart, opened when it is wanted.
Markup numbers(const Markup& id, const Markup& caption, const Markup& heads, const Markup& rows) {
  return Markup().put("<details id=\"", id, "-numbers\"><summary>The numbers</summary>",
                      table_start(id, caption, heads), rows, table_end(), "</details>");
}

// ---- waits -----------------------------------------------------------------------------------

Markup wait_bars(const std::vector<WaitPoint>& points, Duration scale) {
  Markup out;
  const double width = 1.0 / static_cast<double>(points.size());
  const auto bar = [&](std::size_t i, Duration wait, double inset, const Markup& look) {
    const double part = static_cast<double>(wait.count()) / static_cast<double>(scale.count());
    const double y = std::min(height_at(part), kHeight - 2);
    out.put("<rect class=\"", look, "\" x=\"", percent((static_cast<double>(i) + inset) * width),
            "\" y=\"", pixels(y), "\" width=\"", percent((1 - 2 * inset) * width), "\" height=\"",
            pixels(kHeight - y), "\"/>");
  };
  for (std::size_t i = 0; i < points.size(); ++i) {
    const WaitPoint& point = points[i];
    if (point.jobs == 0) continue;
    out.put("<g><title>", safe(clock_text(point.from)), ": ", safe(counted(point.jobs, "job")),
            ", half waited up to ", span(point.median), ", 95 % up to ", span(point.p95),
            "</title>");
    bar(i, point.p95, 0.12, Markup().put("p95"));
    bar(i, point.median, 0.3, Markup().put("p50"));
    out.put("</g>");
  }
  return out;
}

Markup waits_chart(const Page& page) {
  std::uint64_t jobs = 0;
  Duration longest{};
  Markup rows;
  for (const auto& point : page.waited) {
    jobs += point.jobs;
    longest = std::max(longest, point.p95);
    if (point.jobs == 0) continue;
    rows.put("<tr><th scope=\"row\">", time_tag(point.from, page.wall),
             "</th><td class=\"number\">", number(point.jobs), "</td><td class=\"number\">",
             span(point.median), "</td><td class=\"number\">", span(point.p95), "</td></tr>");
  }
  Markup out;
  out.put(
      "<figure id=\"waits\"><figcaption><h3>How long jobs waited</h3><p class=\"minor\">From "
      "their creation at GitHub until they started here, by half hours: half of them at most "
      "the dark bar, 95 % at most the light one.</p></figcaption>");
  if (jobs == 0) {
    return out.put("<p class=\"empty\">No job has started in the last 24 hours.</p></figure>");
  }
  const Duration scale = scale_of(longest);
  out.put(chart_start(Markup().put("Bars for ", safe(counted(jobs, "job")),
                                   "; 95 % of the jobs of the worst half hour waited up to ",
                                   span(longest))));
  out.put(grid(span_text(scale), span_text(scale / 2)), wait_bars(page.waited, scale),
          hours_axis(page.waited.front().from, page.waited.back().from + Samples::kWaitStep),
          "</svg>");
  return out.put(numbers(Markup().put("waits-table"), Markup().put("Waits by half hours"),
                         Markup().put("<th scope=\"col\">From</th><th scope=\"col\" "
                                      "class=\"number\">Jobs</th><th scope=\"col\" "
                                      "class=\"number\">Median</th><th scope=\"col\" "
                                      "class=\"number\">95 %</th>"),
                         rows),
                 "</figure>");
}

// ---- use -------------------------------------------------------------------------------------

using Part = std::function<double(const Use&)>;

// A line for each run of points that are known.
Markup use_line(const std::vector<UsePoint>& points, const Part& part, const Markup& look) {
  Markup out;
  bool is_open = false;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (points[i].use) {
      if (!is_open) out.put("<polyline class=\"", look, "\" points=\"");
      is_open = true;
      const Markup y = pixels((1 - std::clamp(part(*points[i].use), 0.0, 1.0)) * 100);
      // Twice: a point alone is a dash.
      out.put(number(i), ",", y, " ", number(i + 1), ",", y, " ");
    }
    const bool ends = !points[i].use || i + 1 == points.size();
    if (is_open && ends) {
      out.put("\"/>");
      is_open = false;
    }
  }
  return out;
}

Markup gaps(const std::vector<UsePoint>& points) {
  Markup out;
  for (std::size_t first = 0; first < points.size();) {
    std::size_t end = first;
    while (end < points.size() && !points[end].use) ++end;
    if (end > first) {
      out.put("<rect class=\"gap\" x=\"", number(first), "\" y=\"0\" width=\"", number(end - first),
              "\" height=\"100\"/>");
    }
    first = std::max(end, first + 1);
  }
  return out;
}

// Means of the hours, of what is known of them.
Markup use_rows(const Page& page) {
  constexpr std::size_t kAnHour = std::chrono::hours(1) / Samples::kUseStep;
  Markup out;
  for (std::size_t first = 0; first < page.uses.size(); first += kAnHour) {
    const std::size_t end = std::min(first + kAnHour, page.uses.size());
    Use sum;
    double known = 0;
    for (std::size_t i = first; i < end; ++i) {
      if (!page.uses[i].use) continue;
      sum.memory += page.uses[i].use->memory;
      sum.vcpus += page.uses[i].use->vcpus;
      ++known;
    }
    out.put("<tr><th scope=\"row\">", time_tag(page.uses[first].from, page.wall), "</th>");
    for (const double each : {sum.memory, sum.vcpus}) {
      out.put("<td class=\"number\">");
      if (known > 0) {
        out.put(number(static_cast<std::uint64_t>(std::llround(each / known * 100))), "%");
      } else {
        out.put("not known");
      }
      out.put("</td>");
    }
    out.put("</tr>");
  }
  return out;
}

Markup use_chart(const Page& page) {
  Markup out;
  out.put(
      "<figure id=\"use\"><figcaption><h3>How much of the host was in use</h3><p "
      "class=\"minor\"><svg class=\"key\" aria-hidden=\"true\" width=\"26\" height=\"8\"><line "
      "class=\"memory\" x1=\"0\" x2=\"26\" y1=\"4\" y2=\"4\"/></svg> memory, <svg "
      "class=\"key\" aria-hidden=\"true\" width=\"26\" height=\"8\"><line class=\"vcpus\" "
      "x1=\"0\" x2=\"26\" y1=\"4\" y2=\"4\"/></svg> vCPUs, as their VMs have them. Shaded: not "
      "known, since no daemon ran, or none before the present one and no VM "
      "either.</p></figcaption>");
  if (page.uses.empty()) return out.put("</figure>");
  Use most;
  for (const auto& point : page.uses) {
    if (!point.use) continue;
    most.memory = std::max(most.memory, point.use->memory);
    most.vcpus = std::max(most.vcpus, point.use->vcpus);
  }
  const auto whole = [](double part) {
    return number(static_cast<std::uint64_t>(std::llround(part * 100)));
  };
  out.put(chart_start(Markup().put("Lines of memory, at most ", whole(most.memory),
                                   " %, and of vCPUs, at most ", whole(most.vcpus), " %")));
  out.put("<svg y=\"", pixels(kTop), "\" width=\"100%\" height=\"", pixels(kHeight - kTop),
          "\" viewBox=\"0 0 ", number(page.uses.size()),
          " 100\" preserveAspectRatio=\"none\" class=\"plot\">", gaps(page.uses));
  out.put(use_line(
              page.uses, [](const Use& use) { return use.memory; }, Markup().put("memory")),
          use_line(
              page.uses, [](const Use& use) { return use.vcpus; }, Markup().put("vcpus")),
          "</svg>", grid("100%", "50%"),
          hours_axis(page.uses.front().from, page.uses.back().from + Samples::kUseStep), "</svg>");
  return out.put(
      numbers(Markup().put("use-table"), Markup().put("Use of the host by hours"),
              Markup().put("<th scope=\"col\">From</th><th scope=\"col\" class=\"number\">Memory"
                           "</th><th scope=\"col\" class=\"number\">vCPUs</th>"),
              use_rows(page)),
      "</figure>");
}

}  // namespace

Markup charts_part(const Page& page) {
  return Markup().put(
      "<section id=\"charts\" aria-labelledby=\"charts-head\"><h2 "
      "id=\"charts-head\">Last 24 hours</h2><div class=\"charts\">",
      waits_chart(page), use_chart(page), "</div></section>");
}

}  // namespace mvr::daemon
