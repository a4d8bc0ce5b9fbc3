// A stateful, strict stand-in for GitHub: the part of its REST API that runners need, the runner's
// own endpoint, and a control interface for tests.
//
//   node server.mjs --listen ADDR:PORT --token T [--control-token C] [--openapi FILE [--unchecked]]
//     [--log FILE]
//
// --openapi: every exchange is held to this description, unless it is --unchecked; what verifies the
// tokens of Apps is beside it.
//
// One JSON line on stdout says where it listens: {"url": "http://127.0.0.1:41231"}.
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { authenticateApp, loadVerifier } from './apps.mjs';
import { Contract } from './contract.mjs';
import { controlRoutes, Counters, Faults } from './control.mjs';
import { isDownload, serveDownload } from './downloads.mjs';
import * as rest from './rest.mjs';
import { runnerRoutes } from './runner_api.mjs';
import { findScaleSetRoute, serveScaleSets } from './scaleset_api.mjs';
import { Refusal, World } from './world.mjs';

const kMaxBody = 8 * 1024 * 1024;
const kDocumentation = 'https://docs.github.com/rest';
const kApiPrefix = '/api/v3'; // of a GitHub Enterprise Server

class StandIn {
  constructor({ token, controlToken, contract, logFile }) {
    Object.assign(this, { token, controlToken, contract, logFile });
    this.world = new World();
    this.violations = contract?.violations ?? [];
    this.restart();
  }

  restart() {
    this.world.reset();
    this.world.setToken({ token: this.token });
    this.counters = new Counters();
    this.faults = new Faults();
    this.violations.length = 0;
  }

  async handle(request, response) {
    const started = Date.now();
    const origin = `http://${request.headers.host}`;
    const url = new URL(request.url, origin);
    const call = { request, response, origin, url, query: url.searchParams, world: this.world };
    call.path = url.pathname;
    call.base = origin;
    if (call.path.startsWith(`${kApiPrefix}/`)) {
      call.path = call.path.slice(kApiPrefix.length);
      call.base = origin + kApiPrefix;
    }
    try {
      await this.readBody(call);
      const answer = await this.answer(call);
      if (answer.drop) response.destroy();
      else send(response, answer, this.world.now());
      this.note(call, answer, started);
    } catch (error) {
      const answer = refusalAnswer(error);
      send(response, answer, this.world.now());
      this.note(call, answer, started);
    }
  }

  async readBody(call) {
    const chunks = [];
    let size = 0;
    for await (const chunk of call.request) {
      size += chunk.length;
      if (size > kMaxBody) throw new Refusal(413, 'the body is too large');
      chunks.push(chunk);
    }
    call.text = Buffer.concat(chunks).toString('utf8');
    call.body = undefined;
    if (call.text && !/\/log$/.test(call.path)) {
      try {
        call.body = JSON.parse(call.text);
      } catch {
        throw new Refusal(400, 'Problems parsing JSON');
      }
    }
  }

  answer(call) {
    if (call.path.startsWith('/_control/')) return this.control(call);
    if (call.path.startsWith('/_runner/')) return this.withFaults(call, () => this.runner(call));
    if (isDownload(call.path)) {
      const { violations } = this;
      return this.withFaults(call, () => serveDownload({ ...call, violations }));
    }
    const service = findScaleSetRoute(call.request.method, call.path);
    if (service) {
      call.name = `${service.method} ${service.path}`;
      return this.withFaults(call, () => serveScaleSets(call, service));
    }
    const found = rest.findRoute(call.request.method, call.path);
    call.route = found?.route ?? null;
    call.params = found?.params ?? {};
    call.name = call.route
      ? `${call.request.method} ${call.route.path}`
      : `${call.request.method} ?`;
    return this.withFaults(call, () => this.github(call));
  }

  // ---- faults ----------------------------------------------------------------------------------

