// Everything the production client asks for, and everything the stand-in answers to it, through an
// OpenAPI proxy of others (Prism) that refuses what GitHub's description does not have.
//
// FAKE_HOST: the program of tests/fakes/host; without it this is skipped.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { kToken, startStandIn, waitFor } from './support.mjs';

const kModules = join(dirname(process.env.MVR_OPENAPI), 'node_modules');
const kPrism = join(kModules, '@stoplight/prism-cli/dist/index.js');

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// Prism wants the first part of all paths in the paths themselves.
async function startProxy(place, upstream) {
  const description = JSON.parse(readFileSync(process.env.MVR_OPENAPI, 'utf8'));
  description.paths = Object.fromEntries(
    Object.entries(description.paths).map(([path, operations]) => [`/api/v3${path}`, operations]),
  );
  const file = join(place, 'description.json');
  writeFileSync(file, JSON.stringify(description));
  const port = await freePort();
  const args = [kPrism, 'proxy', '--errors', '--port', String(port), file, upstream];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => {
      output += text;
    });
  }
  await waitFor(() => output.includes('listening'), 'the proxy listens');
  return { url: `http://127.0.0.1:${port}`, child, output: () => output };
}

function startHost(place, url, runnerUrl) {
  const token = join(place, 'token');
  writeFileSync(token, `${kToken}\n`);
  chmodSync(token, 0o600);
  const config = {
    state_dir: join(place, 'state'),
    run_dir: join(place, 'run'),
    github: {
      url,
      token_file: token,
      poll_interval: '1s',
      scopes: [{ organization: 'acme' }, { repository: 'other/thing' }],
    },
    host: { id: 'proxy', memory: '8GiB', cpus: 8, disk: '100GiB' },
    profiles: [{ name: 'small', labels: ['mv-small'], memory: '1GiB', vcpus: 1 }],
  };
  const file = join(place, 'mvrunner.yaml');
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(process.env.FAKE_HOST, [file, runnerUrl], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line)));
  return { child, lines };
}

async function end(child) {
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}

test('a proxy that holds both sides to the description lets all of it pass', async (context) => {
  if (!process.env.FAKE_HOST) return context.skip('FAKE_HOST is not set');
  const github = await startStandIn();
  const place = mkdtempSync(join(tmpdir(), 'mvr-proxy-'));
  context.after(() => rmSync(place, { recursive: true, force: true }));
  for (const repo of ['acme/widgets', 'acme/gadgets', 'other/thing']) {
    await github.control('POST', '/repos', { repo });
  }
  const proxy = await startProxy(place, github.url);
  const host = startHost(place, proxy.url, github.url);
  try {
    const jobs = [];
    for (const repo of ['acme/widgets', 'other/thing']) {
      jobs.push((await github.addJob({ repo, name: 'build 1s' })).job_id);
    }
    for (const id of jobs) {
      await waitFor(async () => (await github.job(id)).status === 'completed', `${id} is served`);
    }
    // One is queued and cancelled, so that a runner is deleted.
    const { job_id } = await github.addJob({ name: 'never 1s' });
    await waitFor(
      async () => (await github.control('GET', '/state')).runners.length > 0,
      'a runner is registered',
    );
    await github.control('POST', `/jobs/${job_id}/cancel`);
    await waitFor(
      async () => (await github.control('GET', '/state')).runners.length === 0,
      'the runner is deleted',
    );
  } finally {
    await end(host.child);
    await end(proxy.child);
  }
  assert.deepEqual(
    host.lines.filter(({ event }) => event === 'discovery_failed' || event === 'jit_failed'),
    [],
  );
  assert.doesNotMatch(proxy.output(), /UNPROCESSABLE|VIOLATIONS|NO_PATH_MATCHED|not valid/i);
  assert.match(proxy.output(), /generate-jitconfig/);
  assert.match(proxy.output(), /installation|runner-groups|repos/);
});
