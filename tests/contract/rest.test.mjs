// GitHub's REST API as the stand-in answers it; every exchange is held to the OpenAPI description.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readJit, startStandIn } from './support.mjs';

const kRunners = '/repos/acme/widgets/actions/runners';
const kRuns = '/repos/acme/widgets/actions/runs';

async function withRepository() {
  const github = await startStandIn();
  await github.control('POST', '/repos', { repo: 'acme/widgets' });
  return github;
}

test('a queued job is found by listing queued runs and their jobs', async () => {
  const github = await withRepository();
  const { job_id, run_id } = await github.addJob({ name: 'build', labels: ['MV-Small'] });
  const runs = await github.api(
    'GET',
    `${kRuns}?status=queued&per_page=100&exclude_pull_requests=true`,
  );
  assert.deepEqual(
    runs.body.workflow_runs.map((run) => run.id),
    [run_id],
  );
  const jobs = await github.api('GET', `${kRuns}/${run_id}/jobs?filter=latest&per_page=100`);
  const [job] = jobs.body.jobs;
  assert.equal(job.id, job_id);
  assert.equal(job.status, 'queued');
  assert.deepEqual(job.labels, ['MV-Small']);
  const single = await github.api('GET', `/repos/acme/widgets/actions/jobs/${job_id}`);
  assert.deepEqual(single.body, job);
  assert.deepEqual(await github.violations(), []);
});

test('the API answers below / and below /api/v3 alike', async () => {
  const github = await withRepository();
  for (const prefix of ['', '/api/v3']) {
    const { status, body } = await github.api('GET', kRunners, { prefix });
    assert.equal(status, 200);
    assert.deepEqual(body, { total_count: 0, runners: [] });
  }
});

test('a run whose jobs all finished is no longer listed as queued', async () => {
  const github = await withRepository();
  const { job_id } = await github.addJob();
  await github.control('PATCH', `/jobs/${job_id}`, { status: 'completed' });
  const queued = await github.api('GET', `${kRuns}?status=queued`);
  assert.equal(queued.body.total_count, 0);
  const completed = await github.api('GET', `${kRuns}?status=completed`);
  assert.equal(completed.body.workflow_runs[0].conclusion, 'success');
});

test('a run with one queued and one running job is listed as queued', async () => {
  const github = await withRepository();
  const { job_id, run_id } = await github.addJob();
  await github.addJob({ run_id });
  await github.control('PATCH', `/jobs/${job_id}`, { status: 'in_progress', runner_name: 'other' });
  const queued = await github.api('GET', `${kRuns}?status=queued`);
  assert.equal(queued.body.total_count, 1);
});

test('a waiting job is shown as waiting until it is approved', async () => {
  const github = await withRepository();
  const { job_id, run_id } = await github.addJob({ status: 'waiting' });
  const before = await github.api('GET', `${kRuns}/${run_id}/jobs`);
  assert.equal(before.body.jobs[0].status, 'waiting');
  await github.control('PATCH', `/jobs/${job_id}`, { status: 'queued' });
  const after = await github.api('GET', `${kRuns}?status=queued`);
  assert.equal(after.body.total_count, 1);
});

test('pages are linked and hold every job once', async () => {
  const github = await withRepository();
  const { run_id } = await github.addJob();
  for (let more = 0; more < 6; more++) await github.addJob({ run_id, name: `job ${more}` });
  const ids = new Set();
  let next = `${github.url}/api/v3${kRuns}/${run_id}/jobs?per_page=3`;
  let pages = 0;
  for (; next; pages++) {
    const { body, headers } = await github.api('GET', next.slice(github.url.length), {
      prefix: '',
    });
    assert.equal(body.total_count, 7);
    for (const job of body.jobs) ids.add(job.id);
    next = /<([^>]+)>; rel="next"/.exec(headers.get('link') ?? '')?.[1];
  }
  assert.equal(pages, 3);
  assert.equal(ids.size, 7);
});

