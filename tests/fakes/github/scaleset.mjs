// Runner scale sets as the stand-in keeps them: sets, sessions, message queues, and which jobs are
// given to which set. scaleset_api.mjs is its HTTP.
//
// A queued job goes to a set that has all of its labels, sees its repository, and has a session
// that asks for more than it has. From then on only runners of the set take the job. On an
// Enterprise Server it is offered first, and is the set's once it is acquired.
import { randomUUID } from 'node:crypto';
import { fullName } from './shapes.mjs';
import { iso, Refusal } from './basics.mjs';

const kMostEntries = 50; // of one message
const kDefaults = {
  bom: false, // answers begin with a byte order mark
  ghes: false, // jobs are offered, not assigned
  overlook: false, // jobs are neither offered nor assigned
  zero_ids: false, // entries have no runnerRequestId
  zero_statistics: false, // statistics say that nothing is assigned
  poll_wait_ms: 50_000,
  session_lapse_ms: 60_000, // of a session nobody polls for
  assign_timeout_ms: 0, // then a job that has not started is taken back; 0: never
  admin_token_life_s: 3600,
  queue_token_life_s: 3600,
  tenant: 'tenant-1', // part of the service's address; the former one is gone when it changes
};

const lower = (labels) => labels.map((label) => label.toLowerCase());

export class Fault extends Refusal {
  constructor(status, type, message) {
    super(status, message);
    this.type = `GitHub.DistributedTask.WebApi.${type}, GitHub.DistributedTask.WebApi`;
  }
}

export class ScaleSets {
  constructor(world) {
    this.world = world;
    this.settings = { ...kDefaults };
    this.registrations = new Map(); // token -> {scope, expires}
    this.connections = new Map(); // admin token -> {scope, expires}
    this.sets = new Map();
    this.next = { set: 1, request: 500, token: 1 };
  }

  close() {
    for (const set of this.sets.values()) set.waiter?.(null);
    this.sets.clear();
  }

  change(settings) {
    const unknown = Object.keys(settings).find((name) => !(name in this.settings));
    if (unknown) throw new Refusal(422, `unknown setting "${unknown}"`);
    Object.assign(this.settings, settings);
    this.follow();
    return this.settings;
  }

  // ---- tokens ----------------------------------------------------------------------------------

  registrationToken(scope) {
    const token = `AABF3JGZ${randomUUID().replaceAll('-', '').toUpperCase()}`;
    this.registrations.set(token, { scope, expires: Date.now() + 3_600_000 });
    return token;
  }

