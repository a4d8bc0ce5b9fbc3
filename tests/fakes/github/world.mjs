// The state behind the stand-in GitHub and the rules of its queue. No HTTP here.
//
// A job goes to any idle, online runner whose labels contain all of the job's and which may see
// the job's repository: nothing pins a job to a runner. A just-in-time runner takes one job and
// its record disappears with it.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { iso, Refusal } from './basics.mjs';
import { firstRelease } from './downloads.mjs';
import { ScaleSets } from './scaleset.mjs';

export { iso, Refusal };

const kMaxLog = 4 * 1024 * 1024;
const kDefaultSettings = {
  offline_after_ms: 60_000, // a session without a sign of life
  lost_after_ms: 600_000, // a running job without a sign of life fails
  stale_listing_ms: 0, // how long a taken job is still listed as queued
  unused_runner_ms: 0, // listening runners are deleted after this time; 0: never
  clock_skew_s: 0, // GitHub's clock ahead of this host's
};
const kConclusions = { Succeeded: 'success', Failed: 'failure', Canceled: 'cancelled' };

const lower = (labels) => labels.map((label) => label.toLowerCase());
const digest = (text) => createHash('sha256').update(text).digest('hex');

export class World extends EventEmitter {
  constructor() {
    super();
    this.on('changed', () => this.scaleSets.follow());
    this.reset();
  }

  reset() {
    for (const session of this.sessions?.values() ?? []) this.endSession(session);
    this.scaleSets?.close();
    this.owners = new Map();
    this.enterprises = new Map();
    this.renames = new Map(); // "owner/name" -> "owner/name"
    this.deprecations = new Map(); // of runner versions
    this.release = firstRelease(); // that GitHub names for downloads
    this.actions = new Set(); // paths of archives
    this.repositories = new Map();
    this.runs = new Map();
    this.jobs = new Map();
    this.runners = new Map();
    this.sessions = new Map();
    this.tokens = new Map();
    this.secrets = []; // all that was handed out and is nobody else's to know
    this.apps = new Map();
    this.installations = new Map();
    this.settings = { ...kDefaultSettings };
    this.next = { id: 1000, run: 17_000_000_001, job: 48_000_000_001, runner: 21, label: 301 };
    this.next.installation = 90_000_001;
    this.scaleSets = new ScaleSets(this);
  }

  // GitHub's time of day, in milliseconds.
  now() {
    return Date.now() + this.settings.clock_skew_s * 1000;
  }

  // ---- accounts and repositories ---------------------------------------------------------------

  owner(login) {
    const key = login.toLowerCase();
    if (!this.owners.has(key)) {
      const group = {
        id: 1,
        name: 'Default',
        visibility: 'all',
        default: true,
        inherited: false,
        allows_public_repositories: false,
        repositories: [],
      };
      this.owners.set(key, { id: this.next.id++, login, groups: [group] });
    }
    return this.owners.get(key);
  }

  // Runners and groups of an enterprise serve the repositories of its organisations.
  addEnterprise({ slug, organizations, allows_public_repositories = false }) {
    const { id, groups } = this.owner(`enterprise ${slug}`);
    groups[0].allows_public_repositories = allows_public_repositories;
    const members = organizations.map((login) => this.owner(login));
    this.enterprises.set(slug, { id, login: slug, groups, members });
  }

  findOwner(login) {
    return this.owners.get(login.toLowerCase());
  }

  addGroup(
    login,
    { name, visibility = 'all', allows_public_repositories = false, repositories = [] },
  ) {
    const owner = this.owner(login);
    const group = {
      id: owner.groups.length + 1,
      name,
      visibility,
      default: false,
      inherited: false,
      allows_public_repositories,
      repositories: lower(repositories),
    };
    owner.groups.push(group);
    return group;
  }

  addRepository({ repo, private: isPrivate = true, archived = false, disabled = false }) {
    const [login, name] = repo.split('/');
    if (!login || !name) throw new Refusal(422, `repo must be "owner/name", not "${repo}"`);
    const key = repo.toLowerCase();
    const known = this.repositories.get(key);
    const repository = known ?? { id: this.next.id++, name, owner: this.owner(login) };
    Object.assign(repository, { private: isPrivate, archived, disabled, pushed: Date.now() });
    this.repositories.set(key, repository);
    return repository;
  }

  repository(fullName) {
    return this.repositories.get(fullName.toLowerCase());
  }

  // ---- tokens ----------------------------------------------------------------------------------

