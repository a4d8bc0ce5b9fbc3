// Runner scale sets at the stand-in: the way in, sets, sessions, queues, jobs, and their faults.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startStandIn, waitFor } from './support.mjs';

const kVersion = 'api-version=6.0-preview';
const kAccept = 'application/json; api-version=6.0-preview';

// A client of the protocol, without any cleverness.
class Client {
  constructor(github, scope = 'acme/widgets') {
    this.github = github;
    this.scope = scope;
  }

  async request(method, url, { token, body, headers = {} } = {}) {
    const answer = await fetch(url, {
      method,
      headers: {
        'user-agent': 'mvrunner-contract',
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = Buffer.from(await answer.arrayBuffer()).toString('utf8');
    const mark = text.startsWith('\uFEFF');
    const plain = mark ? text.slice(1) : text;
    return { status: answer.status, headers: answer.headers, mark, body: plain && JSON.parse(plain) };
  }

  async connect() {
    const prefix = this.scope.includes('/') ? 'repos' : 'orgs';
    const path = `/${prefix}/${this.scope}/actions/runners/registration-token`;
    const { status, body } = await this.github.api('POST', path);
    assert.equal(status, 201);
    this.registration = body.token;
    const made = await this.register(body.token);
    assert.equal(made.status, 200);
    Object.assign(this, made.body);
    return made;
  }

  register(token, url = `${this.github.url}/${this.scope}`) {
    return this.request('POST', `${this.github.url}/api/v3/actions/runner-registration`, {
      headers: { authorization: `RemoteAuth ${token}` },
      body: { url, runner_event: 'register' },
    });
  }

  service(method, path, body, token = this.token) {
    const joint = path.includes('?') ? '&' : '?';
    return this.request(method, `${this.url}_apis/${path}${joint}${kVersion}`, { token, body });
  }

  async makeSet(fields = {}) {
    const { body } = await this.service('POST', 'runtime/runnerscalesets', {
      name: 'mv-small',
      runnerGroupId: 1,
      labels: [{ type: 'System', name: 'mv-small' }],
      RunnerSetting: { disableUpdate: true },
      ...fields,
    });
    this.set = body.id;
    return body;
  }

  at(method, rest, body, token) {
    return this.service(method, `runtime/runnerscalesets/${this.set}/${rest}`, body, token);
  }

  async openSession() {
    const opened = await this.at('POST', 'sessions', { ownerName: 'host-a' });
    if (opened.status === 200) this.session = opened.body;
    return opened;
  }

  poll({ last = 0, capacity = 10, token = this.session.messageQueueAccessToken } = {}) {
    const after = last ? `&lastMessageId=${last}` : '';
    return this.request('GET', this.session.messageQueueUrl + after, {
      token,
      headers: { accept: kAccept, 'x-scalesetmaxcapacity': String(capacity) },
    });
  }

  remove(message) {
    const url = this.session.messageQueueUrl.replace('?', `/${message}?`);
    return this.request('DELETE', url, { token: this.session.messageQueueAccessToken });
  }

  // The next message, deleted: {entries, statistics}.
  async take(options) {
    const { status, body } = await this.poll(options);
    if (status === 202) return { entries: [] };
    assert.equal((await this.remove(body.messageId)).status, 204);
    return { ...body, entries: JSON.parse(body.body) };
  }

  async runner(name = 'mv-a-1') {
    const { body } = await this.at('POST', 'generatejitconfig', { name, workFolder: '_work' });
    const opened = await this.github.openSession(body.encodedJITConfig);
    return { id: body.runner.id, session: opened.body.session };
  }
}

async function withSet(settings = {}) {
  const github = await startStandIn();
  await github.control('POST', '/repos', { repo: 'acme/widgets' });
  await github.control('POST', '/scale_sets', { poll_wait_ms: 100, ...settings });
  const client = new Client(github);
  await client.connect();
  await client.makeSet();
  await client.openSession();
  return { github, client };
}

const types = ({ entries }) => entries.map(({ messageType }) => messageType);
const takeJob = (github, { session }) => github.runner('GET', `/session/${session}/job?wait=0`);

test('the way in needs a registration token of the scope', async () => {
  const github = await startStandIn();
  await github.control('POST', '/repos', { repo: 'acme/widgets' });
  const client = new Client(github);
  const made = await client.connect();
  assert.match(made.body.url, /\/_services\/tenant-1\/$/);
  const { exp } = JSON.parse(Buffer.from(made.body.token.split('.')[1], 'base64url').toString());
  assert.ok(exp > Date.now() / 1000 + 3000);
  assert.ok(made.headers.get('activityid'));
  assert.equal((await client.register('wrong')).status, 401);
  const elsewhere = await client.register(client.registration, `${github.url}/acme/other`);
  assert.equal(elsewhere.status, 404);
  assert.equal((await client.service('GET', 'runtime/runnergroups/', undefined, 'x')).status, 401);
  assert.deepEqual(await github.violations(), []);
});

test('the service insists on its version', async () => {
  const { client } = await withSet();
  const bare = await client.request('GET', `${client.url}_apis/runtime/runnergroups/`, client);
  assert.equal(bare.status, 400);
});

test('sets are made, found, changed, and unique by name in a group', async () => {
  const { client } = await withSet();
  const path = 'runtime/runnerscalesets?runnerGroupId=1&name=mv-small';
  const found = await client.service('GET', path);
  assert.equal(found.body.count, 1);
  assert.equal(found.body.value[0].RunnerSetting.disableUpdate, true);
  const twice = await client.service('POST', 'runtime/runnerscalesets', {
    name: 'mv-small',
    runnerGroupId: 1,
    labels: [{ type: 'System', name: 'x' }],
  });
  assert.equal(twice.status, 409);
  const one = `runtime/runnerscalesets/${client.set}`;
  await client.service('PATCH', one, { labels: [{ type: 'System', name: 'gpu' }] });
  const changed = await client.service('GET', one);
  assert.deepEqual(
    changed.body.labels.map(({ name }) => name),
    ['gpu'],
  );
  const groups = await client.service('GET', 'runtime/runnergroups/?groupName=Default');
  assert.equal(groups.body.value[0].id, 1);
});

test('a set has one session; a dead one lapses', async () => {
  const { github, client } = await withSet();
  const second = new Client(github);
  await second.connect();
  second.set = client.set;
  const conflict = await second.openSession();
  assert.equal(conflict.status, 409);
  assert.match(conflict.body.typeName, /RunnerScaleSetSessionConflictException/);
  await github.control('POST', '/scale_sets', { session_lapse_ms: 0 });
  assert.equal((await second.openSession()).status, 200);
  assert.equal((await client.poll()).status, 401);
});

test('a session given back is free at once', async () => {
  const { client } = await withSet();
  assert.equal((await client.at('DELETE', `sessions/${client.session.sessionId}`)).status, 204);
  assert.equal((await client.openSession()).status, 200);
});

test('a job is assigned, started by a runner of the set, and completed', async () => {
  const { github, client } = await withSet();
  assert.deepEqual(await client.take(), { entries: [] });
  const { job_id } = await github.addJob({ name: 'build' });
  const assigned = await client.take();
  assert.deepEqual(types(assigned), ['JobAssigned']);
  assert.equal(assigned.statistics.totalAssignedJobs, 1);
  const [entry] = assigned.entries;
  assert.equal(`${entry.ownerName}/${entry.repositoryName}`, 'acme/widgets');
  assert.equal(entry.jobDisplayName, 'build');
  const runner = await client.runner();
  assert.equal((await takeJob(github, runner)).body.id, job_id);
  const started = await client.take({ last: assigned.messageId });
  assert.deepEqual(types(started), ['JobStarted']);
  assert.equal(started.entries[0].runnerName, 'mv-a-1');
  assert.equal(started.entries[0].runnerRequestId, entry.runnerRequestId);
  assert.equal(started.statistics.totalRunningJobs, 1);
  await github.runner('POST', `/session/${runner.session}/complete`, { result: 'Succeeded' });
  const completed = await client.take({ last: started.messageId });
  assert.deepEqual(types(completed), ['JobCompleted']);
  assert.equal(completed.entries[0].result, 'succeeded');
  assert.equal(completed.statistics.totalAssignedJobs, 0);
});

test('a waiting poll is told at once', async () => {
  const { github, client } = await withSet({ poll_wait_ms: 30_000 });
  const pending = client.poll();
  await waitFor(async () => {
    const [set] = await github.control('GET', '/scale_sets');
    return set.waiting && set.capacity === 10;
  }, 'the queue is waited for');
  await github.addJob();
  assert.equal((await pending).status, 200);
});

test('no more is assigned than the capacity asked for', async () => {
  const { github, client } = await withSet();
  await client.poll({ capacity: 1 });
  for (let n = 0; n < 3; ++n) await github.addJob();
  const first = await client.take({ capacity: 1 });
  assert.equal(first.statistics.totalAssignedJobs, 1);
  const more = await client.take({ capacity: 3, last: first.messageId });
  assert.equal(more.statistics.totalAssignedJobs, 3);
});

test('what is assigned to a set is taken by no other runner', async () => {
  const { github, client } = await withSet();
  await client.poll();
  await github.addJob();
  const { body } = await github.jit('repos/acme/widgets', { name: 'mv-b-1' });
  const opened = await github.openSession(body.encoded_jit_config);
  assert.equal((await takeJob(github, { session: opened.body.session })).status, 204);
  assert.equal((await takeJob(github, await client.runner())).status, 200);
});

test('a message comes again until it is deleted', async () => {
  const { github, client } = await withSet();
  await client.poll();
  await github.addJob();
  const first = await client.poll();
  assert.deepEqual((await client.poll()).body, first.body);
  await client.remove(first.body.messageId);
  assert.equal((await client.poll()).status, 202);
  assert.equal((await client.remove(first.body.messageId)).status, 404);
});

test('a message has at most fifty entries', async () => {
  const { github, client } = await withSet();
  await client.poll({ capacity: 70 });
  for (let n = 0; n < 60; ++n) await github.addJob();
  const first = await client.take({ capacity: 70 });
  assert.equal(first.entries.length, 50);
  assert.equal(first.statistics.totalAssignedJobs, 60);
  assert.equal((await client.take({ capacity: 70, last: first.messageId })).entries.length, 10);
});

test('an Enterprise Server offers jobs, which are assigned once they are acquired', async () => {
  const { github, client } = await withSet({ ghes: true });
  await client.poll();
  await github.addJob();
  const offer = await client.take();
  assert.deepEqual(types(offer), ['JobAvailable']);
  assert.equal(offer.statistics.totalAvailableJobs, 1);
  assert.equal(offer.statistics.totalAssignedJobs, 0);
  const runner = await client.runner();
  assert.equal((await takeJob(github, runner)).status, 204);
  const ids = offer.entries.map(({ runnerRequestId }) => runnerRequestId);
  const queueToken = client.session.messageQueueAccessToken;
  assert.equal((await client.at('POST', 'acquirejobs', ids)).status, 401); // the admin token
  assert.deepEqual((await client.at('POST', 'acquirejobs', ids, queueToken)).body.value, ids);
  assert.deepEqual(types(await client.take({ last: offer.messageId })), ['JobAssigned']);
  assert.equal((await takeJob(github, runner)).status, 200);
});

test('a queue token that is over is refreshed by the session', async () => {
  const { github, client } = await withSet();
  await github.control('POST', '/scale_sets/expire', { queue: true });
  assert.equal((await client.poll()).status, 401);
  const { status, body } = await client.at('PATCH', `sessions/${client.session.sessionId}`);
  assert.equal(status, 200);
  client.session = body;
  assert.equal((await client.poll()).status, 202);
});

test('a new connection may lead elsewhere, and the former one is gone', async () => {
  const { github, client } = await withSet();
  await github.control('POST', '/scale_sets', { tenant: 'tenant-2' });
  const path = `runtime/runnerscalesets/${client.set}`;
  assert.equal((await client.service('GET', path)).status, 404);
  const { body } = await client.connect();
  assert.match(body.url, /tenant-2/);
  assert.equal((await client.service('GET', path)).status, 200);
  assert.equal((await client.poll()).status, 202);
});

test('the faults a queue is known for can be switched on', async () => {
  const { github, client } = await withSet({ bom: true, zero_ids: true, zero_statistics: true });
  const { mark } = await client.service('GET', `runtime/runnerscalesets/${client.set}`);
  assert.ok(mark);
  await client.poll();
  await github.addJob();
  const assigned = await client.take();
  assert.equal(assigned.entries[0].runnerRequestId, 0);
  assert.equal(assigned.statistics.totalAssignedJobs, 0);
  await github.control('POST', '/faults', { route: 'GET /_queue/{set}', status: 503 });
  assert.equal((await client.poll()).status, 503);
});

test('a job that nobody starts is taken back, and given out again', async () => {
  const { github, client } = await withSet({ assign_timeout_ms: 150, poll_wait_ms: 5_000 });
  const pending = client.take();
  await github.addJob();
  const first = await pending;
  assert.deepEqual(types(first), ['JobAssigned']);
  const again = await client.take({ last: first.messageId });
  assert.deepEqual(types(again), ['JobCompleted', 'JobAssigned']);
  assert.equal(again.entries[0].result, 'canceled');
});

test('an overlooked job goes to any runner of the set', async () => {
  const { github, client } = await withSet({ overlook: true });
  await github.addJob();
  assert.deepEqual(await client.take(), { entries: [] });
  assert.equal((await takeJob(github, await client.runner())).status, 200);
  assert.deepEqual(types(await client.take()), ['JobAssigned', 'JobStarted']);
});

test('runners of a set are deleted, but not while they run a job', async () => {
  const { github, client } = await withSet();
  const idle = await client.runner('mv-a-1');
  const path = (id) => `distributedtask/pools/0/agents/${id}`;
  const listed = await client.service('GET', 'distributedtask/pools/0/agents?agentName=mv-a-1');
  assert.equal(listed.body.value[0].id, idle.id);
  assert.equal((await client.service('DELETE', path(idle.id))).status, 204);
  const gone = await client.service('DELETE', path(idle.id));
  assert.equal(gone.status, 404);
  assert.match(gone.body.typeName, /AgentNotFoundException/);
  await client.poll();
  await github.addJob();
  const busy = await client.runner('mv-a-2');
  await takeJob(github, busy);
  assert.match((await client.service('DELETE', path(busy.id))).body.typeName, /JobStillRunning/);
  const twice = await client.at('POST', 'generatejitconfig', { name: 'mv-a-2' });
  assert.match(twice.body.typeName, /AgentExistsException/);
});

test('a poll without its headers is refused', async () => {
  const { client } = await withSet();
  const { messageQueueUrl: url, messageQueueAccessToken: token } = client.session;
  const refused = await client.request('GET', url, { token, headers: { accept: kAccept } });
  assert.equal(refused.status, 400);
});

test('public jobs reach the set of a group that lets them in', async () => {
  const github = await startStandIn();
  await github.control('POST', '/repos', { repo: 'acme/open', private: false });
  await github.control('POST', '/scale_sets', { poll_wait_ms: 50 });
  const client = new Client(github, 'acme');
  await client.connect();
  await client.makeSet();
  await client.openSession();
  await client.poll();
  await github.addJob({ repo: 'acme/open' });
  assert.deepEqual(await client.take(), { entries: [] });
  const { id } = await github.control('POST', '/groups', {
    org: 'acme',
    name: 'public',
    allows_public_repositories: true,
  });
  await client.makeSet({ runnerGroupId: id });
  await client.openSession();
  assert.deepEqual(types(await client.take()), ['JobAssigned']);
});

test('a repository by name tells whether it is private', async () => {
  const github = await startStandIn();
  await github.control('POST', '/repos', { repo: 'acme/widgets' });
  const { status, body } = await github.api('GET', '/repos/acme/widgets');
  assert.equal(status, 200);
  assert.equal(body.private, true);
  assert.deepEqual(await github.violations(), []);
});
