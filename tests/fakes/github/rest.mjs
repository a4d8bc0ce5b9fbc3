// The REST routes of GitHub we answer, by GitHub's own path templates, and the rules around all
// of them: authentication, permissions, rate limits, conditional requests.
import { createHash } from 'node:crypto';
import { appRoutes, sees } from './apps.mjs';
import { listDownloads } from './downloads.mjs';
import {
  fullRepositoryJson,
  groupJson,
  jitBlob,
  jobJson,
  repositoryJson,
  runJson,
  runnerJson,
} from './shapes.mjs';
import { Refusal } from './world.mjs';

const kVersions = ['2022-11-28'];
const kMostResults = 1000; // of a filtered run list
const kRunStates = words('queued in_progress completed waiting requested pending');

function words(text) {
  return text.split(' ');
}

// ---- looking things up ----------------------------------------------------------------------

const notFound = () => new Refusal(404, 'Not Found');

function repositoryOf({ world, params }) {
  const found = world.repository(`${params.owner}/${params.repo}`);
  if (!found) throw notFound();
  return found;
}

function scopeOf(call) {
  if (call.params.enterprise) {
    const enterprise = call.world.enterprises.get(call.params.enterprise);
    if (!enterprise) throw notFound();
    return { owner: enterprise, repository: null };
  }
  if (!call.params.org) {
    const repository = repositoryOf(call);
    return { owner: repository.owner, repository };
  }
  const owner = call.world.findOwner(call.params.org);
  if (!owner) throw notFound();
  return { owner, repository: null };
}

function runOf(call) {
  const run = call.world.runs.get(Number(call.params.run_id));
  if (!run || run.repository !== repositoryOf(call)) throw notFound();
  return run;
}

function runnerOf(call) {
  const { owner, repository } = scopeOf(call);
  const runner = call.world.runners.get(Number(call.params.runner_id));
  const ours = runner && runner.scope.owner === owner && runner.scope.repository === repository;
  if (!ours) throw notFound();
  return runner;
}

// ---- pages -----------------------------------------------------------------------------------

const whole = (text, fallback, most) => {
  const value = Number.parseInt(text ?? '', 10);
  return Number.isInteger(value) && value > 0 ? Math.min(value, most) : fallback;
};

function paged(call, items, shape) {
  const size = whole(call.query.get('per_page'), 30, 100);
  const page = whole(call.query.get('page'), 1, 1_000_000);
  const last = Math.max(1, Math.ceil(items.length / size));
  const targets = {};
  if (page > 1) Object.assign(targets, { prev: Math.min(page - 1, last), first: 1 });
  if (page < last) Object.assign(targets, { next: page + 1, last });
  const link = Object.entries(targets).map(([rel, number]) => {
    const url = new URL(call.url);
    url.searchParams.set('page', number);
    return `<${url}>; rel="${rel}"`;
  });
  return {
    items: items.slice((page - 1) * size, page * size).map(shape),
    headers: link.length ? { Link: link.join(', ') } : {},
  };
}

function listAnswer(call, key, all, shape) {
  const { items, headers } = paged(call, all, shape);
  return { status: 200, headers, body: { total_count: all.length, [key]: items } };
}

// ---- handlers --------------------------------------------------------------------------------

function listRuns(call) {
  const repository = repositoryOf(call);
  const wanted = call.query.get('status');
  const matches = (run) => {
    if (!wanted) return true;
    const status = call.world.runStatus(run);
    return kRunStates.includes(wanted)
      ? status === wanted
      : call.world.runConclusion(run) === wanted;
  };
  const runs = [...call.world.runs.values()]
    .filter((run) => run.repository === repository && matches(run))
    .reverse()
    .slice(0, kMostResults);
  return listAnswer(call, 'workflow_runs', runs, (run) => runJson(call.base, call.world, run));
}

function getRun(call) {
  return { status: 200, body: runJson(call.base, call.world, runOf(call)) };
}

function listJobs(call) {
  return listAnswer(call, 'jobs', runOf(call).jobs, (job) => jobJson(call.base, call.world, job));
}

function getJob(call) {
  const job = call.world.jobs.get(Number(call.params.job_id));
  if (!job || job.repository !== repositoryOf(call)) throw notFound();
  return { status: 200, body: jobJson(call.base, call.world, job) };
}

function cancelRun(call) {
  const unfinished = runOf(call).jobs.filter((job) => job.status !== 'completed');
  if (!unfinished.length) throw new Refusal(409, 'Cannot cancel a workflow run that is completed.');
  for (const job of unfinished) call.world.cancel(job);
  return { status: 202, body: {} };
}

function listRepositories(call) {
  const { owner } = scopeOf(call);
  const type = call.query.get('type') ?? 'all';
  const wanted = (each) =>
    each.owner === owner && (type === 'all' || (type === 'private') === each.private);
  const all = [...call.world.repositories.values()].filter(wanted);
  const { items, headers } = paged(call, all, (each) => repositoryJson(call.base, each));
  return { status: 200, headers, body: items };
}

