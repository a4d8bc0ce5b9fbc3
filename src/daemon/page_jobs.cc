// The recent jobs with the stages of their way, and how they ended.
#include <algorithm>
#include <array>

#include "base/text.h"
#include "daemon/page_parts.h"

namespace mvr::daemon {
namespace {

using history::FinishedJob;

// A part of a job's way. What did not happen, or lies before what came earlier, is no stage.
struct StageSpan {
  std::string_view name;
  std::string_view look;
  Duration from{};  // since the first time that is known
  Duration length{};
};

std::vector<StageSpan> stages(const FinishedJob& job) {
  struct Mark {
    std::string_view name;  // of what follows it
    std::string_view look;
    std::optional<WallTime> at;
  };
  const std::array<Mark, 5> marks{{{"queued", "queued", job.queued},
                                   {"boot", "boot", job.created},
                                   {"waiting for the job", "idle", job.listening},
                                   {"run", "run", job.started},
                                   {"", "", job.ended}}};
  std::vector<StageSpan> out;
  std::optional<WallTime> first;
  const Mark* last = nullptr;
  for (const auto& mark : marks) {
    if (!mark.at) continue;
    if (!first) first = mark.at;
    if (last != nullptr) {
      // GitHub's clock and ours may differ.
      const Duration length = std::max(*mark.at - *last->at, Duration{0});
      out.push_back({last->name, last->look, std::max(*last->at - *first, Duration{0}), length});
    }
    last = &mark;
  }
  return out;
}

Duration length_of(const FinishedJob& job) {
  Duration longest{};
  for (const auto& stage : stages(job)) longest = std::max(longest, stage.from + stage.length);
  return longest;
}

Markup timeline(const FinishedJob& job, Duration scale) {
  const auto part = [scale](Duration time) {
    return percent(static_cast<double>(time.count()) / static_cast<double>(scale.count()));
  };
  std::string words;
  Markup bars;
  for (const auto& stage : stages(job)) {
    words += (words.empty() ? "" : ", ") + std::string(stage.name) + " " + span_text(stage.length);
    bars.put("<svg class=\"stage ", safe(stage.look), "\" x=\"", part(stage.from), "\" y=\"",
             safe(stage.look == "run" ? "2" : "5"), "\" width=\"", part(stage.length),
             "\" height=\"", safe(stage.look == "run" ? "14" : "8"));
    bars.put(
        "\"><rect class=\"plain\" width=\"100%\" height=\"100%\"/><rect class=\"over\" "
        "width=\"100%\" height=\"100%\"/></svg>");
  }
  return Markup().put("<svg class=\"timeline\" role=\"img\" width=\"100%\" height=\"18\"><title>",
                      safe(words), "</title>", bars, "</svg>");
}

struct Outcome {
  std::string_view look;
  std::string_view mark;
  std::string text;
};

Outcome outcome_of(const FinishedJob& job) {
  const std::string result = ascii_lower(job.result);
  if (job.cause == "finished" && result == "succeeded") return {"good", "\u2713", "succeeded"};
  if (job.cause == "finished" && result == "canceled") return {"plain", "\u2013", "canceled"};
  if (job.cause == "finished" && !result.empty()) return {"bad", "\u2717", job.result};
  std::string text = job.cause;
  std::ranges::replace(text, '_', ' ');
  if (!result.empty()) text = result + ", " + text;
  return {"bad", "!", text};
}

Markup between(const std::optional<WallTime>& from, const std::optional<WallTime>& to) {
  if (!from || !to) return Markup().put("<span class=\"minor\">\u2013</span>");
  return span(*to - *from);
}

Markup job_row(const FinishedJob& job, WallTime now, Duration scale) {
  const Outcome outcome = outcome_of(job);
  Markup out;
  out.put("<tr><th scope=\"row\" class=\"job\">",
          isolated(job.job.empty() ? "no job came" : job.job), "<p class=\"minor\">");
  out.put(isolated(job.repository.empty() ? job.scope : job.repository));
  if (!job.workflow.empty()) out.put(", ", isolated(job.workflow));
  out.put("</p></th><td>", safe(job.profile), "<p class=\"minor vm\">", safe(job.vm),
          "</p></td><td>", "<span class=\"outcome ", safe(outcome.look),
          "\"><span aria-hidden=\"true\">", safe(outcome.mark), "</span> ", safe(outcome.text),
          "</span>");
  if (!job.cause_text.empty()) out.put("<p class=\"minor\">", safe(job.cause_text), "</p>");
  out.put("</td><td class=\"number\">", between(job.queued, job.created),
          "</td><td class=\"number\">", between(job.created, job.listening),
          "</td><td class=\"number\">", between(job.started, job.ended));
  out.put("</td><td class=\"number\">");
  if (job.ended) out.put(time_tag(*job.ended, now));
  return out.put("</td><td class=\"way\">", timeline(job, scale), "</td></tr>");
}

constexpr std::array kLooks{
    Look{"queued", "queued until its VM was launched"},
    Look{"boot", "boot until its runner listened"},
    Look{"idle", "until the job came"},
    Look{"run", "ran until its VM ended"},
};

}  // namespace

Markup jobs_part(const Page& page) {
  Markup out;
  out.put(
      "<section id=\"jobs\" aria-labelledby=\"jobs-head\"><h2 id=\"jobs-head\">Recent jobs</h2>");
  if (!page.recent_error.empty()) {
    return out.put("<p class=\"empty\">They cannot be read: ", safe(page.recent_error, 500),
                   "</p></section>");
  }
  if (page.recent.empty())
    return out.put("<p class=\"empty\">No job has ended here.</p></section>");
  Duration scale{1};
  for (const auto& job : page.recent) scale = std::max(scale, length_of(job));
  out.put(legend("stage", "Looks of the stages", kLooks));
  out.put(table_start(
      Markup().put("jobs-table"), Markup().put("The latest jobs that ended here, the latest first"),
      Markup().put("<th scope=\"col\">Job</th><th scope=\"col\">Profile and VM</th><th "
                   "scope=\"col\">Result</th><th scope=\"col\" class=\"number\">Queued</th><th "
                   "scope=\"col\" class=\"number\">Boot</th><th scope=\"col\" class=\"number\">Ran"
                   "</th><th scope=\"col\" class=\"number\">Ended</th><th scope=\"col\" "
                   "class=\"way\">Timeline, 0 to ",
                   span(scale), "</th>")));
  for (const auto& job : page.recent) out.put(job_row(job, page.wall, scale));
  return out.put(table_end(), "</section>");
}

}  // namespace mvr::daemon
