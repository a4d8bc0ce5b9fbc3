// Starts the stand-in GitHub and talks to it as a client would.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

export const kToken = 'ghp_contracttests';
const kServer = fileURLToPath(new URL('../fakes/github/server.mjs', import.meta.url));

// A program takes a second to start with its validator, so the tests of one file share one; each
// gets it as new.
const running = new Map();
after(() => Promise.all([...running.values()].map(({ stop }) => stop())));

export async function startStandIn({ validate = true } = {}) {
  if (!running.has(validate)) running.set(validate, await spawnStandIn(validate));
  const { url } = running.get(validate);
  const github = new StandIn(url);
  await github.control('POST', '/reset');
  return github;
}

async function spawnStandIn(validate) {
  const args = [kServer, '--token', kToken];
  if (validate) args.push('--openapi', process.env.MVR_OPENAPI);
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const stop = () => child.kill('SIGTERM') && exited;
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { url: JSON.parse(line).url, stop };
}

class StandIn {
  constructor(url) {
    this.url = url;
  }

  // One request to the REST API: {status, headers, body}.
  async api(method, path, { token = kToken, body, headers = {}, prefix = '/api/v3' } = {}) {
    const answer = await fetch(`${this.url}${prefix}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/vnd.github+json',
        'x-github-api-version': '2022-11-28',
        'user-agent': 'mvrunner-contract',
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    return {
      status: answer.status,
      headers: answer.headers,
      body: text ? JSON.parse(text) : undefined,
    };
  }

  async control(method, path, body) {
    const answer = await fetch(`${this.url}/_control${path}`, {
      method,
      headers: { authorization: 'Bearer control', 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  async addJob(job) {
    return this.control('POST', '/jobs', { repo: 'acme/widgets', labels: ['mv-small'], ...job });
  }

  job(id) {
    return this.control('GET', `/jobs/${id}`);
  }

  violations() {
    return this.control('GET', '/violations');
  }

  async jit(scope, fields = {}) {
    return this.api('POST', `/${scope}/actions/runners/generate-jitconfig`, {
      body: { name: 'mv-a-1', runner_group_id: 1, labels: ['mv-small'], ...fields },
    });
  }

  // ---- the runner's side -----------------------------------------------------------------------

  async openSession(encoded) {
    const { name, secret } = readJit(encoded);
    return this.runner('POST', '/session', { agentName: name, secret, version: '2.336.0' });
  }

  async runner(method, path, body) {
    const answer = await fetch(`${this.url}/_runner${path}`, {
      method,
      body: typeof body === 'object' ? JSON.stringify(body) : body,
    });
    const text = await answer.text();
    return { status: answer.status, body: text ? JSON.parse(text) : undefined };
  }
}

export function readJit(encoded) {
  const decode = (text) => JSON.parse(Buffer.from(text, 'base64').toString('utf8'));
  const files = decode(encoded);
  const key = decode(files['.credentials_rsaparams']);
  return {
    files: Object.keys(files),
    name: decode(files['.runner']).AgentName,
    settings: decode(files['.runner']),
    secret: createHash('sha256').update(key.d).digest('hex'),
  };
}

export async function waitFor(check, what, limitMs = 120_000) {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