// What an installation was given to see.
function listInstalledRepositories(call) {
  const { installation } = call.token;
  if (!installation) throw new Refusal(403, 'You must authenticate with an installation token');
  const all = [...call.world.repositories.values()].filter(
    (each) => each.owner === installation.owner && sees(installation, each.name),
  );
  return listAnswer(call, 'repositories', all, (each) => fullRepositoryJson(call.base, each));
}

function getDeprecation(call) {
  scopeOf(call);
  const { version } = call.params;
  const dates = call.world.deprecations.get(version) ?? {};
  return {
    status: 200,
    body: {
      runner_version: version,
      registration_deprecates_at: dates.registration ?? null,
      runtime_deprecates_at: dates.runtime ?? null,
    },
  };
}

function namedDownloads(call) {
  scopeOf(call);
  return listDownloads(call);
}

function listGroups(call) {
  const { owner } = scopeOf(call);
  const visibleTo = call.query.get('visible_to_repository');
  const repository = visibleTo && call.world.repository(`${owner.login}/${visibleTo}`);
  const groups = owner.groups.filter(
    (group) => !visibleTo || (repository && call.world.groupSees(group, repository)),
  );
  return listAnswer(call, 'runner_groups', groups, (each) => groupJson(call.base, owner, each));
}

function listRunners(call) {
  const name = call.query.get('name');
  const runners = call.world.runnersOf(scopeOf(call)).filter((each) => !name || each.name === name);
  return listAnswer(call, 'runners', runners, (each) => runnerJson(call.world, each));
}

function getRunner(call) {
  return { status: 200, body: runnerJson(call.world, runnerOf(call)) };
}

function deleteRunner(call) {
  const runner = runnerOf(call);
  if (runner.job) {
    throw new Refusal(422, `Bad request - Runner "${runner.name}" is still running a job"`);
  }
  call.world.removeRunner(runner);
  return { status: 204 };
}

function generateJit(call) {
  const scope = scopeOf(call);
  const { name, labels, runner_group_id: group, work_folder: folder = '_work' } = call.body ?? {};
  checkJitRequest(scope, { name, labels, group });
  if (call.world.runnersOf(scope).some((runner) => runner.name === name)) {
    throw new Refusal(409, `Already exists - A runner with the name ${name} already exists.`);
  }
  const runner = call.world.addRunner(scope, { name, labels, group });
  const encoded = jitBlob(call.origin, runner, folder);
  call.world.secrets.push({ kind: 'jit_config', text: encoded });
  return {
    status: 201,
    body: { runner: runnerJson(call.world, runner), encoded_jit_config: encoded },
  };
}

function checkJitRequest(scope, { name, labels, group }) {
  const texts =
    Array.isArray(labels) && labels.every((label) => typeof label === 'string' && label);
  const problems = [];
  if (typeof name !== 'string' || !name || name.length > 64) problems.push('name is invalid');
  if (!texts || !labels.length || labels.length > 100) problems.push('labels is invalid');
  if (!Number.isInteger(group)) problems.push('runner_group_id is not an integer');
  else if (!groupExists(scope, group)) problems.push(`runner group ${group} does not exist`);
  if (problems.length) throw new Refusal(422, 'Validation Failed', { errors: problems });
}

function groupExists({ owner, repository }, id) {
  return repository ? id === 1 : owner.groups.some((group) => group.id === id);
}

function registrationToken(call) {
  const token = call.world.scaleSets.registrationToken(scopeOf(call));
  const expires = new Date(Date.now() + 3_600_000).toISOString();
  return { status: 201, body: { token, expires_at: expires } };
}

function getVersions() {
  return { status: 200, body: kVersions };
}

// ---- the table -------------------------------------------------------------------------------

// permission: what a fine-grained token needs, as [name, level]; 'app' is the JWT of an App.
const kRepo = '/repos/{owner}/{repo}';
const kOrg = '/orgs/{org}';
const runnerRoutes = (prefix, permission) => [
  ['get', `${prefix}/actions/runners`, [permission, 'read'], listRunners],
  ['get', `${prefix}/actions/runners/{runner_id}`, [permission, 'read'], getRunner],
  ['get', `${prefix}/actions/runners/downloads`, [permission, 'read'], namedDownloads],
  [
    'get',
    `${prefix}/actions/runners/deprecations/{version}`,
    [permission, 'read'],
    getDeprecation,
  ],
  ['delete', `${prefix}/actions/runners/{runner_id}`, [permission, 'write'], deleteRunner],
  ['post', `${prefix}/actions/runners/generate-jitconfig`, [permission, 'write'], generateJit],
  [
    'post',
    `${prefix}/actions/runners/registration-token`,
    [permission, 'write'],
    registrationToken,
  ],
];
const kOrgRunners = 'organization_self_hosted_runners';
// No permission that fine-grained tokens and Apps can have: only a classic token may.
const kEnterprise = '/enterprises/{enterprise}';
const kEnterpriseRunners = 'manage_runners:enterprise';
export const routes = [
  ['get', '/versions', null, getVersions],
  [
    'get',
    kRepo,
    ['metadata', 'read'],
    (call) => ({ status: 200, body: fullRepositoryJson(call.base, repositoryOf(call)) }),
  ],
  ['get', `${kRepo}/actions/runs`, ['actions', 'read'], listRuns],
  ['get', `${kRepo}/actions/runs/{run_id}`, ['actions', 'read'], getRun],
  ['get', `${kRepo}/actions/runs/{run_id}/jobs`, ['actions', 'read'], listJobs],
  ['post', `${kRepo}/actions/runs/{run_id}/cancel`, ['actions', 'write'], cancelRun],
  ['get', `${kRepo}/actions/jobs/{job_id}`, ['actions', 'read'], getJob],
  ...runnerRoutes(kRepo, 'administration'),
  ['get', `${kOrg}/repos`, ['metadata', 'read'], listRepositories],
  ['get', `${kOrg}/actions/runner-groups`, [kOrgRunners, 'read'], listGroups],
  ...runnerRoutes(kOrg, kOrgRunners),
  ['get', `${kEnterprise}/actions/runner-groups`, [kEnterpriseRunners, 'read'], listGroups],
  ...runnerRoutes(kEnterprise, kEnterpriseRunners),
  ['get', '/installation/repositories', ['metadata', 'read'], listInstalledRepositories],
  ...appRoutes.map(([method, path, handler]) => [method, path, 'app', handler]),
].map(([method, path, permission, handler]) => ({
  method,
  path,
  permission,
  handler,
  ...matcher(path),
}));

