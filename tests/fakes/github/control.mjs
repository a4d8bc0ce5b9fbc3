// The tests' side door: make jobs, look at everything, break things.
import {
  addApp,
  addInstallation,
  changeInstallation,
  dropTokens,
  removeInstallation,
} from './apps.mjs';
import { addAction, nameRelease } from './downloads.mjs';
import { fullName } from './shapes.mjs';
import { iso, Refusal } from './world.mjs';

const when = (ms) => ms && iso(ms);

function jobState(world, job) {
  return {
    id: job.id,
    run_id: job.run.id,
    repo: fullName(job.repository),
    workflow: job.run.workflow,
    name: job.name,
    labels: job.labels,
    status: job.status,
    conclusion: job.conclusion,
    runner_id: job.runner?.id ?? null,
    runner_name: job.runner?.name ?? null,
    created_at: when(job.created),
    started_at: when(job.started),
    completed_at: when(job.completed),
    times_ms: { created: job.created, started: job.started, completed: job.completed },
    log: job.log,
  };
}

function runnerState(world, runner) {
  const { owner, repository } = runner.scope;
  return {
    id: runner.id,
    name: runner.name,
    scope: repository ? fullName(repository) : owner.login,
    labels: runner.labels.map((label) => label.name),
    status: world.isOnline(runner) ? 'online' : 'offline',
    busy: runner.job !== null,
    job_id: runner.job?.id ?? null,
  };
}

function findJob({ world, params }) {
  const job = world.jobs.get(Number(params.id));
  if (!job) throw new Refusal(404, `no job ${params.id}`);
  return job;
}

// status and runner_name may be set: how a test plays a foreign runner or an approval.
function patchJob(call) {
  const job = findJob(call);
  const { status, conclusion = null, runner_name: name } = call.body;
  if (name) job.runner = { id: 9_999, name, group: 1 };
  if (status === 'completed') call.world.finish(job, conclusion ?? 'success');
  else if (status)
    Object.assign(job, { status, started: status === 'in_progress' ? Date.now() : null });
  call.world.touch(job.run);
  call.world.assign();
  return { status: 200, body: jobState(call.world, job) };
}

function patchRun({ world, params, body }) {
  const run = world.runs.get(Number(params.id));
  if (!run) throw new Refusal(404, `no run ${params.id}`);
  run.forcedStatus = body.status ?? null;
  return { status: 200, body: {} };
}

function state({ world, counters, violations }) {
  return {
    status: 200,
    body: {
      jobs: [...world.jobs.values()].map((job) => jobState(world, job)),
      runners: [...world.runners.values()].map((runner) => runnerState(world, runner)),
      requests: counters.counts,
      violations,
    },
  };
}

function addJob({ world, body }) {
  const job = world.addJob(body);
  return { status: 201, body: { job_id: job.id, run_id: job.run.id } };
}

const route = (method, pattern, handler) => ({ method, pattern, handler });
const ok = (body = {}) => ({ status: 200, body });