  // permissions: {actions: 'read', ...}; without it the token may do everything. scopes: those of
  // a classic token, "repo, admin:org", which are told with every answer.
  setToken({
    token,
    permissions = null,
    repositories = null,
    scopes = null,
    limit = 5000,
    used = 0,
    reset_in_s = 3600,
  }) {
    const reset = Math.floor(Date.now() / 1000) + reset_in_s;
    this.tokens.set(token, { token, permissions, repositories, scopes, limit, used, reset });
  }

  // ---- jobs and runs ---------------------------------------------------------------------------

  addJob(spec) {
    const repository = this.repository(spec.repo) ?? this.addRepository({ repo: spec.repo });
    const run = spec.run_id ? this.runs.get(spec.run_id) : this.addRun(repository, spec);
    if (!run) throw new Refusal(422, `no run ${spec.run_id}`);
    const created = spec.created_at ? Date.parse(spec.created_at) : Date.now();
    const job = {
      id: this.next.job++,
      run,
      repository,
      name: spec.name ?? 'build',
      labels: spec.labels ?? [],
      group: spec.group ?? null,
      steps: spec.steps ?? [{ name: 'Run', run: 'true' }],
      uses: spec.uses ?? [], // {repository, ref, sha}, resolved
      status: spec.status ?? 'queued',
      conclusion: null,
      runner: null,
      created,
      started: null,
      completed: null,
      cancelling: false,
      log: '',
    };
    this.jobs.set(job.id, job);
    run.jobs.push(job);
    this.touch(run);
    this.assign();
    return job;
  }

  // fork: the head is in another repository.
  addRun(repository, { workflow = 'CI', event = 'push', fork = false }) {
    const now = Date.now();
    const run = {
      id: this.next.run++,
      repository,
      workflow,
      event,
      fork,
      number: [...this.runs.values()].filter((other) => other.repository === repository).length + 1,
      sha: randomBytes(20).toString('hex'),
      created: now,
      updated: now,
      jobs: [],
      forcedStatus: null,
    };
    this.runs.set(run.id, run);
    return run;
  }

  // A run reports the state of its least advanced job.
  runStatus(run) {
    if (run.forcedStatus) return run.forcedStatus;
    const states = run.jobs.map((job) => this.listedStatus(job));
    const order = ['queued', 'waiting', 'pending', 'requested', 'in_progress'];
    return order.find((state) => states.includes(state)) ?? 'completed';
  }

  runConclusion(run) {
    if (this.runStatus(run) !== 'completed') return null;
    const all = run.jobs.map((job) => job.conclusion);
    return ['failure', 'cancelled'].find((bad) => all.includes(bad)) ?? 'success';
  }

  // What listings say: a job just taken may still be shown as queued.
  listedStatus(job) {
    const stale =
      job.status === 'in_progress' && Date.now() - job.started < this.settings.stale_listing_ms;
    return stale ? 'queued' : job.status;
  }

  touch(run) {
    run.updated = Date.now();
    this.emit('changed');
  }

  cancel(job) {
    if (job.status === 'completed') throw new Refusal(409, 'the job is completed');
    if (job.status === 'in_progress' && job.runner) job.cancelling = true;
    else this.finish(job, 'cancelled');
  }

  finish(job, conclusion) {
    Object.assign(job, { status: 'completed', conclusion, completed: Date.now() });
    this.touch(job.run);
  }

  // ---- runners ---------------------------------------------------------------------------------

  // scope: {owner, repository?}; repository null means the whole organisation.
  addRunner(scope, { name, labels, group = 1 }) {
    const key = makeKey();
    const runner = {
      id: this.next.runner++,
      scope,
      name,
      group,
      labels: labels.map((label) => ({ id: this.next.label++, name: label, type: 'custom' })),
      created: Date.now(),
      version: null,
      session: null,
      job: null,
      key,
      secret: digest(key.d), // what its session is opened with
    };
    this.runners.set(runner.id, runner);
    return runner;
  }

  runnersOf(scope) {
    const same = (runner) =>
      runner.scope.owner === scope.owner && runner.scope.repository === scope.repository;
    return [...this.runners.values()].filter(same);
  }

  isOnline(runner) {
    const { session } = runner;
    if (!session) return false;
    return session.waiter !== null || Date.now() - session.seen < this.settings.offline_after_ms;
  }

  removeRunner(runner) {
    this.runners.delete(runner.id);
    if (runner.session) this.endSession(runner.session);
  }

  // ---- the runner's side -----------------------------------------------------------------------

  // `refused`: without a date that anybody could have asked for.
  isRetired(version) {
    const { refused, registration, runtime } = this.deprecations.get(version) ?? {};
    return Boolean(refused) || [registration, runtime].some((end) => Date.parse(end) <= Date.now());
  }

