// Chromium, the program that serves the page, and what is asked of every page.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import readline from "node:readline";

const require = createRequire(join(process.env.MVR_NODE_MODULES, "index.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const screenshots = process.env.SCREENSHOTS;
if (screenshots) mkdirSync(screenshots, { recursive: true });

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  chromiumSandbox: process.getuid() !== 0,
  args: ["--disable-gpu", "--disable-dev-shm-usage"],
});

async function freeAddress() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return `127.0.0.1:${port}`;
}

// A made-up host behind the production listener; see page_host.cc for their names.
export class Host {
  static async start(world, address) {
    const host = new Host();
    host.world = world;
    host.address = address ?? await freeAddress();
    host.url = `http://${host.address}/`;
    host.process = spawn(process.env.PAGE_HOST, [host.address, world],
      { stdio: ["ignore", "pipe", "inherit"] });
    await once(readline.createInterface(host.process.stdout), "line");
    return host;
  }

  async stop() {
    if (this.process.exitCode !== null) return;
    this.process.kill();
    await once(this.process, "exit");
  }
}

// A tab that keeps what went wrong in it, and whom it asked.
export async function open(browser, host, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.asked = [];
  page.problems = [];
  page.on("request", (request) => page.asked.push(request.url()));
  page.on("console", (line) => {
    if (["error", "warning"].includes(line.type())) page.problems.push(line.text());
  });
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("dialog", (dialog) => {
    page.problems.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.answer = await page.goto(host.url);
  return page;
}

// Nothing was asked of anybody else, and the browser has nothing to complain of.
export function assertQuiet(page, host) {
  const foreign = page.asked.filter((url) => !url.startsWith(host.url) && !url.startsWith("data:"));
  assert.deepEqual(foreign, []);
  assert.deepEqual(page.problems, []);
}

// The rules of WCAG 2.2 A and AA, and axe's best practices.
export async function violations(page) {
  // Not as an element of the page: its policy forbids that, too.
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.map((each) => `${each.id}: ${each.nodes.map((n) => n.target).join(" ")}`
    + ` (${each.nodes[0].failureSummary})`);
}

export async function picture(page, name) {
  if (screenshots) await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
}

// How far the page could be scrolled sideways.
export const overflow = (page) => page.evaluate(
  () => document.documentElement.scrollWidth - document.documentElement.clientWidth);