  async withFaults(call, serve) {
    call.name ??= `${call.request.method} ${call.path}`;
    const fault = this.faults.take(
      call.name,
      `${call.request.method} ${call.path}${call.url.search}`,
    );
    if (fault?.delay_ms) await sleep(fault.delay_ms);
    if (fault?.drop === 'before') return { drop: true, status: 0 };
    if (fault?.status) return this.madeUp(call, fault);
    const answer = await serve();
    return fault?.drop === 'after' ? { drop: true, status: 0 } : answer;
  }

  madeUp(call, { status, headers, body, validate }) {
    const answer = { status, headers, body: body ?? errorBody(status, 'made-up failure') };
    return validate ? this.checked(call, answer) : answer;
  }

  // ---- the three faces -------------------------------------------------------------------------

  async control(call) {
    if (call.request.headers.authorization !== `Bearer ${this.controlToken}`) {
      throw new Refusal(401, 'the control token is missing or wrong');
    }
    const { counters, faults, violations } = this;
    return serveBy(controlRoutes, {
      ...call,
      counters,
      faults,
      violations,
      restart: () => this.restart(),
    });
  }

  runner(call) {
    const onAbort = (act) => call.response.on('close', act);
    return serveBy(runnerRoutes, { ...call, onAbort });
  }

  // A renamed repository's former name answers with the address of the new one.
  renamed(call) {
    for (const [from, to] of this.world.renames) {
      const path = call.path.replace(new RegExp(`^/repos/${from}(?=/|$)`, 'i'), `/repos/${to}`);
      if (path !== call.path) return `${call.base}${path}${call.url.search}`;
    }
    return null;
  }

  async github(call) {
    const { request, url } = call;
    const location = this.renamed(call);
    if (location) {
      const status = request.method === 'GET' ? 301 : 307;
      return { status, headers: { location }, body: { message: 'Moved Permanently', url: location } };
    }
    let token;
    try {
      rest.checkHeaders(request.headers);
      const isApp = call.route?.permission === 'app';
      const authenticate = isApp ? authenticateApp : rest.authenticate;
      token = await authenticate(this.world, request.headers);
      call.token = token;
      rest.checkRate(token);
      if (!call.route) throw new Refusal(404, 'Not Found');
      const bad = this.contract?.checkRequest(call.route, contractRequest(call));
      if (bad?.length) return violationAnswer('request', bad);
      if (!isApp) rest.checkPermission(token, call.route, call.params);
      const answer = this.checked(call, call.route.handler(call));
      Object.assign((answer.headers ??= {}), rest.scopeHeaders(token));
      return conditional(call, token, answer, url);
    } catch (error) {
      const answer = this.checked(call, refusalAnswer(error));
      if (token) Object.assign(answer.headers, charge(token), rest.scopeHeaders(token));
      return answer;
    }
  }

  checked(call, answer) {
    if (!this.contract || !call.route) return answer;
    const bad = this.contract.checkAnswer(call.route, contractRequest(call), answer);
    return bad.length ? violationAnswer('answer', bad) : answer;
  }

  note(call, { status }, started) {
    if (!call.path.startsWith('/_control/')) this.counters.add(counterName(call), status);
    if (!this.logFile) return;
    const line = {
      time: new Date(started).toISOString(),
      request: `${call.request.method} ${call.path}${call.url.search}`,
      status,
      ms: Date.now() - started,
      agent: call.request.headers['user-agent'],
    };
    appendFileSync(this.logFile, `${JSON.stringify(line)}\n`);
  }
}

const counterName = ({ name, request, path }) =>
  (name ?? `${request.method} ${path}`).replace(
    /\/_runner\/session\/[^/]+/,
    '/_runner/session/{id}',
  );

function serveBy(table, call) {
  for (const { method, pattern, handler } of table) {
    const match = method === call.request.method && pattern.exec(call.path);
    if (match) return handler({ ...call, params: match.groups ?? {} });
  }
  throw new Refusal(404, `nothing at ${call.request.method} ${call.path}`);
}

