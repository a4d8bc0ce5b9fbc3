// What the status page looks like, and the script that keeps it fresh. Both stand in the page
// itself; its policy names their hashes. Nothing has a style attribute: the policy forbids it.
#include "daemon/page_parts.h"

namespace mvr::daemon {

const char* const kPageStyle = R"css(
:root{color-scheme:light dark;
--page:#f5f6f8;--card:#fff;--edge:#d8dde4;--text:#1b2330;--minor:#566173;--link:#1d5aa8;
--track:#e4e8ed;--level:#3a6ea8;--grid:#dfe3e9;--gap:#e9ecf0;
--run:#cde8d5;--run-edge:#2c7a48;--start:#fae6b6;--start-edge:#946400;
--wait:#cfe2f8;--wait-edge:#2a66ab;--end:#e2e5ea;--end-edge:#66717f;
--held:#e6d9f6;--held-edge:#6b40ab;--kept:#eef0f3;--kept-edge:#a3acb8;
--good:#1f6b3c;--bad:#a8261c;--bad-page:#fdeeec;--good-page:#eaf5ee;
--p95:#b9cde6;--p50:#2a66ab;--memory:#2a66ab;--vcpus:#b4560f}
@media (prefers-color-scheme:dark){:root{
--page:#11151b;--card:#191f27;--edge:#2e3845;--text:#e5e9ef;--minor:#a2aebd;--link:#8fc0ff;
--track:#2a333f;--level:#6ea4e0;--grid:#2b3440;--gap:#232b35;
--run:#1f4a30;--run-edge:#63bd85;--start:#4c3a0e;--start-edge:#dcab45;
--wait:#1c3f66;--wait-edge:#7ab2f0;--end:#2f3741;--end-edge:#98a4b3;
--held:#3f2b5e;--held-edge:#b795ea;--kept:#1f262f;--kept-edge:#586474;
--good:#7fd39d;--bad:#ff9d93;--bad-page:#3a1f1d;--good-page:#16301f;
--p95:#35537a;--p50:#8abcf3;--memory:#8abcf3;--vcpus:#f0a25e}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:15px/1.5 system-ui,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:1240px;margin:0 auto;padding:0 20px}
header{display:flex;flex-wrap:wrap;gap:8px 28px;align-items:center;padding-top:20px}
h1{font-size:22px;line-height:1.3;margin:0}
h1 span,h1 bdi{font-weight:400}
h2{font-size:18px;margin:0 0 10px}
h3{font-size:15px;margin:0}
p{margin:0}
a{color:var(--link)}
a:focus-visible,button:focus-visible,summary:focus-visible,.scroll:focus-visible{
outline:3px solid var(--link);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-999px;top:8px;background:var(--card);padding:8px 12px;z-index:1}
.skip:focus{left:8px}
#as-of,.minor{color:var(--minor);font-size:13px}
#as-of{font-variant-numeric:tabular-nums}
nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:0;padding:0}
.updates{display:flex;flex-wrap:wrap;gap:6px 12px;align-items:center;margin-left:auto}
.updates[hidden]{display:none}
.updates span{color:var(--minor);font-size:13px}
button{font:inherit;font-size:14px;color:var(--text);background:var(--card);
border:1px solid var(--end-edge);border-radius:6px;padding:5px 12px;cursor:pointer}
button[aria-pressed=true]{background:var(--text);color:var(--page)}
section,.facts>div,figure{background:var(--card);border:1px solid var(--edge);border-radius:10px}
section{padding:16px 18px 18px;margin:16px 0;scroll-margin-top:12px}
#charts{background:none;border:0;padding:0}
#charts>h2{margin-left:4px}
.notice{border-radius:10px;padding:9px 14px;margin-top:16px;border:1px solid}
.notice ul{margin:4px 0 0;padding-left:34px}
.notice .mark{display:inline-block;width:20px;font-weight:700;text-align:center}
.good{color:var(--good)}
.bad{color:var(--bad)}
.notice.good{background:var(--good-page)}
.notice.bad{background:var(--bad-page)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,160px),1fr));gap:12px;
margin:16px 0 0}
.facts>div{padding:10px 14px 12px}
.facts dt{font-size:13px;color:var(--minor)}
.facts dd{margin:0}
.facts strong{font-size:21px;font-weight:600;font-variant-numeric:tabular-nums}
.facts dd span{display:block;color:var(--minor);font-size:13px}
svg{display:block}
.bar{margin-top:6px}
.track{fill:var(--track)}
.level{fill:var(--level)}
.strip{margin:10px 0 4px}
.machine{border-radius:6px;background:var(--page)}
.box .plain,.stage .plain{stroke-width:1.5}
.box .plain,.box .over{x:1px;y:1px;width:calc(100% - 2px);height:calc(100% - 2px);rx:3px}
.over{fill:none}
.box text,.chart text{font:12px/1 system-ui,"DejaVu Sans",sans-serif;fill:var(--text)}
.box .name{font-weight:600}
.running .plain{fill:var(--run);stroke:var(--run-edge)}
.starting .plain{fill:var(--start);stroke:var(--start-edge)}
.waiting .plain{fill:var(--wait);stroke:var(--wait-edge)}
.ending .plain{fill:var(--end);stroke:var(--end-edge);stroke-dasharray:5 3}
.held .plain{fill:var(--held);stroke:var(--held-edge);stroke-width:4}
.free .plain{fill:none;stroke:var(--kept-edge);stroke-dasharray:2 4}
.kept .plain{fill:var(--kept);stroke:var(--kept-edge)}
.starting .over,.kept .over{fill:url(#lines)}
.waiting .over{fill:url(#dots)}
.ink{fill:var(--text);opacity:.1}
.w1,.w2,.w3,.w4{display:none}
@media (min-width:480px){.w1{display:inline}}
@media (min-width:660px){.w2{display:inline}}
@media (min-width:960px){.w3{display:inline}}
@media (min-width:1210px){.w4{display:inline}}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:10px 0 12px;padding:0;
color:var(--minor);font-size:13px}
.legend svg{display:inline-block;vertical-align:-2px}
.scroll{overflow:auto;max-height:470px;border:1px solid var(--edge);border-radius:6px}
#jobs .scroll{max-height:680px}
table{border-collapse:collapse;width:100%;font-size:14px;overflow-wrap:normal}
caption{text-align:left;padding:8px 12px;color:var(--minor);font-size:13px}
th,td{padding:7px 12px;text-align:left;vertical-align:top;border-top:1px solid var(--edge);
max-width:380px;overflow-wrap:break-word}
thead th{font-size:13px;font-weight:600;color:var(--minor);white-space:nowrap;
position:sticky;top:0;background:var(--card)}
tbody th{font-weight:600}
td p,th p{font-weight:400}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.job{min-width:170px;max-width:320px}
.wide{min-width:260px}
.way{min-width:230px;width:26%}
.outcome{display:block;min-width:110px;font-weight:600}
.vm{white-space:nowrap}
.timeline{margin-top:2px;background:var(--page)}
.stage .plain{stroke:none}
.queued .plain{fill:var(--start-edge);opacity:.55}
.boot .plain{fill:var(--wait-edge)}
.idle .plain{fill:var(--held-edge);opacity:.6}
.run .plain{fill:var(--run-edge)}
.queued .over{fill:url(#lines)}
.empty{color:var(--minor);padding:4px 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:16px}
figure{margin:0;padding:14px 18px 16px;min-width:0}
figcaption{margin-bottom:8px}
.key{display:inline-block;vertical-align:2px}
.chart{overflow:visible}
.chart text{fill:var(--minor)}
.grid{stroke:var(--grid)}
.p95{fill:var(--p95)}
.p50{fill:var(--p50)}
.gap{fill:var(--gap)}
.plot{overflow:hidden}
polyline,.key line{fill:none;stroke-width:2;vector-effect:non-scaling-stroke;
stroke-linejoin:round}
.memory{stroke:var(--memory)}
.vcpus{stroke:var(--vcpus);stroke-dasharray:5 3}
details{margin-top:10px}
summary{cursor:pointer;color:var(--link);font-size:14px}
details .scroll{max-height:260px;margin-top:8px}
footer{padding-bottom:28px;color:var(--minor);font-size:13px}
@media (max-width:560px){.facts{grid-template-columns:1fr 1fr}
header,main,footer{padding-left:14px;padding-right:14px}
section,figure{padding:12px}.updates{margin-left:0}}
@media (forced-colors:active){.plain,.level,.p50,.p95{forced-color-adjust:none}}
@media print{.updates,.skip,nav{display:none}.scroll{max-height:none;overflow:visible}}
)css";

// Replaces the parts of the page that have changed. What a person is in, by keyboard focus, stays
// until they leave it; what they opened or scrolled stays so.
const char* const kPageScript = R"js(
(() => {
  "use strict";
  const parts = ["as-of", "notice", "facts", "machine", "queue", "jobs", "waits", "use"];
  const every = 10000;
  const button = document.getElementById("pause");
  const fresh = document.getElementById("fresh");
  let paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let lost = false;
  const say = () => {
    button.setAttribute("aria-pressed", String(paused));
    const text = paused ? "Updates are paused" :
      lost ? "The daemon does not answer; trying again" : "Updated every 10 seconds";
    if (fresh.textContent !== text) fresh.textContent = text;
  };
  const state = (part) => ({
    open: [...part.querySelectorAll("details")].map((each) => each.open),
    scroll: [...part.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]),
  });
  const restore = (part, {open, scroll}) => {
    part.querySelectorAll("details").forEach((each, i) => { each.open = Boolean(open[i]); });
    part.querySelectorAll(".scroll").forEach((each, i) => {
      [each.scrollLeft, each.scrollTop] = scroll[i] || [0, 0];
    });
  };
  const swap = (page) => {
    for (const id of parts) {
      const old = document.getElementById(id);
      const next = page.getElementById(id);
      if (!old || !next || old.contains(document.activeElement)) continue;
      if (old.isEqualNode(next)) continue;
      const kept = state(old);
      const placed = document.adoptNode(next);
      old.replaceWith(placed);
      restore(placed, kept);
    }
  };
  const look = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch("/", {signal: AbortSignal.timeout(8000)});
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!paused) swap(page);
      lost = false;
    } catch {
      lost = true;
    }
    say();
  };
  button.addEventListener("click", () => {
    paused = !paused;
    say();
    look();
  });
  document.addEventListener("visibilitychange", look);
  setInterval(look, every);
  document.getElementById("updates").hidden = false;
  document.getElementById("stale").hidden = true;
  say();
})();
)js";

}  // namespace mvr::daemon
