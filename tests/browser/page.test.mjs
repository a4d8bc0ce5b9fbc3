// The status page in headless Chromium, on made-up hosts with 0, 3 and 200 VMs and hostile names.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { assertQuiet, Host, launch, open, overflow, picture, violations } from "./support.mjs";

const VMS = { empty: 0, few: 3, full: 200, hostile: 3, gone: 0 };
let browser;
const hosts = {};

before(async () => {
  browser = await launch();
  for (const world of Object.keys(VMS)) hosts[world] = await Host.start(world);
});

after(async () => {
  await browser?.close();
  for (const host of Object.values(hosts)) await host.stop();
});

async function withPage(host, options, use) {
  const page = await open(browser, host, options);
  try {
    await use(page);
    assertQuiet(page, host);
  } finally {
    await page.context().close();
  }
}

for (const [world, vms] of Object.entries(VMS)) {
  for (const colorScheme of ["light", "dark"]) {
    test(`${world}, ${colorScheme}: whole, accessible and quiet`, () =>
      withPage(hosts[world], { colorScheme }, async (page) => {
        await picture(page, `${world}-${colorScheme}`);
        assert.equal(await page.locator("#machine tbody tr").count(), vms);
        assert.equal(await page.locator("svg.machine >> nth=0 >> css=> svg.box:not(.free):not(.kept)")
          .count(), vms);
        assert.equal(await page.locator("h1").count(), 1);
        const headings = await page.locator("h2").allTextContents();
        assert.deepEqual(headings, ["Machine", "Queue", "Recent jobs", "Last 24 hours"]);
        for (const table of await page.locator("table").all()) {
          assert.equal(await table.locator("caption").count(), 1);
        }
        assert.deepEqual(await violations(page), []);
      }));
  }

  test(`${world}: 320 pixels, without scrolling sideways`, () =>
    withPage(hosts[world], { viewport: { width: 320, height: 800 } }, async (page) => {
      await picture(page, `${world}-narrow`);
      assert.equal(await overflow(page), 0);
      assert.deepEqual(await violations(page), []);
    }));

  test(`${world}: no label lies over another or outside its box`, async () => {
    for (const width of [320, 500, 700, 1000, 1280, 1900]) {
      await withPage(hosts[world], { viewport: { width, height: 800 } }, async (page) => {
        const cut = await page.evaluate(() => [...document.querySelectorAll("svg.machine > .box")]
          .flatMap((box) => [...box.querySelectorAll("text")].filter((text) => {
            const [inner, outer] = [text.getBoundingClientRect(), box.getBoundingClientRect()];
            return inner.width > 0 && (inner.right > outer.right || inner.bottom > outer.bottom + 1);
          }).map((text) => text.textContent)));
        assert.deepEqual(cut, [], `at ${width} pixels`);
      });
    }
  });
}

test("what it says: the machine, the queue with reasons, recent jobs, the day", () =>
  withPage(hosts.few, {}, async (page) => {
    const text = async (selector) => (await page.locator(selector).innerText()).replace(/\s+/g, " ");
    assert.match(await text("#notice"), /This host takes jobs/);
    assert.match(await text("#facts"), /Memory in use 28GiB of 62GiB, 45%/);
    assert.match(await text("#facts"), /vCPUs in use 8 of 16, 50%/);
    assert.match(await text("#machine tbody"), /large running for .* integration \(0, ubuntu\) acme/);
    const queue = await text("#queue tbody");
    assert.match(queue, /^2 huge acme needs 48GiB of memory, 34GiB free What to do: wait/);
    assert.match(queue, /release \(linux, x64\) acme\/web-3, queued for \d+m/);
    assert.equal(await page.locator("#jobs tbody tr").count(), 12);
    assert.match(await text("#jobs tbody tr:first-child"), /test \(0\) acme\/web-0, ci small/);
    assert.match(await text("#jobs tbody"), /job timeout it ran for longer than 6h/);
    await page.locator("#use summary").click();
    assert.equal(await page.locator("#use tbody tr").count(), 24);
    assert.match(await text("#use tbody"), /not known/);
    await page.locator("#waits summary").click();
    assert.ok(await page.locator("#waits tbody tr").count() > 20);
    assert.deepEqual(await violations(page), []);
  }));

test("200 VMs, and a host that is not well", () => withPage(hosts.full, {}, async (page) => {
  assert.match(await page.locator("#notice").innerText(), /under pressure: 1.5GiB of memory/);
  assert.equal(await page.locator("#queue tbody tr").count(), 4);
  assert.equal(await page.locator("#jobs tbody tr").count(), 50);
  const first = page.locator("svg.machine >> nth=0 >> css=> svg.box >> nth=0");
  assert.match(await first.locator("title").textContent(), /^large-\w+: .* 16GiB, 6 vCPUs$/);
}));

test("without scripts all of it is there", () =>
  withPage(hosts.full, { javaScriptEnabled: false }, async (page) => {
    await picture(page, "full-without-scripts");
    assert.equal(await page.locator("#machine tbody tr").count(), 200);
    assert.equal(await page.locator("#jobs tbody tr").count(), 50);
    assert.ok(await page.getByText("Reload the page for newer values.").isVisible());
    assert.ok(!await page.locator("#pause").isVisible());
    await page.locator("#waits summary").click();
    assert.ok(await page.locator("#waits table").isVisible());
  }));

