// The stand-in runner against the stand-in GitHub, as the guest's agent starts it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startStandIn, waitFor } from './support.mjs';

const kRelease = fileURLToPath(new URL('../fakes/runner', import.meta.url));

// The runner needs no validator; this also shows that the stand-in runs without any package.
async function withRepository() {
  const github = await startStandIn({ validate: false });
  await github.control('POST', '/repos', { repo: 'acme/widgets' });
  return github;
}

class Runner {
  constructor(t, jit, env = {}) {
    this.root = mkdtempSync(join(tmpdir(), 'mvr-runner-'));
    cpSync(kRelease, this.root, { recursive: true });
    const { PATH } = process.env;
    this.child = spawn(join(this.root, 'bin/Runner.Listener'), ['run'], {
      env: { PATH, HOME: this.root, ...(jit && { ACTIONS_RUNNER_INPUT_JITCONFIG: jit }), ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.output = '';
    this.child.stdout.on('data', (chunk) => (this.output += chunk));
    this.closed = once(this.child, 'close').then(([code]) => code);
    t.after(async () => {
      this.child.kill('SIGTERM');
      await this.closed;
      rmSync(this.root, { recursive: true });
    });
  }

  async printed(text) {
    await waitFor(() => this.output.includes(text), `the runner prints "${text}"`);
  }
}

async function startRunner(t, github, env) {
  const { body } = await github.jit('repos/acme/widgets');
  return new Runner(t, body.encoded_jit_config, env);
}

const kHosted = { ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED: 'true' };

test('a job runs its steps, streams its log and ends with result 100', async (t) => {
  const github = await withRepository();
  const { job_id } = await github.addJob({
    name: 'build it',
    steps: [
      { name: 'Look', run: 'echo "in $(basename "$PWD") as $RUNNER_NAME of $GITHUB_REPOSITORY"' },
      { name: 'Secret', run: 'echo "jit=${ACTIONS_RUNNER_INPUT_JITCONFIG-unset}"; touch made' },
    ],
  });
  const runner = await startRunner(t, github, kHosted);
  assert.equal(await runner.closed, 100);
  const job = await github.job(job_id);
  assert.equal(job.conclusion, 'success');
  assert.match(job.log, /^in widgets as mv-a-1 of acme\/widgets$/m);
  assert.match(job.log, /^jit=unset$/m);
  const lines = runner.output.split('\n').filter(Boolean);
  const patterns = [
    /^√ Connected to GitHub$/,
    /^Current runner version: '2\.336\.0'$/,
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ: Listening for Jobs$/,
    /^\S+ \S+Z: Running job: build it$/,
    /^\S+ \S+Z: Job build it completed with result: Succeeded$/,
  ];
  assert.equal(lines.length, patterns.length, runner.output);
  patterns.forEach((pattern, index) => assert.match(lines[index], pattern));
  assert.ok(existsSync(join(runner.root, '_work/widgets/widgets/made')));
  const logs = readdirSync(join(runner.root, '_diag'));
  assert.ok(
    logs.some((name) => /^Runner_\d{8}-\d{6}-utc\.log$/.test(name)),
    logs,
  );
  assert.ok(
    logs.some((name) => /^Worker_\d{8}-\d{6}-utc\.log$/.test(name)),
    logs,
  );
});

test('a job may have any name', async (t) => {
  const github = await withRepository();
  const name = 'a, "b" \\ c é';
  const { job_id } = await github.addJob({ name, steps: [{ run: 'true' }] });
  const runner = await startRunner(t, github, kHosted);
  assert.equal(await runner.closed, 100);
  assert.equal((await github.job(job_id)).conclusion, 'success');
  assert.ok(runner.output.includes(`Z: Running job: ${name}\n`), runner.output);
});

test('a failing step fails the job and the rest is skipped', async (t) => {
  const github = await withRepository();
  const { job_id } = await github.addJob({
    steps: [{ run: 'echo before; false; echo not reached' }, { run: 'echo second step' }],
  });
  const runner = await startRunner(t, github, kHosted);
  assert.equal(await runner.closed, 102);
  const job = await github.job(job_id);
  assert.equal(job.conclusion, 'failure');
  assert.match(job.log, /before/);
  assert.match(job.log, /Process completed with exit code 1/);
  assert.doesNotMatch(job.log, /not reached|second step/);
  assert.match(runner.output, /Job build completed with result: Failed/);
});

// Writes a hook and returns the variable that makes the runner call it.
function hookFile(t, script) {
  const directory = mkdtempSync(join(tmpdir(), 'mvr-hook-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'started.sh');
  writeFileSync(path, script);
  return { ACTIONS_RUNNER_HOOK_JOB_STARTED: path };
}

const kOrigin =
  'echo "hook: $(jq -c "[.repository.private, .repository.full_name, ' +
  '.pull_request.head.repo.id == .repository.id]" "$GITHUB_EVENT_PATH")"';

test('the job-started hook runs before the first step and finds the event', async (t) => {
  const github = await withRepository();
  await github.control('POST', '/repos', { repo: 'acme/open', private: false });
  const cases = [
    [{}, '[true,"acme/widgets",false]'],
    [{ event: 'pull_request' }, '[true,"acme/widgets",true]'],
    [{ fork: true }, '[true,"acme/widgets",false]'],
  ];
  for (const [fields, told] of cases) {
    const { job_id } = await github.addJob({ ...fields, steps: [{ run: 'echo the step' }] });
    const runner = await startRunner(t, github, { ...kHosted, ...hookFile(t, kOrigin) });
    assert.equal(await runner.closed, 100);
    const { log } = await github.job(job_id);
    assert.ok(log.startsWith(`hook: ${told}\n`), log);
    assert.match(log, /^the step$/m);
  }
});

const kConditional = [
  { run: 'echo plain step' },
  { run: 'echo stubborn step', if: 'always()' },
];

test('a hook that fails, fails the job; only steps that always run still do', async (t) => {
  const github = await withRepository();
  const { job_id } = await github.addJob({ steps: kConditional });
  const runner = await startRunner(t, github, { ...kHosted, ...hookFile(t, 'echo no; exit 1') });
  assert.equal(await runner.closed, 102);
  const job = await github.job(job_id);
  assert.equal(job.conclusion, 'failure');
  assert.match(job.log, /^no$/m);
  assert.doesNotMatch(job.log, /plain step/);
  assert.match(job.log, /stubborn step/);
});

test('a hook that shuts the runner down leaves no step to run', async (t) => {
  const github = await withRepository();
  const { job_id } = await github.addJob({ steps: kConditional });
  const parent = 'read -r _ _ _ listener _ <"/proc/$PPID/stat"';
  const hook = `echo no; ${parent}; kill -INT "$listener"; sleep 60`;
  const runner = await startRunner(t, github, { ...kHosted, ...hookFile(t, hook) });
  assert.equal(await runner.closed, 103);
  const job = await github.job(job_id);
  assert.equal(job.conclusion, 'cancelled');
  assert.match(job.log, /^no$/m);
  assert.doesNotMatch(job.log, /plain step|stubborn step/);
});

test('without the hosted switch even a failed job exits with 0', async (t) => {
  const github = await withRepository();
  await github.addJob({ steps: [{ run: 'exit 3' }] });
  assert.equal(await (await startRunner(t, github)).closed, 0);
});

test('output reaches GitHub while the job runs', async (t) => {
  const github = await withRepository();
  const { job_id } = await github.addJob({ steps: [{ run: 'echo started; sleep 300' }] });
  await startRunner(t, github);
  await waitFor(async () => (await github.job(job_id)).log.includes('started'), 'the first output');
  assert.equal((await github.job(job_id)).status, 'in_progress');
});

for (const signal of ['SIGINT', 'SIGTERM']) {
  test(`${signal} cancels the running job`, async (t) => {
    const github = await withRepository();
    const { job_id } = await github.addJob({ steps: [{ run: 'echo started; sleep 300' }] });
    const runner = await startRunner(t, github, kHosted);
    await waitFor(
      async () => (await github.job(job_id)).log.includes('started'),
      'the first output',
    );
    runner.child.kill(signal);
    assert.equal(await runner.closed, 103);
    const job = await github.job(job_id);
    assert.equal(job.conclusion, 'cancelled');
    assert.match(job.log, /received a shutdown signal/);
    assert.match(runner.output, /completed with result: Canceled/);
  });
}

test('a job cancelled at GitHub ends', async (t) => {
  const github = await withRepository();
  const { job_id } = await github.addJob({ steps: [{ run: 'sleep 300' }] });
  const runner = await startRunner(t, github);
  await runner.printed('Running job');
  await github.control('POST', `/jobs/${job_id}/cancel`);
  assert.equal(await runner.closed, 0);
  assert.equal((await github.job(job_id)).conclusion, 'cancelled');
});

test('a signal while listening ends the runner, and its record is offline', async (t) => {
  const github = await withRepository();
  const runner = await startRunner(t, github, kHosted);
  await runner.printed('Listening for Jobs');
  runner.child.kill('SIGINT');
  assert.equal(await runner.closed, 0);
  const isOffline = async () =>
    (await github.control('GET', '/state')).runners[0].status === 'offline';
  await waitFor(isOffline, 'the runner is offline');
});

test('a runner deleted while it listens says so and exits with 0', async (t) => {
  const github = await withRepository();
  const runner = await startRunner(t, github, kHosted);
  await runner.printed('Listening for Jobs');
  const { runners } = await github.control('GET', '/state');
  await github.control('DELETE', `/runners/${runners[0].id}`);
  assert.equal(await runner.closed, 0);
  assert.match(runner.output, /The runner no longer exists on the server/);
});

test('a registration gone before the start exits with 1', async (t) => {
  const github = await withRepository();
  const { body } = await github.jit('repos/acme/widgets');
  await github.control('DELETE', `/runners/${body.runner.id}`);
  const runner = new Runner(t, body.encoded_jit_config);
  assert.equal(await runner.closed, 1);
  assert.match(runner.output, /registration has been deleted/);
});

test('a deprecated version is turned away with 7, or 1 where that is not asked for', async (t) => {
  const github = await withRepository();
  await github.control('POST', '/deprecations', { version: '2.336.0', refused: true });
  const env = { ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE: '1' };
  assert.equal(await (await startRunner(t, github, env)).closed, 7);
  assert.equal(await (await startRunner(t, github)).closed, 1);
});

test('no configuration or a broken one exits with 1', async (t) => {
  const encode = (value) => Buffer.from(value).toString('base64');
  const broken = ['', '!!!', encode('no json'), encode('{}'), encode('{".runner":"bm8="}')];
  for (const jit of broken) assert.equal(await new Runner(t, jit).closed, 1, jit);
});

test('the configuration is stored readable by its owner only', async (t) => {
  const github = await withRepository();
  const runner = await startRunner(t, github);
  await runner.printed('Listening for Jobs');
  for (const name of ['.runner', '.credentials', '.credentials_rsaparams']) {
    assert.equal(statSync(join(runner.root, name)).mode & 0o777, 0o600, name);
  }
});
