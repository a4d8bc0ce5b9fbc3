// Sends GitHub's own examples of workflow_job deliveries, signed by GitHub's own library, to a
// listener, and prints what was answered as JSON.
//
//   node webhook.mjs URL SECRET < EXTRA
//
// EXTRA: deliveries besides, as a JSON list of {name, headers, body, type, flip}; flip turns a bit
// of the body around after it was signed.
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { readFileSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';

const kOpenapi = realpathSync(process.env.MVR_OPENAPI);
const kMethods = `${dirname(kOpenapi)}/node_modules/@octokit/webhooks-methods/dist-node/index.js`;
const { sign } = await import(pathToFileURL(kMethods));
const require = createRequire(kOpenapi);
const [url, secret] = process.argv.slice(2);

async function post({ name, body, headers = {}, type = 'application/json', flip = false }) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const signature = await sign(secret, text);
  const bytes = Buffer.from(text);
  if (flip) bytes[bytes.length >> 1] ^= 1;
  const answer = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': type,
      'x-github-event': 'workflow_job',
      'x-github-delivery': randomUUID(),
      'x-hub-signature-256': signature,
      'user-agent': 'GitHub-Hookshot/1234567',
      ...headers,
    },
    body: bytes,
  });
  return { name, status: answer.status, text: (await answer.text()).trim() };
}

function examples() {
  const all = require('@octokit/webhooks-examples');
  const list = (all.default ?? all).find((each) => each.name === 'workflow_job').examples;
  return list.map((body, index) => ({
    name: `example ${index}: ${body.action}, ${body.workflow_job.status}`,
    body,
  }));
}

const deliveries = [
  ...examples(),
  ...examples().map((each) => ({ ...each, name: `flipped ${each.name}`, flip: true })),
  ...JSON.parse(readFileSync(0, 'utf8') || '[]'),
];
const answers = [];
for (const each of deliveries) answers.push(await post(each));
process.stdout.write(JSON.stringify(answers));
