// What we send to Firecracker, and what its stand-in answers, held to the API's own description.
// MVR_FIRECRACKER_API: path of firecracker.yaml from a release of Firecracker; without it these
// tests are skipped. FIRECRACKER_CALLS: the program that prints our documents and calls.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitFor } from './support.mjs';

const kStandIn = fileURLToPath(new URL('../fakes/vmm/firecracker', import.meta.url));
const { MVR_FIRECRACKER_API: kApi, FIRECRACKER_CALLS: kCalls } = process.env;
const skip = Object.entries({ MVR_FIRECRACKER_API: kApi, FIRECRACKER_CALLS: kCalls })
  .filter(([, value]) => !value)
  .map(([name]) => `${name} is not set`)[0];

// The sections of the document are the bodies of these calls.
const kSections = {
  'boot-source': () => '/boot-source',
  drives: ({ drive_id }) => `/drives/${drive_id}`,
  'network-interfaces': ({ iface_id }) => `/network-interfaces/${iface_id}`,
  'machine-config': () => '/machine-config',
  vsock: () => '/vsock',
  entropy: () => '/entropy',
  balloon: () => '/balloon',
  logger: () => '/logger',
  metrics: () => '/metrics',
};

const mapValues = (object, change) =>
  Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));

// Firecracker refuses fields it does not know, which its description leaves open. One format in it
// is a pattern, which no validator takes.
function closed(node) {
  if (Array.isArray(node)) return node.map(closed);
  if (node === null || typeof node !== 'object') return node;
  const copy = mapValues(node, closed);
  if (copy.$ref) return { $ref: copy.$ref.replace('#/definitions/', '#/components/schemas/') };
  if (/\W/.test(copy.format)) delete copy.format;
  if (copy.type === 'object' && copy.properties) copy.additionalProperties ??= false;
  return copy;
}

const content = (schema) => ({ 'application/json': { schema: closed(schema) } });

// Swagger 2, as Firecracker has it, in the words of OpenAPI 3, which the validator knows.
function operationOf({ operationId, parameters = [], responses }) {
  const body = parameters.find((each) => each.in === 'body');
  return {
    operationId,
    parameters: parameters
      .filter((each) => each.in === 'path')
      .map(({ name }) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
    ...(body && { requestBody: { required: true, content: content(body.schema) } }),
    responses: mapValues(responses, ({ schema }) => ({
      description: '',
      ...(schema && { content: content(schema) }),
    })),
  };
}

let loaded;
const loadApi = () => (loaded ??= load());

async function load() {
  const require = createRequire(realpathSync(process.env.MVR_OPENAPI));
  const { OpenAPIBackend } = require('openapi-backend');
  const { $RefParser } = require('@apidevtools/json-schema-ref-parser');
  const addFormats = require('ajv-formats').default;
  const { info, paths, definitions } = await $RefParser.parse(kApi);
  const api = new OpenAPIBackend({
    definition: {
      openapi: '3.0.3',
      info,
      paths: mapValues(paths, (methods) => mapValues(methods, operationOf)),
      components: { schemas: mapValues(definitions, closed) },
    },
    customizeAjv: (ajv) => addFormats(ajv),
  });
  await api.init();
  return api;
}

function checkCall(api, { method, path, body }) {
  const request = { method, path, headers: { 'content-type': 'application/json' }, body };
  const operation = api.router.matchOperation(request);
  assert.ok(operation, `Firecracker has no ${method} ${path}`);
  const { errors } = api.validator.validateRequest(request, operation);
  assert.deepEqual(errors ?? [], [], `${method} ${path}: ${JSON.stringify(body)}`);
  return operation;
}

function callsOf(document) {
  return Object.entries(document).flatMap(([section, value]) => {
    assert.ok(kSections[section], `${section} is no section of the document`);
    return [value].flat().map((body) => ({ method: 'PUT', path: kSections[section](body), body }));
  });
}

const ours = () => JSON.parse(execFileSync(kCalls, { encoding: 'utf8' }));

test('every section of every document is what the API takes', { skip }, async () => {
  const api = await loadApi();
  const documents = ours().filter(({ name }) => name);
  assert.equal(documents.length, 4);
  for (const { error, document } of documents) {
    assert.equal(error, undefined);
    const calls = callsOf(document);
    assert.ok(calls.length >= 7);
    for (const call of calls) checkCall(api, call);
  }
});

test('every call is one of the API', { skip }, async () => {
  const api = await loadApi();
  const calls = ours().filter(({ method }) => method);
  assert.deepEqual(
    calls.map(({ method, path }) => `${method} ${path}`),
    [
      'GET /',
      'PUT /actions',
      'PATCH /vm',
      'PUT /snapshot/create',
      'PATCH /vm',
      'PUT /snapshot/load',
    ],
  );
  for (const call of calls) checkCall(api, call);
});

test('the check sees what Firecracker would refuse', { skip }, async () => {
  const api = await loadApi();
  const put = (path, body) => () => checkCall(api, { method: 'PUT', path, body });
  assert.throws(put('/machine-config', { vcpu_count: 33, mem_size_mib: 128 }));
  assert.throws(put('/vsock', { guest_cid: 3, uds_path: '/v', surprise: 1 }));
  assert.throws(put('/drives/a', { is_root_device: false }));
  assert.throws(put('/nothing', {}));
});

// One request over the API's socket: {status, body}.
function ask(socketPath, method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, method, path }, async (answer) => {
      let text = '';
      for await (const part of answer) text += part;
      resolve({ status: answer.statusCode, body: text ? JSON.parse(text) : undefined });
    });
    request.on('error', reject);
    request.end(body && JSON.stringify(body));
  });
}