test("the keyboard reaches everything in the order of the page", () =>
  withPage(hosts.few, {}, async (page) => {
    const seen = [];
    for (let i = 0; i < 14; ++i) {
      await page.keyboard.press("Tab");
      seen.push(await page.evaluate(() => {
        const at = document.activeElement;
        const style = getComputedStyle(at);
        const shown = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        return (at.getAttribute("aria-labelledby") ?? at.textContent) + (shown ? "" : " UNSEEN");
      }));
    }
    assert.deepEqual(seen, ["Skip to the machine", "Machine", "Queue", "Recent jobs",
      "Last 24 hours", "Pause updates", "vm-table", "queue-table", "jobs-table", "The numbers",
      "The numbers", "metrics", "healthz", "readyz"]);
  }));

test("the skip link is seen when it has the focus, and leads to the machine", () =>
  withPage(hosts.few, {}, async (page) => {
    await page.keyboard.press("Tab");
    const box = await page.locator(".skip").boundingBox();
    assert.ok(box.x >= 0 && box.y >= 0);
    await page.keyboard.press("Enter");
    assert.equal(new URL(page.url()).hash, "#machine");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() =>
      document.activeElement.getAttribute("aria-labelledby")), "vm-table");
  }));

test("a region that scrolls does so by the keyboard", () => withPage(hosts.full, {}, async (page) => {
  const region = page.locator("#machine .scroll");
  await region.focus();
  await page.keyboard.press("End");
  await page.waitForFunction(() => document.querySelector("#machine .scroll").scrollTop > 100);
}));

test("hostile names are text: no element, no script, no other direction", () =>
  withPage(hosts.hostile, {}, async (page) => {
    assert.equal(await page.locator("img, object, iframe, [onerror], [onload]").count(), 0);
    assert.equal(await page.locator("script").count(), 1);
    const text = await page.locator("body").innerText();
    assert.ok(text.includes("<script>alert(2)</script>"));
    assert.ok(!/[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u001b]/.test(text));
    assert.equal(page.asked.length, 1);
  }));

test("the answer's headers let nothing in and nothing out", () =>
  withPage(hosts.few, {}, async (page) => {
    const headers = page.answer.headers();
    assert.match(headers["content-security-policy"], /^default-src 'none'; style-src 'sha256-/);
    assert.match(headers["content-security-policy"], /frame-ancestors 'none'/);
    assert.doesNotMatch(headers["content-security-policy"], /unsafe|\*|http/);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["cache-control"], "no-store");
    // The policy is in force: an injected script does not run.
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.injected = true";
      document.body.append(script);
    });
    assert.equal(await page.evaluate(() => window.injected), undefined);
    assert.match(page.problems.join(), /Content Security Policy/);
    page.problems = [];
  }));

test("no other page shows it in a frame", async () => {
  const server = createServer((_, answer) => {
    answer.setHeader("Content-Type", "text/html");
    answer.end(`<iframe src="${hosts.few.url}"></iframe>`);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const page = await browser.newPage();
  try {
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    assert.doesNotMatch(await page.frames()[1].content(), /mvrunner on/);
  } finally {
    await page.close();
    server.close();
  }
});

const asOf = (page) => page.locator("#as-of").innerText();

test("it keeps itself fresh, in place, and leaves alone what is being used", async () => {
  const page = await open(browser, hosts.few);
  try {
    await page.clock.install();
    await page.goto(hosts.few.url);
    const before = await asOf(page);
    await page.locator("#waits summary").click();
    await page.locator("#queue .scroll").focus();
    const queue = await page.locator("#queue").elementHandle();
    await page.waitForTimeout(1100);
    await page.clock.fastForward(10_500);
    await page.waitForFunction((text) => document.getElementById("as-of").innerText !== text, before);
    assert.ok(await page.locator("#waits details").evaluate((details) => details.open));
    assert.ok(await queue.evaluate((element) => element.isConnected));
    assert.equal(await page.evaluate(() =>
      document.activeElement.getAttribute("aria-labelledby")), "queue-table");
    assertQuiet(page, hosts.few);
  } finally {
    await page.context().close();
  }
});

test("updates can be paused, and are from the start where less motion is wanted", async () => {
  for (const reducedMotion of ["no-preference", "reduce"]) {
    const page = await open(browser, hosts.few, { reducedMotion });
    try {
      await page.clock.install();
      await page.goto(hosts.few.url);
      const button = page.getByRole("button", { name: "Pause updates" });
      const starts = reducedMotion === "reduce" ? "true" : "false";
      assert.equal(await button.getAttribute("aria-pressed"), starts);
      if (starts === "false") await button.press("Enter");
      assert.equal(await button.getAttribute("aria-pressed"), "true");
      assert.equal(await page.getByRole("status").innerText(), "Updates are paused");
      const asked = page.asked.length;
      await page.clock.fastForward(60_000);
      assert.equal(page.asked.length, asked);
      await button.press("Space");
      await page.waitForFunction(() =>
        document.getElementById("fresh").innerText === "Updated every 10 seconds");
      assert.equal(page.asked.length, asked + 1);
    } finally {
      await page.context().close();
    }
  }
});

test("a daemon that went away is said to have, until it is back", async () => {
  const host = await Host.start("few");
  const page = await open(browser, host);
  try {
    await page.clock.install();
    await page.goto(host.url);
    await host.stop();
    const says = async (text) => {
      await page.clock.fastForward(10_500);
      await page.waitForFunction((wanted) => document.getElementById("fresh").innerText === wanted,
        text);
    };
    await says("The daemon does not answer; trying again");
    assert.equal(await page.locator("#machine tbody tr").count(), 3);
    const again = await Host.start("few", host.address);
    try {
      await says("Updated every 10 seconds");
    } finally {
      await again.stop();
    }
  } finally {
    await page.context().close();
    await host.stop();
  }
});