test('an unchanged listing answers 304 and costs nothing', async () => {
  const github = await withRepository();
  await github.addJob();
  const first = await github.api('GET', `${kRuns}?status=queued`);
  const etag = first.headers.get('etag');
  assert.match(etag, /^W\/"[0-9a-f]+"$/);
  const again = await github.api('GET', `${kRuns}?status=queued`, {
    headers: { 'if-none-match': etag },
  });
  assert.equal(again.status, 304);
  assert.equal(again.body, undefined);
  assert.equal(again.headers.get('x-ratelimit-used'), first.headers.get('x-ratelimit-used'));
  await github.addJob();
  const changed = await github.api('GET', `${kRuns}?status=queued`, {
    headers: { 'if-none-match': etag },
  });
  assert.equal(changed.status, 200);
  const { requests } = await github.control('GET', '/state');
  assert.deepEqual(requests['GET /repos/{owner}/{repo}/actions/runs'], { 200: 2, 304: 1 });
});

test('entity tags differ between tokens', async () => {
  const github = await withRepository();
  await github.control('POST', '/tokens', { token: 'ghp_second' });
  const first = await github.api('GET', kRunners);
  const headers = { 'if-none-match': first.headers.get('etag') };
  assert.equal((await github.api('GET', kRunners, { token: 'ghp_second', headers })).status, 200);
});

test('a runner is made offline, listed, found by name and deleted', async () => {
  const github = await withRepository();
  const made = await github.jit('repos/acme/widgets');
  assert.equal(made.status, 201);
  assert.equal(made.body.runner.status, 'offline');
  assert.equal(made.body.runner.os, 'unknown');
  const { id } = made.body.runner;
  const byName = await github.api('GET', `${kRunners}?name=mv-a-1&per_page=100`);
  assert.deepEqual(
    byName.body.runners.map((runner) => runner.id),
    [id],
  );
  assert.equal((await github.api('GET', `${kRunners}?name=other`)).body.total_count, 0);
  assert.equal((await github.api('GET', `${kRunners}/${id}`)).body.name, 'mv-a-1');
  assert.equal((await github.api('DELETE', `${kRunners}/${id}`)).status, 204);
  assert.equal((await github.api('GET', `${kRunners}/${id}`)).status, 404);
  assert.equal((await github.api('DELETE', `${kRunners}/${id}`)).status, 404);
  assert.deepEqual(await github.violations(), []);
});

test('the JIT blob holds the three files of a runner and is kilobytes long', async () => {
  const github = await withRepository();
  const { body } = await github.jit('repos/acme/widgets');
  const blob = readJit(body.encoded_jit_config);
  assert.deepEqual(blob.files, ['.runner', '.credentials', '.credentials_rsaparams']);
  assert.equal(blob.name, 'mv-a-1');
  assert.ok(blob.settings.ServerUrl.startsWith(github.url));
  assert.match(body.encoded_jit_config, /^[A-Za-z0-9+/=]{3000,10000}$/);
});

test('a second runner of the same name is refused with 409', async () => {
  const github = await withRepository();
  await github.jit('repos/acme/widgets');
  const { status, body } = await github.jit('repos/acme/widgets');
  assert.equal(status, 409);
  assert.equal(body.message, 'Already exists - A runner with the name mv-a-1 already exists.');
  assert.deepEqual(await github.violations(), []);
});

test('an unknown runner group is refused with 422', async () => {
  const github = await withRepository();
  assert.equal((await github.jit('repos/acme/widgets', { runner_group_id: 7 })).status, 422);
  assert.equal((await github.jit('orgs/acme', { runner_group_id: 7 })).status, 422);
  assert.deepEqual(await github.violations(), []);
});

test('unknown repositories, runs and jobs answer 404', async () => {
  const github = await withRepository();
  const paths = [
    '/repos/acme/other/actions/runs',
    `${kRuns}/1/jobs`,
    '/repos/acme/widgets/actions/jobs/1',
    '/repos/acme/widgets/nothing',
    '/orgs/nobody/repos',
  ];
  for (const path of paths) assert.equal((await github.api('GET', path)).status, 404, path);
  assert.equal((await github.jit('repos/acme/other')).status, 404);
  assert.deepEqual(await github.violations(), []);
});

