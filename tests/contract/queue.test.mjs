// Which runner gets which job, and what becomes of runners and jobs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startStandIn, waitFor } from './support.mjs';

async function listening(github, scope, fields) {
  const { body } = await github.jit(scope, fields);
  const opened = await github.openSession(body.encoded_jit_config);
  return { id: body.runner.id, session: opened.body.session };
}

const take = (github, { session }, wait = 0) =>
  github.runner('GET', `/session/${session}/job?wait=${wait}`);

async function withRepository() {
  const github = await startStandIn();
  await github.control('POST', '/repos', { repo: 'acme/widgets' });
  return github;
}

test('a job goes to a runner with all of its labels, whatever their case', async () => {
  const github = await withRepository();
  const runner = await listening(github, 'repos/acme/widgets', { labels: ['mv-small', 'gpu'] });
  const other = await github.addJob({ labels: ['mv-small', 'arm'] });
  assert.equal((await take(github, runner)).status, 204);
  const { job_id } = await github.addJob({ labels: ['MV-SMALL', 'GPU'], steps: [{ run: 'make' }] });
  const taken = await take(github, runner);
  assert.equal(taken.body.id, job_id);
  assert.deepEqual(taken.body.steps, [{ name: 'Step 1', run: 'make', if: 'success()' }]);
  assert.equal((await github.job(other.job_id)).status, 'queued');
});

test('the oldest queued job is taken first', async () => {
  const github = await withRepository();
  const first = await github.addJob();
  await github.addJob();
  const runner = await listening(github, 'repos/acme/widgets');
  assert.equal((await take(github, runner)).body.id, first.job_id);
});

test('a listening runner is told of a job while it waits', async () => {
  const github = await withRepository();
  const runner = await listening(github, 'repos/acme/widgets');
  const pending = take(github, runner, 20);
  await waitFor(async () => {
    const { runners } = await github.control('GET', '/state');
    return runners[0].status === 'online';
  }, 'the runner is online');
  const { job_id } = await github.addJob();
  assert.equal((await pending).body.id, job_id);
});

test('a runner never online gets no job and stays offline', async () => {
  const github = await withRepository();
  await github.jit('repos/acme/widgets');
  const { job_id } = await github.addJob();
  assert.equal((await github.job(job_id)).status, 'queued');
  const listed = await github.api('GET', '/repos/acme/widgets/actions/runners');
  assert.equal(listed.body.runners[0].status, 'offline');
});

test('a runner of one repository does not take jobs of another', async () => {
  const github = await withRepository();
  await github.addJob({ repo: 'acme/site' });
  const runner = await listening(github, 'repos/acme/widgets');
  assert.equal((await take(github, runner)).status, 204);
});

test('an organisation runner takes public jobs only where its group allows', async () => {
  const github = await withRepository();
  await github.control('POST', '/repos', { repo: 'acme/open', private: false });
  await github.addJob({ repo: 'acme/open' });
  const runner = await listening(github, 'orgs/acme');
  assert.equal((await take(github, runner)).status, 204);
  const { id } = await github.control('POST', '/groups', {
    org: 'acme',
    name: 'public',
    allows_public_repositories: true,
  });
  const open = await listening(github, 'orgs/acme', { name: 'mv-a-2', runner_group_id: id });
  assert.equal((await take(github, open)).status, 200);
  await github.addJob();
  assert.equal((await take(github, runner)).status, 200);
});

test('a job asking for a group goes only to runners of that group', async () => {
  const github = await withRepository();
  const { id } = await github.control('POST', '/groups', { org: 'acme', name: 'fast' });
  const { job_id } = await github.addJob({ labels: [], group: 'fast' });
  const slow = await listening(github, 'orgs/acme');
  assert.equal((await take(github, slow)).status, 204);
  const fast = await listening(github, 'orgs/acme', { name: 'mv-a-2', runner_group_id: id });
  assert.equal((await take(github, fast)).body.id, job_id);
});

test('a busy runner cannot be deleted, and its record goes with its job', async () => {
  const github = await withRepository();
  const runner = await listening(github, 'repos/acme/widgets');
  const { job_id, run_id } = await github.addJob();
  await take(github, runner);
  const path = `/repos/acme/widgets/actions/runners/${runner.id}`;
  const busy = await github.api('GET', path);
  assert.deepEqual([busy.body.status, busy.body.busy], ['online', true]);
  assert.equal((await github.api('DELETE', path)).status, 422);
  const jobs = await github.api('GET', `/repos/acme/widgets/actions/runs/${run_id}/jobs`);
  assert.deepEqual(
    [jobs.body.jobs[0].status, jobs.body.jobs[0].runner_id],
    ['in_progress', runner.id],
  );

  await github.runner('POST', `/session/${runner.session}/log`, 'hello\n');
  await github.runner('POST', `/session/${runner.session}/complete`, { result: 'Failed' });
  const done = await github.job(job_id);
  assert.deepEqual([done.status, done.conclusion, done.log], ['completed', 'failure', 'hello\n']);
  assert.equal((await github.api('GET', path)).status, 404);
  assert.deepEqual(await github.violations(), []);
});

test('a deleted runner is told so while it listens', async () => {
  const github = await withRepository();
  const runner = await listening(github, 'repos/acme/widgets');
  const pending = take(github, runner, 20);
  await github.api('DELETE', `/repos/acme/widgets/actions/runners/${runner.id}`);
  assert.equal((await pending).status, 410);
});

test('a cancelled running job is told through its log', async () => {
  const github = await withRepository();
  const runner = await listening(github, 'repos/acme/widgets');
  const { job_id } = await github.addJob();
  await take(github, runner);
  await github.control('POST', `/jobs/${job_id}/cancel`);
  const told = await github.runner('POST', `/session/${runner.session}/log`, '');
  assert.deepEqual(told.body, { cancel: true });
});

test('a job fails when its runner is silent for too long', async () => {
  const github = await withRepository();
  await github.control('POST', '/settings', { lost_after_ms: 100 });
  const runner = await listening(github, 'repos/acme/widgets');
  const { job_id } = await github.addJob();
  await take(github, runner);
  const lost = await waitFor(async () => {
    const job = await github.job(job_id);
    return job.status === 'completed' && job;
  }, 'the job is given up');
  assert.equal(lost.conclusion, 'failure');
  assert.match(lost.log, /lost communication/);
});

test('an unused listening runner can be made to disappear', async () => {
  const github = await withRepository();
  await github.control('POST', '/settings', { unused_runner_ms: 100 });
  const runner = await listening(github, 'repos/acme/widgets');
  assert.equal((await take(github, runner, 20)).status, 410);
});

test('a taken job can stay listed as queued for a while', async () => {
  const github = await withRepository();
  await github.control('POST', '/settings', { stale_listing_ms: 60_000 });
  const runner = await listening(github, 'repos/acme/widgets');
  const { job_id } = await github.addJob();
  await take(github, runner);
  const listed = await github.api('GET', `/repos/acme/widgets/actions/jobs/${job_id}`);
  assert.deepEqual([listed.body.status, listed.body.runner_id || null], ['queued', null]);
});

test('a session needs the secret of the registration and there is one at a time', async () => {
  const github = await withRepository();
  const { body } = await github.jit('repos/acme/widgets');
  const forged = await github.runner('POST', '/session', { agentName: 'mv-a-1', secret: '00' });
  assert.equal(forged.status, 401);
  assert.equal((await github.openSession(body.encoded_jit_config)).status, 201);
  assert.equal((await github.openSession(body.encoded_jit_config)).status, 409);
});