export const controlRoutes = [
  route('GET', /^\/_control\/state$/, state),
  route('GET', /^\/_control\/secrets$/, ({ world }) => ok(world.secrets)),
  route('POST', /^\/_control\/jobs$/, addJob),
  route('GET', /^\/_control\/jobs\/(?<id>\d+)$/, (call) => ok(jobState(call.world, findJob(call)))),
  route('PATCH', /^\/_control\/jobs\/(?<id>\d+)$/, patchJob),
  route('POST', /^\/_control\/jobs\/(?<id>\d+)\/cancel$/, (call) => {
    call.world.cancel(findJob(call));
    return ok();
  }),
  route('PATCH', /^\/_control\/runs\/(?<id>\d+)$/, patchRun),
  route('POST', /^\/_control\/repos$/, ({ world, body }) => {
    world.addRepository(body);
    return { status: 201, body: {} };
  }),
  route('POST', /^\/_control\/renames$/, ({ world, body }) => {
    world.renames.set(body.from, body.to);
    return ok();
  }),
  route('POST', /^\/_control\/enterprises$/, ({ world, body }) => {
    world.addEnterprise(body);
    return { status: 201, body: {} };
  }),
  route('POST', /^\/_control\/deprecations$/, ({ world, body }) => {
    const { version, ...dates } = body;
    world.deprecations.set(version, dates);
    return ok();
  }),
  route('POST', /^\/_control\/downloads$/, ({ world, body }) => {
    nameRelease(world, body);
    return ok();
  }),
  route('POST', /^\/_control\/actions$/, ({ world, body }) => {
    addAction(world, body);
    return ok();
  }),
  route('POST', /^\/_control\/groups$/, ({ world, body }) => {
    const { id } = world.addGroup(body.org, body);
    return { status: 201, body: { id } };
  }),
  route('DELETE', /^\/_control\/runners\/(?<id>\d+)$/, ({ world, params }) => {
    const runner = world.runners.get(Number(params.id));
    if (!runner) throw new Refusal(404, `no runner ${params.id}`);
    world.removeRunner(runner);
    return { status: 204 };
  }),
  route('POST', /^\/_control\/tokens$/, ({ world, body }) => {
    world.setToken(body);
    return { status: 201, body: {} };
  }),
  route('DELETE', /^\/_control\/tokens\/(?<id>[^/]+)$/, ({ world, params }) => {
    world.tokens.delete(params.id);
    return { status: 204 };
  }),
  route('POST', /^\/_control\/apps$/, async ({ world, body }) => {
    await addApp(world, body);
    return { status: 201, body: {} };
  }),
  route('POST', /^\/_control\/installations$/, ({ world, body }) => {
    const { id } = addInstallation(world, body);
    return { status: 201, body: { id } };
  }),
  route('PATCH', /^\/_control\/installations\/(?<id>\d+)$/, ({ world, params, body }) => {
    changeInstallation(world, Number(params.id), body);
    return ok();
  }),
  route('DELETE', /^\/_control\/installations\/(?<id>\d+)$/, ({ world, params }) => {
    removeInstallation(world, Number(params.id));
    return { status: 204 };
  }),
  route('DELETE', /^\/_control\/installations\/(?<id>\d+)\/tokens$/, ({ world, params }) => {
    dropTokens(world, Number(params.id));
    return { status: 204 };
  }),
  route('POST', /^\/_control\/faults$/, ({ faults, body }) => {
    faults.add(body);
    return { status: 201, body: {} };
  }),
  route('DELETE', /^\/_control\/faults$/, ({ faults }) => {
    faults.clear();
    return { status: 204 };
  }),
  route('POST', /^\/_control\/settings$/, ({ world, body }) => {
    const unknown = Object.keys(body).find((name) => !(name in world.settings));
    if (unknown) throw new Refusal(422, `unknown setting "${unknown}"`);
    return ok(Object.assign(world.settings, body));
  }),
  // Runner scale sets: what there is, how they behave (see scaleset.mjs), and tokens that end.
  route('GET', /^\/_control\/scale_sets$/, ({ world }) => ok(world.scaleSets.state())),
  route('POST', /^\/_control\/scale_sets$/, ({ world, body }) => ok(world.scaleSets.change(body))),
  route('POST', /^\/_control\/scale_sets\/expire$/, ({ world, body }) => {
    world.scaleSets.expire(body);
    return ok();
  }),
  route('GET', /^\/_control\/violations$/, ({ violations }) => ok(violations)),
  route('POST', /^\/_control\/reset$/, ({ restart }) => {
    restart();
    return ok();
  }),
];

// Requests answered, by route and status: {"GET /repos/{owner}/{repo}/actions/runs": {"304": 7}}.
export class Counters {
  counts = {};

  add(name, status) {
    const entry = (this.counts[name] ??= {});
    entry[status] = (entry[status] ?? 0) + 1;
  }
}

// Faults: {route: "GET /repos/{owner}/{repo}/actions/runs" | match: "regular expression on 'METHOD
// /path?query'", count: 1 (0: until cleared), and what happens: delay_ms, drop: "before"|"after"
// (the connection dies without or with the request's effect), or status, headers, body;
// validate: true holds the made-up answer to the contract}.
export class Faults {
  list = [];

  add(fault) {
    if (!fault.route && !fault.match) throw new Refusal(422, 'a fault needs route or match');
    this.list.push({ count: 1, ...fault, left: fault.count ?? 1 });
  }

  clear() {
    this.list = [];
  }

  take(name, requestLine) {
    const fits = (fault) =>
      fault.route ? fault.route === name : new RegExp(fault.match).test(requestLine);
    const fault = this.list.find(fits);
    if (fault?.count && --fault.left <= 0) this.list.splice(this.list.indexOf(fault), 1);
    return fault;
  }
}