function matcher(path) {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
  const pattern = new RegExp(`^${path.replace(/\{\w+\}/g, '([^/]+)')}$`);
  return { names, pattern };
}

// Fixed path segments win over parameters: generate-jitconfig is not a runner id.
export function findRoute(method, path) {
  const hits = routes
    .filter((route) => route.method === method.toLowerCase() && route.pattern.test(path))
    .sort((a, b) => a.names.length - b.names.length);
  if (!hits.length) return null;
  const values = path.match(hits[0].pattern).slice(1).map(decodeURIComponent);
  const params = Object.fromEntries(hits[0].names.map((name, index) => [name, values[index]]));
  return { route: hits[0], params };
}

// ---- rules for every request -------------------------------------------------------------------

export function checkHeaders(headers) {
  if (!headers['user-agent']) {
    throw new Refusal(
      403,
      'Request forbidden by administrative rules. Please make sure your ' +
        'request has a User-Agent header.',
    );
  }
  const version = headers['x-github-api-version'];
  if (version && !kVersions.includes(version))
    throw new Refusal(410, `API version ${version} is gone`);
}

// Returns the token record; throws what GitHub would answer.
export function authenticate(world, headers) {
  const given = /^(?:bearer|token) (\S+)$/i.exec(headers.authorization ?? '');
  if (!given) throw new Refusal(401, 'Requires authentication');
  const token = world.tokens.get(given[1]);
  if (!token || token.expires <= world.now()) throw new Refusal(401, 'Bad credentials');
  return token;
}

export function checkRate(token) {
  const now = Date.now() / 1000;
  if (now >= token.reset) Object.assign(token, { used: 0, reset: Math.floor(now) + 3600 });
  if (token.used >= token.limit) {
    throw new Refusal(
      403,
      'API rate limit exceeded for user ID 1. If you reach out to GitHub ' +
        'Support for help, please include the request ID.',
    );
  }
}

export function rateHeaders(token) {
  return {
    'x-ratelimit-limit': String(token.limit),
    'x-ratelimit-remaining': String(Math.max(0, token.limit - token.used)),
    'x-ratelimit-reset': String(token.reset),
    'x-ratelimit-used': String(token.used),
    'x-ratelimit-resource': 'core',
  };
}

// Told with every answer to a classic token, also when there are none.
export const scopeHeaders = (token) =>
  token.scopes === null || token.scopes === undefined ? {} : { 'x-oauth-scopes': token.scopes };

export function checkPermission(token, route, params) {
  const account = params.owner ?? params.org;
  if (token.owner && account && account.toLowerCase() !== token.owner.login.toLowerCase()) throw notFound();
  const isClassic = token.scopes !== null && token.scopes !== undefined;
  if (params.enterprise && isClassic) {
    if (token.scopes.split(', ').includes(kEnterpriseRunners)) return;
    throw new Refusal(403, `Must have ${kEnterpriseRunners}`);
  }
  const target = params.repo && `${params.owner}/${params.repo}`.toLowerCase();
  const names = token.repositories?.map((name) => name.toLowerCase());
  if (target && names && !names.includes(target)) throw notFound();
  if (!token.permissions || !route.permission) return;
  const [name, level] = route.permission;
  const has = name === 'metadata' ? 'read' : token.permissions[name];
  if (has === 'write' || has === level) return;
  const whose = token.installation ? 'integration' : 'personal access token';
  const refusal = new Refusal(403, `Resource not accessible by ${whose}`);
  refusal.headers = { 'x-accepted-github-permissions': `${name}=${level}` };
  throw refusal;
}

// Tags differ between tokens, as GitHub's do.
export function entityTag(token, headers, url, text) {
  const parts = [token.token, headers.accept ?? '', url, text].join('\n');
  return `W/"${createHash('sha256').update(parts).digest('hex')}"`;
}