// The stand-in in a directory of its own, from the document "plain".
async function withStandIn(use) {
  const root = mkdtempSync(join(tmpdir(), 'mvr-fc-'));
  const { document } = ours().find(({ name }) => name === 'plain');
  mkdirSync(join(root, 'run'));
  writeFileSync(join(root, 'vm.json'), JSON.stringify(document));
  writeFileSync(join(root, 'kernel'), '');
  writeFileSync(join(root, 'initramfs'), '');
  const args = ['--id', 'ci', '--config-file', '/vm.json', '--api-sock', '/run/api.sock'];
  const child = spawn(kStandIn, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = once(child, 'exit');
  const socketPath = join(root, 'run/api.sock');
  try {
    await waitFor(() => ask(socketPath, 'GET', '/version').catch(() => false), 'the API');
    await use((...request) => ask(socketPath, ...request));
  } finally {
    child.kill('SIGKILL');
    await exited;
    rmSync(root, { recursive: true });
  }
}

test('the stand-in answers as the API does', { skip }, async () => {
  const api = await loadApi();
  const saved = { snapshot_path: '/run/machine', mem_file_path: '/run/memory' };
  const loaded = {
    snapshot_path: '/run/machine',
    mem_backend: { backend_type: 'File', backend_path: '/run/memory' },
  };
  await withStandIn(async (send) => {
    for (const [method, path, body, expected] of [
      ['GET', '/', undefined, 200],
      ['GET', '/version', undefined, 200],
      ['PUT', '/actions', { action_type: 'FlushMetrics' }, 400],
      ['PUT', '/snapshot/create', saved, 400],
      ['PATCH', '/vm', { state: 'Paused' }, 204],
      ['PUT', '/snapshot/create', saved, 204],
      ['PUT', '/snapshot/load', { ...loaded, resume_vm: true }, 400],
      ['PATCH', '/vm', { state: 'Resumed' }, 204],
      ['PUT', '/actions', { action_type: 'SendCtrlAltDel' }, 204],
    ]) {
      const answer = await send(method, path, body);
      assert.equal(answer.status, expected);
      const operation = checkCall(api, { method, path, body });
      assert.ok(operation.responses[expected], `${method} ${path} has no answer ${expected}`);
      if (answer.body === undefined) continue;
      const { errors } = api.validator.validateResponse(answer.body, operation, expected);
      assert.deepEqual(errors ?? [], []);
    }
  });
});
