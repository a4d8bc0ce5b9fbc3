// The stand-in misbehaving on request, and the validator catching what breaks GitHub's contract.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startStandIn } from './support.mjs';

const kRuns = '/repos/acme/widgets/actions/runs';
const kRunsRoute = 'GET /repos/{owner}/{repo}/actions/runs';

async function withRepository() {
  const github = await startStandIn();
  await github.control('POST', '/repos', { repo: 'acme/widgets' });
  return github;
}

test('a fault answers the given number of times and then is over', async () => {
  const github = await withRepository();
  await github.control('POST', '/faults', {
    route: kRunsRoute,
    status: 429,
    headers: { 'retry-after': '7' },
    body: { message: 'You have exceeded a secondary rate limit.' },
    count: 2,
  });
  const answers = [];
  for (let call = 0; call < 3; call++) answers.push(await github.api('GET', kRuns));
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [429, 429, 200],
  );
  assert.equal(answers[0].headers.get('retry-after'), '7');
});

test('a dropped answer may still have had its effect', async () => {
  const github = await withRepository();
  const match = '^POST .*/generate-jitconfig$';
  await github.control('POST', '/faults', { match, drop: 'before' });
  await assert.rejects(github.jit('repos/acme/widgets'));
  assert.equal((await github.control('GET', '/state')).runners.length, 0);
  await github.control('POST', '/faults', { match, drop: 'after' });
  await assert.rejects(github.jit('repos/acme/widgets'));
  assert.equal((await github.control('GET', '/state')).runners.length, 1);
});

test('a delayed answer comes late but whole', async () => {
  const github = await withRepository();
  await github.control('POST', '/faults', { route: kRunsRoute, delay_ms: 300 });
  const started = Date.now();
  assert.equal((await github.api('GET', kRuns)).status, 200);
  assert.ok(Date.now() - started >= 290);
});

test('faults can be cleared and a reset forgets everything', async () => {
  const github = await withRepository();
  await github.control('POST', '/faults', { route: kRunsRoute, status: 502, count: 0 });
  assert.equal((await github.api('GET', kRuns)).status, 502);
  assert.equal((await github.api('GET', kRuns)).status, 502);
  await github.control('DELETE', '/faults');
  assert.equal((await github.api('GET', kRuns)).status, 200);
  await github.control('POST', '/reset');
  assert.equal((await github.api('GET', kRuns)).status, 404);
});

test('the control interface is closed to others', async () => {
  const github = await withRepository();
  const answer = await fetch(`${github.url}/_control/state`);
  assert.equal(answer.status, 401);
});

const kBadRequests = [
  ['an unknown status filter', 'GET', `${kRuns}?status=bogus`],
  ['a page size that is no number', 'GET', `${kRuns}?per_page=many`],
  ['an unknown query parameter', 'GET', `${kRuns}?stauts=queued`],
  ['a run id that is no number', 'GET', `${kRuns}/latest/jobs`],
  ['a JIT request without a group', 'POST', { name: 'a', labels: ['x'] }],
  ['a JIT request without labels', 'POST', { name: 'a', runner_group_id: 1, labels: [] }],
  [
    'a JIT request with a textual group',
    'POST',
    { name: 'a', runner_group_id: '1', labels: ['x'] },
  ],
  [
    'a JIT request with an unknown field',
    'POST',
    { name: 'a', runner_group_id: 1, labels: ['x'], os: 'l' },
  ],
];
for (const [what, method, detail] of kBadRequests) {
  test(`the validator refuses ${what}`, async () => {
    const github = await withRepository();
    const isJit = method === 'POST';
    const path = isJit ? '/repos/acme/widgets/actions/runners/generate-jitconfig' : detail;
    const answer = await github.api(method, path, isJit ? { body: detail } : {});
    assert.equal(answer.status, 500);
    assert.ok(answer.body.violations.length > 0);
    assert.equal((await github.violations())[0].side, 'request');
  });
}

const kBadAnswers = [
  ['a missing field', { status: 200, body: { workflow_runs: [] } }],
  ['a wrong type', { status: 200, body: { total_count: '0', workflow_runs: [] } }],
  ['an incomplete run', { status: 200, body: { total_count: 1, workflow_runs: [{ id: 1 }] } }],
  ['an undocumented status', { status: 201, body: {} }],
];
for (const [what, made] of kBadAnswers) {
  test(`the validator catches an answer of ours with ${what}`, async () => {
    const github = await withRepository();
    await github.control('POST', '/faults', { route: kRunsRoute, validate: true, ...made });
    const answer = await github.api('GET', kRuns);
    assert.equal(answer.status, 500);
    assert.equal((await github.violations())[0].side, 'answer');
  });
}