test('an organisation lists its repositories, groups and runners', async () => {
  const github = await withRepository();
  await github.control('POST', '/repos', { repo: 'acme/site', private: false });
  const repos = await github.api('GET', '/orgs/acme/repos?type=all&sort=pushed&per_page=100');
  assert.deepEqual(
    repos.body.map((repo) => repo.full_name),
    ['acme/widgets', 'acme/site'],
  );
  const { id } = await github.control('POST', '/groups', { org: 'acme', name: 'fast' });
  const groups = await github.api('GET', '/orgs/acme/actions/runner-groups?per_page=100');
  assert.deepEqual(
    groups.body.runner_groups.map((group) => group.name),
    ['Default', 'fast'],
  );
  const made = await github.jit('orgs/acme', { runner_group_id: id });
  assert.equal(made.body.runner.runner_group_id, id);
  assert.equal((await github.api('GET', '/orgs/acme/actions/runners')).body.total_count, 1);
  const token = await github.api('POST', '/orgs/acme/actions/runners/registration-token');
  assert.equal(token.status, 201);
  assert.deepEqual(await github.violations(), []);
});

test('a wrong token answers 401 and a missing one too', async () => {
  const github = await withRepository();
  const wrong = await github.api('GET', kRunners, { token: 'ghp_wrong' });
  assert.equal(wrong.status, 401);
  assert.equal(wrong.body.message, 'Bad credentials');
  const none = await github.api('GET', kRunners, { headers: { authorization: '' } });
  assert.equal(none.status, 401);
});

test('a token without the permission answers 403 and names it', async () => {
  const github = await withRepository();
  const token = 'github_pat_reader';
  const permissions = { actions: 'read', administration: 'read' };
  await github.control('POST', '/tokens', { token, permissions });
  assert.equal((await github.api('GET', kRuns, { token })).status, 200);
  assert.equal((await github.api('GET', kRunners, { token })).status, 200);
  const refused = await github.api('POST', `${kRunners}/generate-jitconfig`, {
    token,
    body: { name: 'mv-a-1', runner_group_id: 1, labels: ['mv-small'] },
  });
  assert.equal(refused.status, 403);
  assert.equal(refused.body.message, 'Resource not accessible by personal access token');
  assert.equal(refused.headers.get('x-accepted-github-permissions'), 'administration=write');
  assert.equal((await github.api('GET', '/orgs/acme/actions/runners', { token })).status, 403);
  assert.deepEqual(await github.violations(), []);
});

test('a token for other repositories does not see this one', async () => {
  const github = await withRepository();
  const token = 'github_pat_other';
  await github.control('POST', '/tokens', { token, repositories: ['acme/other'] });
  assert.equal((await github.api('GET', kRuns, { token })).status, 404);
});

test('a used-up rate limit answers 403 with the time of its reset', async () => {
  const github = await withRepository();
  await github.control('POST', '/tokens', { token: 'ghp_poor', limit: 2, reset_in_s: 30 });
  const used = [];
  for (let call = 0; call < 3; call++)
    used.push(await github.api('GET', kRuns, { token: 'ghp_poor' }));
  assert.deepEqual(
    used.map((answer) => answer.status),
    [200, 200, 403],
  );
  assert.deepEqual(
    used.map((answer) => answer.headers.get('x-ratelimit-remaining')),
    ['1', '0', '0'],
  );
  const wait = Number(used[2].headers.get('x-ratelimit-reset')) - Date.now() / 1000;
  assert.ok(wait > 20 && wait <= 31, `${wait}`);
  assert.match(used[2].body.message, /^API rate limit exceeded/);
});

test('requests without a user agent or for a retired API version are refused', async () => {
  const github = await withRepository();
  const headers = { 'x-github-api-version': '2019-01-01' };
  assert.equal((await github.api('GET', kRuns, { headers })).status, 410);
  assert.equal((await github.api('GET', kRuns, { headers: { 'user-agent': '' } })).status, 403);
});