  // A JWT nobody verifies, as the real ones are to clients.
  token(lifeSeconds, claims) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const exp = Math.floor(Date.now() / 1000) + lifeSeconds;
    const body = { ...claims, exp, jti: this.next.token++ };
    return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(body)}.${part('signature')}`;
  }

  connect(registration) {
    const known = this.registrations.get(registration);
    if (!known || known.expires <= Date.now()) return null;
    const life = this.settings.admin_token_life_s;
    const token = this.token(life, { aud: 'admin' });
    this.connections.set(token, { scope: known.scope, expires: Date.now() + life * 1000 });
    return { token, scope: known.scope };
  }

  scopeOf(token) {
    const known = this.connections.get(token);
    return known && known.expires > Date.now() ? known.scope : null;
  }

  // As when all tokens of a kind end at once.
  expire({ admin = false, queue = false }) {
    if (admin) this.connections.clear();
    if (!queue) return;
    for (const { session } of this.sets.values()) if (session) session.expires = 0;
  }

  // ---- sets ------------------------------------------------------------------------------------

  of(scope) {
    const same = (set) =>
      set.scope.owner === scope.owner && set.scope.repository === scope.repository;
    return [...this.sets.values()].filter(same);
  }

  groups({ owner, repository }) {
    return repository ? owner.groups.slice(0, 1) : owner.groups;
  }

  add(scope, { name, group, labels, disableUpdate }) {
    if (this.of(scope).some((set) => set.group === group && set.name === name)) {
      throw new Fault(409, 'RunnerScaleSetExistsException', `a scale set ${name} exists`);
    }
    const set = { id: this.next.set++, scope, name, group, labels, disableUpdate };
    Object.assign(set, { created: Date.now(), session: null, waiter: null, capacity: 0 });
    Object.assign(set, { entries: [], messages: [], nextMessage: 1, jobs: new Map() });
    this.sets.set(set.id, set);
    return set;
  }

  statistics(set) {
    const all = [...set.jobs.values()];
    const count = (...states) => all.filter(({ state }) => states.includes(state)).length;
    const runners = [...this.world.runners.values()].filter((runner) => runner.set === set);
    const busy = runners.filter((runner) => runner.job).length;
    const hides = this.settings.zero_statistics;
    return {
      totalAvailableJobs: count('available'),
      totalAcquiredJobs: count('acquired'),
      totalAssignedJobs: hides ? 0 : count('assigned', 'running'),
      totalRunningJobs: hides ? 0 : count('running'),
      totalRegisteredRunners: runners.length,
      totalBusyRunners: busy,
      totalIdleRunners: runners.filter((each) => this.world.isOnline(each)).length - busy,
    };
  }

  // ---- sessions --------------------------------------------------------------------------------

  isAlive(set) {
    const { session, waiter } = set;
    if (!session) return false;
    return waiter !== null || Date.now() - session.seen < this.settings.session_lapse_ms;
  }

  openSession(set, owner) {
    if (this.isAlive(set)) {
      throw new Fault(
        409,
        'RunnerScaleSetSessionConflictException',
        `The runner scale set ${set.name} already has an active session for owner ${set.session.owner}.`,
      );
    }
    set.session = { id: randomUUID(), owner, seen: Date.now() };
    set.capacity = 0;
    return this.refresh(set, set.session.id);
  }

  session(set, id) {
    if (set.session?.id !== id) {
      throw new Fault(404, 'RunnerScaleSetSessionNotFoundException', 'no such session');
    }
    return set.session;
  }

  refresh(set, id) {
    const session = this.session(set, id);
    const life = this.settings.queue_token_life_s;
    session.token = this.token(life, { aud: 'queue', set: set.id });
    session.expires = Date.now() + life * 1000;
    return session;
  }

  closeSession(set, id) {
    this.session(set, id);
    set.session = null;
    set.waiter?.(null);
  }

  mayRead(set, sessionId, token) {
    const { session } = set;
    return session?.id === sessionId && session.token === token && session.expires > Date.now();
  }

  // ---- messages --------------------------------------------------------------------------------

  say(set, messageType, job, more = {}) {
    const entry = set.jobs.get(job.id);
    set.entries.push({
      messageType,
      runnerRequestId: this.settings.zero_ids ? 0 : entry.request,
      jobId: entry.uuid,
      repositoryName: job.repository.name,
      ownerName: job.repository.owner.login,
      jobWorkflowRef: `${fullName(job.repository)}/.github/workflows/${job.run.workflow.toLowerCase()}.yml@refs/heads/main`,
      jobDisplayName: job.name,
      workflowRunId: job.run.id,
      eventName: job.run.event,
      requestLabels: job.labels,
      queueTime: iso(job.created),
      scaleSetAssignTime: iso(Date.now()),
      ...more,
    });
  }

  // The first message after `last` that was not deleted; null when there is none.
  message(set, last) {
    const known = set.messages.find(({ messageId }) => messageId > last);
    if (known || !set.entries.length) return known ?? null;
    const message = {
      messageId: set.nextMessage++,
      messageType: 'RunnerScaleSetJobMessages',
      body: JSON.stringify(set.entries.splice(0, kMostEntries)),
      statistics: this.statistics(set),
    };
    set.messages.push(message);
    return message;
  }

  wait(set, { last, capacity }, onAbort) {
    set.capacity = capacity;
    set.session.seen = Date.now();
    this.follow();
    const message = this.message(set, last);
    if (message) return Promise.resolve(message);
    set.waiter?.(null);
    return new Promise((resolve) => {
      const settle = (value) => {
        clearTimeout(timer);
        if (set.waiter === settle) set.waiter = null;
        if (set.session) set.session.seen = Date.now();
        resolve(value);
      };
      settle.last = last;
      const timer = setTimeout(() => settle(null), this.settings.poll_wait_ms);
      set.waiter = settle;
      onAbort(() => settle(null));
    });
  }

  remove(set, messageId) {
    const at = set.messages.findIndex((message) => message.messageId === messageId);
    if (at < 0) throw new Fault(404, 'MessageNotFoundException', `no message ${messageId}`);
    set.messages.splice(at, 1);
  }

  // ---- jobs ------------------------------------------------------------------------------------

  fits(set, job) {
    const { owner, repository } = set.scope;
    if (owner !== job.repository.owner) return false;
    if (repository && repository !== job.repository) return false;
    const group = owner.groups.find(({ id }) => id === set.group);
    if (!repository && !this.world.groupSees(group, job.repository)) return false;
    if (job.group && job.group !== group.name) return false;
    const own = new Set(lower(set.labels));
    return job.labels.length > 0 && lower(job.labels).every((label) => own.has(label));
  }

  // Which set has the job; null: none.
  holder(job) {
    return [...this.sets.values()].find((set) => set.jobs.has(job.id)) ?? null;
  }

  // May a runner take the job as far as sets are concerned?
  lets(runner, job) {
    const holder = this.holder(job);
    if (!holder) return true;
    return runner.set === holder && holder.jobs.get(job.id).state === 'assigned';
  }

  take(set, job, state) {
    const entry = { job, request: this.next.request++, uuid: randomUUID(), state };
    entry.since = Date.now();
    set.jobs.set(job.id, entry);
    return entry;
  }

  // Brings the sets up to date with the jobs, and wakes whoever waits for a message.
  follow() {
    for (const set of this.sets.values()) for (const entry of set.jobs.values()) this.see(set, entry);
    for (const job of this.world.jobs.values()) this.place(job);
    for (const set of this.sets.values()) {
      const message = set.waiter && this.message(set, set.waiter.last);
      if (message) set.waiter(message);
    }
  }

  see(set, entry) {
    const { job } = entry;
    const runner = { runnerId: job.runner?.id ?? 0, runnerName: job.runner?.name ?? '' };
    if (job.status === 'in_progress' && entry.state !== 'running') {
      entry.state = 'running';
      this.say(set, 'JobStarted', job, runner);
    } else if (job.status === 'completed') {
      this.over(set, job, { ...runner, result: job.conclusion === 'success' ? 'succeeded' : 'failed' });
    } else if (job.status === 'queued' && this.isLate(entry)) {
      this.over(set, job, { runnerId: 0, runnerName: '', result: 'canceled' });
    }
  }

  isLate({ state, since }) {
    const limit = this.settings.assign_timeout_ms;
    return limit > 0 && state === 'assigned' && Date.now() - since > limit;
  }

  over(set, job, facts) {
    this.say(set, 'JobCompleted', job, facts);
    set.jobs.delete(job.id);
  }

  place(job) {
    if (this.holder(job)) return;
    const taker = job.status === 'in_progress' && job.runner?.set;
    if (taker) {
      // By a runner of a set that knew nothing of it.
      this.say(taker, 'JobAssigned', this.take(taker, job, 'assigned').job);
      return this.see(taker, taker.jobs.get(job.id));
    }
    if (job.status !== 'queued' || this.settings.overlook) return;
    const set = [...this.sets.values()].find(
      (each) => this.isAlive(each) && each.jobs.size < each.capacity && this.fits(each, job),
    );
    if (!set) return;
    if (this.settings.ghes) {
      const { uuid } = this.take(set, job, 'available');
      this.say(set, 'JobAvailable', job, { acquireJobUrl: `https://example.com/${uuid}` });
    } else {
      this.take(set, job, 'assigned');
      this.say(set, 'JobAssigned', job);
    }
  }

  acquire(set, requests) {
    const taken = [];
    for (const entry of set.jobs.values()) {
      if (entry.state !== 'available' || !requests.includes(entry.request)) continue;
      Object.assign(entry, { state: 'assigned', since: Date.now() });
      taken.push(entry.request);
      this.say(set, 'JobAssigned', entry.job);
    }
    this.world.assign();
    return taken;
  }

  // ---- for tests -------------------------------------------------------------------------------

  state() {
    return [...this.sets.values()].map((set) => ({
      id: set.id,
      name: set.name,
      group: set.group,
      labels: set.labels,
      owner: set.session?.owner ?? null,
      capacity: set.capacity,
      waiting: set.waiter !== null,
      undeleted: set.messages.map(({ messageId }) => messageId),
      statistics: this.statistics(set),
    }));
  }
}