  openSession(name, secret, version) {
    const runner = [...this.runners.values()].find((each) => each.name === name);
    if (!runner) throw new Refusal(404, 'the runner no longer exists');
    if (runner.secret !== secret) throw new Refusal(401, 'bad credentials');
    if (this.isRetired(version)) throw new Refusal(403, `runner version ${version} is deprecated`);
    if (runner.session && this.isOnline(runner)) throw new Refusal(409, 'a session exists');
    const now = Date.now();
    const session = { id: randomUUID(), runner, opened: now, seen: now, waiter: null };
    runner.session = session;
    runner.version = version;
    this.sessions.set(session.id, session);
    return session;
  }

  session(id) {
    const session = this.sessions.get(id);
    if (!session) throw new Refusal(410, 'the runner no longer exists');
    session.seen = Date.now();
    return session;
  }

  endSession(session) {
    this.sessions.delete(session.id);
    if (session.runner.session === session) session.runner.session = null;
    session.waiter?.({ gone: true });
  }

  // Answers with a job, or null when none came in time, or {gone: true}.
  waitForJob(session, ms) {
    return new Promise((resolve) => {
      const settle = (value) => {
        clearTimeout(timer);
        if (session.waiter === settle) session.waiter = null;
        session.seen = Date.now();
        resolve(value);
      };
      const timer = setTimeout(() => settle(null), ms);
      session.waiter?.(null);
      session.waiter = settle;
      this.assign();
    });
  }

  assign() {
    for (const job of this.jobs.values()) {
      if (job.status !== 'queued') continue;
      const taker = [...this.sessions.values()].find(
        ({ runner, waiter }) => waiter && !runner.job && this.mayTake(runner, job),
      );
      if (taker) this.start(job, taker);
    }
  }

  mayTake(runner, job) {
    const { scope, group } = runner;
    const owners = scope.owner.members ?? [scope.owner];
    if (!owners.includes(job.repository.owner)) return false;
    if (scope.repository && scope.repository !== job.repository) return false;
    const record = scope.owner.groups.find((each) => each.id === group);
    if (!scope.repository && !this.groupSees(record, job.repository)) return false;
    if (job.group && job.group !== record.name) return false;
    if (!this.scaleSets.lets(runner, job)) return false;
    const own = new Set(lower(runner.labels.map((label) => label.name)));
    return lower(job.labels).every((label) => own.has(label));
  }

  groupSees(group, repository) {
    const name = `${repository.owner.login}/${repository.name}`.toLowerCase();
    if (group.visibility === 'selected' && !group.repositories.includes(name)) return false;
    return repository.private || group.allows_public_repositories;
  }

  start(job, session) {
    Object.assign(job, { status: 'in_progress', started: Date.now(), runner: session.runner });
    session.runner.job = job;
    this.touch(job.run);
    session.waiter(job);
  }

  appendLog(session, text) {
    const { job } = session.runner;
    if (!job) throw new Refusal(409, 'the runner has no job');
    if (job.log.length < kMaxLog) job.log += text;
    this.emit('changed');
    return job.cancelling;
  }

  complete(session, result) {
    const { runner } = session;
    if (!runner.job) throw new Refusal(409, 'the runner has no job');
    if (!(result in kConclusions)) throw new Refusal(422, `unknown result "${result}"`);
    this.finish(runner.job, kConclusions[result]);
    runner.job = null;
    this.removeRunner(runner);
  }

  // Time's own effects; called now and then.
  age() {
    const now = Date.now();
    this.scaleSets.follow();
    for (const runner of [...this.runners.values()]) {
      if (runner.job && now - runner.session.seen > this.settings.lost_after_ms) {
        runner.job.log += '\nThe self-hosted runner lost communication with the server.\n';
        this.finish(runner.job, 'failure');
        runner.job = null;
        this.removeRunner(runner);
      } else if (this.settings.unused_runner_ms && runner.session && !runner.job) {
        if (now - runner.session.opened > this.settings.unused_runner_ms) this.removeRunner(runner);
      }
    }
  }
}

// Made-up key material with the shape of the runner's RSA parameters; it signs nothing.
function makeKey() {
  const bytes = (count) => randomBytes(count).toString('base64');
  return {
    d: bytes(256),
    dp: bytes(128),
    dq: bytes(128),
    exponent: 'AQAB',
    inverseQ: bytes(128),
    modulus: bytes(256),
    p: bytes(128),
    q: bytes(128),
  };
}