test('cancelling a run ends its queued job and is refused once it is over', async () => {
  const github = await withRepository();
  const { job_id, run_id } = await github.addJob();
  assert.equal((await github.api('POST', `${kRuns}/${run_id}/cancel`)).status, 202);
  assert.equal((await github.job(job_id)).conclusion, 'cancelled');
  assert.equal((await github.api('POST', `${kRuns}/${run_id}/cancel`)).status, 409);
  assert.deepEqual(await github.violations(), []);
});

test('a run tells whether its head is in a fork', async () => {
  const github = await withRepository();
  for (const fork of [false, true]) await github.addJob({ fork });
  const { body } = await github.api('GET', `${kRuns}?status=queued`);
  const [forked, own] = body.workflow_runs;
  assert.notEqual(forked.head_repository.id, forked.repository.id);
  assert.equal(own.head_repository.id, own.repository.id);
  assert.equal(own.repository.private, true);
  assert.deepEqual(await github.violations(), []);
});

test('an enterprise runner is for a classic token and serves its organisations', async () => {
  const github = await withRepository();
  await github.control('POST', '/enterprises', { slug: 'big-inc', organizations: ['acme'] });
  const token = 'ghp_enterprise';
  await github.control('POST', '/tokens', { token, scopes: 'repo, admin:org' });
  const groups = '/enterprises/big-inc/actions/runner-groups';
  assert.equal((await github.api('GET', groups, { token })).status, 403);
  await github.control('POST', '/tokens', { token, scopes: 'repo, manage_runners:enterprise' });
  const listed = await github.api('GET', groups, { token });
  assert.equal(listed.body.runner_groups[0].default, true);
  const jit = await github.api('POST', '/enterprises/big-inc/actions/runners/generate-jitconfig', {
    token,
    body: { name: 'mv-a-1', runner_group_id: 1, labels: ['mv-small'] },
  });
  assert.equal(jit.status, 201);
  const { job_id } = await github.addJob();
  const { body: session } = await github.openSession(jit.body.encoded_jit_config);
  await github.runner('GET', `/session/${session.session}/job?wait_ms=1000`);
  assert.equal((await github.job(job_id)).runner_name, 'mv-a-1');
  assert.deepEqual(await github.violations(), []);
});

test('a runner version has its dates', async () => {
  const github = await withRepository();
  const path = `${kRunners}/deprecations/2.300.0`;
  const free = await github.api('GET', path);
  assert.equal(free.body.registration_deprecates_at, null);
  await github.control('POST', '/deprecations', {
    version: '2.300.0',
    registration: '2026-08-01T00:00:00Z',
    runtime: '2026-09-01T00:00:00Z',
  });
  const dated = await github.api('GET', path);
  assert.equal(dated.body.registration_deprecates_at, '2026-08-01T00:00:00Z');
  assert.deepEqual(await github.violations(), []);
});

test('a job that is over says who ran it, how it ended and when its steps began', async () => {
  const github = await withRepository();
  const { job_id, run_id } = await github.addJob({ event: 'pull_request' });
  const started = { status: 'in_progress', runner_name: 'mv-1' };
  await github.control('PATCH', `/jobs/${job_id}`, started);
  await github.control('PATCH', `/jobs/${job_id}`, { status: 'completed', conclusion: 'failure' });
  const { body } = await github.api('GET', `${kRuns}/${run_id}/jobs?filter=latest&per_page=100`);
  const [job] = body.jobs;
  assert.equal(job.runner_name, 'mv-1');
  assert.equal(job.conclusion, 'failure');
  assert.ok(Date.parse(job.steps[0].started_at) >= Date.parse(job.created_at));
  const run = await github.api('GET', `${kRuns}/${run_id}?exclude_pull_requests=true`);
  assert.equal(run.body.event, 'pull_request');
  assert.equal(run.body.triggering_actor.login, 'mona');
  assert.equal((await github.api('GET', `${kRuns}/1`)).status, 404);
  assert.deepEqual(await github.violations(), []);
});