function contractRequest({ request, path, url, body }) {
  const query = Object.fromEntries(url.searchParams);
  return { method: request.method, path, query, headers: request.headers, body };
}

// A 304 is free; everything else counts against the token's limit.
function conditional(call, token, answer, url) {
  const isGet = call.request.method === 'GET' && answer.status === 200;
  const headers = { ...answer.headers };
  if (isGet) {
    headers.etag = rest.entityTag(
      token,
      call.request.headers,
      url.href,
      JSON.stringify(answer.body),
    );
    headers['cache-control'] = 'private, max-age=60, s-maxage=60';
    headers.vary = 'Accept, Authorization, Cookie, X-GitHub-OTP, Accept-Encoding';
    if (call.request.headers['if-none-match'] === headers.etag) {
      return { status: 304, headers: { ...headers, ...rest.rateHeaders(token) } };
    }
  }
  return { ...answer, headers: { ...headers, ...charge(token) } };
}

function charge(token) {
  if (token.used < token.limit) token.used += 1;
  return rest.rateHeaders(token);
}

const errorBody = (status, message, fields = {}) => ({
  message,
  documentation_url: kDocumentation,
  status: String(status),
  ...fields,
});

function refusalAnswer(error) {
  if (error instanceof Refusal) {
    const { status, message, fields, headers = {} } = error;
    return { status, headers: { ...headers }, body: errorBody(status, message, fields) };
  }
  process.stderr.write(`${error.stack}\n`);
  return { status: 500, headers: {}, body: errorBody(500, `stand-in failure: ${error.message}`) };
}

const violationAnswer = (side, violations) => ({
  status: 500,
  headers: {},
  body: errorBody(500, `the ${side} breaks GitHub's contract`, { violations }),
});

// Half of what its length promises, when it is cut.
function sendBytes(response, status, bytes, isCut) {
  response.setHeader('content-type', 'application/octet-stream');
  response.setHeader('content-length', bytes.length);
  response.writeHead(status);
  if (!isCut) return response.end(bytes);
  response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
}

function send(response, { status, headers = {}, body, text: given, bytes, isCut }, now) {
  if (response.destroyed) return;
  response.setHeader('date', new Date(now).toUTCString());
  if (bytes) return sendBytes(response, status, bytes, isCut);
  const text = given ?? (body === undefined ? '' : JSON.stringify(body));
  if (text) response.setHeader('content-type', 'application/json; charset=utf-8');
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('x-github-request-id', Math.random().toString(16).slice(2).toUpperCase());
  response.writeHead(status);
  response.end(text);
}

async function main() {
  const { values } = parseArgs({
    options: {
      listen: { type: 'string', default: '127.0.0.1:0' },
      token: { type: 'string' },
      'control-token': { type: 'string', default: 'control' },
      openapi: { type: 'string' },
      unchecked: { type: 'boolean', default: false },
      log: { type: 'string' },
    },
  });
  if (!values.token) throw new Error('--token is needed');
  const checks = values.openapi && !values.unchecked;
  const contract = checks ? await Contract.load(values.openapi) : null;
  if (values.openapi) loadVerifier(values.openapi);
  const standIn = new StandIn({
    token: values.token,
    controlToken: values['control-token'],
    contract,
    logFile: values.log,
  });
  const server = createServer((request, response) => standIn.handle(request, response));
  const aging = setInterval(() => standIn.world.age(), 500);
  const stop = () => {
    clearInterval(aging);
    server.close();
    server.closeAllConnections();
    standIn.world.reset();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const [, host, port] = /^(.*):(\d+)$/.exec(values.listen);
  server.listen(Number(port), host, () => {
    const { address, port: actual } = server.address();
    process.stdout.write(`${JSON.stringify({ url: `http://${address}:${actual}` })}\n`);
  });
}

main().catch((error) => {
  process.stderr.write(`server.mjs: ${error.message}\n`);
  process.exitCode = 1;
});
