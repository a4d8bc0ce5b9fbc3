// The HTTP of runner scale sets: how a client comes in, the service, and the message queues. There
// is no published description to hold this to, so it is strict by itself about what clients send.
import { jitBlob } from './shapes.mjs';
import { Fault } from './scaleset.mjs';
import { iso, Refusal } from './basics.mjs';

const kVersion = '6.0-preview';
const kAccept = `application/json; api-version=${kVersion}`;

const ok = (body) => ({ status: 200, body });
const bad = (message) => new Fault(400, 'VssPropertyValidationException', message);
const bearer = (headers) => /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1];

// ---- the way in --------------------------------------------------------------------------------

function register({ world, sets, request, body, origin }) {
  const token = /^RemoteAuth (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
  const connection = token && sets.connect(token);
  if (!connection) throw new Refusal(401, 'the registration token is missing or wrong');
  if (body?.runner_event !== 'register') throw new Refusal(422, 'runner_event is not "register"');
  const { owner, repository } = connection.scope;
  const path = repository ? `/${owner.login}/${repository.name}` : `/${owner.login}`;
  if (URL.canParse?.(body.url) === false || new URL(body.url).pathname !== path) {
    throw new Refusal(404, `${body.url} is not ${origin}${path}`);
  }
  world.emit('changed');
  return ok({ url: `${origin}/_services/${sets.settings.tenant}/`, token: connection.token });
}

// ---- sets --------------------------------------------------------------------------------------

function setJson(sets, set) {
  const group = set.scope.owner.groups.find(({ id }) => id === set.group);
  return {
    id: set.id,
    name: set.name,
    runnerGroupId: set.group,
    runnerGroupName: group.name,
    labels: set.labels.map((name, index) => ({ id: index + 1, type: 'System', name })),
    RunnerSetting: { disableUpdate: set.disableUpdate },
    createdOn: iso(set.created),
    runnerJitConfigUrl: `https://example.com/${set.id}/generatejitconfig`,
    statistics: sets.statistics(set),
  };
}

function setOf({ sets, scope, params }) {
  const set = sets.sets.get(Number(params.id));
  if (!set || !sets.of(scope).includes(set)) {
    throw new Fault(404, 'RunnerScaleSetNotFoundException', `no scale set ${params.id}`);
  }
  return set;
}

// What a client may say of a set; of a change, only some of it.
function shapeOf({ sets, scope, body }) {
  const shape = {};
  if (body?.name !== undefined) {
    if (typeof body.name !== 'string' || !body.name) throw bad('name is no text');
    shape.name = body.name;
  }
  if (body?.runnerGroupId !== undefined) {
    const known = sets.groups(scope).some(({ id }) => id === body.runnerGroupId);
    if (!known) throw bad(`no runner group ${body.runnerGroupId}`);
    shape.group = body.runnerGroupId;
  }
  if (body?.labels !== undefined) {
    const fine = (label) => label?.type === 'System' && typeof label.name === 'string' && label.name;
    if (!Array.isArray(body.labels) || !body.labels.every(fine)) throw bad('labels are invalid');
    shape.labels = body.labels.map(({ name }) => name);
  }
  if (body?.RunnerSetting !== undefined) {
    const { disableUpdate } = body.RunnerSetting;
    if (typeof disableUpdate !== 'boolean') throw bad('RunnerSetting.disableUpdate is no flag');
    shape.disableUpdate = disableUpdate;
  }
  return shape;
}

function makeSet(call) {
  const shape = { disableUpdate: false, ...shapeOf(call) };
  if (!shape.name || !shape.group || !shape.labels?.length) throw bad('name, group and labels');
  return ok(setJson(call.sets, call.sets.add(call.scope, shape)));
}

function findSets({ sets, scope, query }) {
  const group = Number(query.get('runnerGroupId'));
  const found = sets
    .of(scope)
    .filter((set) => set.group === group && set.name === query.get('name'));
  return ok({ count: found.length, value: found.map((set) => setJson(sets, set)) });
}

function changeSet(call) {
  const set = Object.assign(setOf(call), shapeOf(call));
  call.sets.follow();
  return ok(setJson(call.sets, set));
}

function findGroups({ sets, scope, query }) {
  const wanted = query.get('groupName');
  const value = sets
    .groups(scope)
    .filter(({ name }) => !wanted || name === wanted)
    .map(({ id, name }) => ({ id, name, size: 0, isDefaultGroup: id === 1 }));
  return ok({ count: value.length, value });
}

// ---- sessions and jobs -------------------------------------------------------------------------

const sessionJson = ({ sets, origin }, set, session) => ({
  sessionId: session.id,
  ownerName: session.owner,
  runnerScaleSet: setJson(sets, set),
  messageQueueUrl: `${origin}/_queue/${set.id}?sessionId=${session.id}`,
  messageQueueAccessToken: session.token,
  statistics: sets.statistics(set),
});

function openSession(call) {
  const set = setOf(call);
  const owner = call.body?.ownerName;
  if (typeof owner !== 'string' || !owner) throw bad('ownerName is missing');
  return ok(sessionJson(call, set, call.sets.openSession(set, owner)));
}

function refreshSession(call) {
  const set = setOf(call);
  return ok(sessionJson(call, set, call.sets.refresh(set, call.params.session)));
}

function closeSession(call) {
  call.sets.closeSession(setOf(call), call.params.session);
  return { status: 204 };
}

// The one call of the service that goes by the queue's token.
function acquireJobs({ sets, request, params, body }) {
  const set = sets.sets.get(Number(params.id));
  if (!set?.session || !sets.mayRead(set, set.session.id, bearer(request.headers))) {
    throw new Refusal(401, 'the queue token is missing, wrong or over');
  }
  if (!Array.isArray(body) || !body.every((id) => Number.isInteger(id) && id > 0)) {
    throw bad('a list of request ids is needed');
  }
  const value = sets.acquire(set, body);
  return ok({ count: value.length, value });
}

// ---- runners -----------------------------------------------------------------------------------

function generateJit(call) {
  const { world, scope, body, origin } = call;
  const set = setOf(call);
  const { name, workFolder = '_work' } = body ?? {};
  if (typeof name !== 'string' || !name || name.length > 64) throw bad('name is invalid');
  if (world.runnersOf(scope).some((runner) => runner.name === name)) {
    throw new Fault(409, 'AgentExistsException', `Runner ${name} already exists.`);
  }
  const runner = world.addRunner(scope, { name, labels: set.labels, group: set.group });
  runner.set = set;
  const facts = { id: runner.id, name, runnerScaleSetId: set.id, os: 'unknown', status: 'offline' };
  const encoded = jitBlob(origin, runner, workFolder);
  world.secrets.push({ kind: 'jit_config', text: encoded });
  return ok({ runner: facts, encodedJITConfig: encoded });
}

function runnerOf({ world, scope, params }) {
  const runner = world.runners.get(Number(params.id));
  if (!runner || !world.runnersOf(scope).includes(runner)) {
    throw new Fault(404, 'AgentNotFoundException', `No agent with id ${params.id}.`);
  }
  return runner;
}

const agentJson = (runner) => ({
  id: runner.id,
  name: runner.name,
  runnerScaleSetId: runner.set?.id ?? null,
});

function deleteRunner(call) {
  const runner = runnerOf(call);
  if (runner.job) {
    throw new Fault(400, 'JobStillRunningException', `Job is still running on ${runner.name}.`);
  }
  call.world.removeRunner(runner);
  return { status: 204 };
}

function findRunners({ world, scope, query }) {
  const named = ({ name }) => name === query.get('agentName');
  const value = world.runnersOf(scope).filter(named).map(agentJson);
  return ok({ count: value.length, value });
}

// ---- the queue ---------------------------------------------------------------------------------

function queueOf({ sets, params, query, request }) {
  const set = sets.sets.get(Number(params.set));
  if (!set || !sets.mayRead(set, query.get('sessionId'), bearer(request.headers))) {
    throw new Refusal(401, 'the queue token is missing, wrong or over');
  }
  return set;
}

async function nextMessage(call) {
  const { headers } = call.request;
  const set = queueOf(call);
  const capacity = headers['x-scalesetmaxcapacity'] ?? '';
  if (!/^\d{1,6}$/.test(capacity)) throw bad('X-ScaleSetMaxCapacity is missing');
  if (headers.accept !== kAccept) throw bad(`Accept is not ${kAccept}`);
  const last = Number(call.query.get('lastMessageId') ?? 0);
  const onAbort = (act) => call.response.on('close', act);
  const message = await call.sets.wait(set, { last, capacity: Number(capacity) }, onAbort);
  return message ? ok(message) : { status: 202 };
}

function deleteMessage(call) {
  call.sets.remove(queueOf(call), Number(call.params.message));
  return { status: 204 };
}

// ---- the table ---------------------------------------------------------------------------------

const kSets = '/_apis/runtime/runnerscalesets';
const kAgents = '/_apis/distributedtask/pools/0/agents';
const kAdmin = [
  ['GET', '/_apis/runtime/runnergroups/', findGroups],
  ['GET', kSets, findSets],
  ['POST', kSets, makeSet],
  ['GET', `${kSets}/{id}`, (call) => ok(setJson(call.sets, setOf(call)))],
  ['PATCH', `${kSets}/{id}`, changeSet],
  ['POST', `${kSets}/{id}/sessions`, openSession],
  ['PATCH', `${kSets}/{id}/sessions/{session}`, refreshSession],
  ['DELETE', `${kSets}/{id}/sessions/{session}`, closeSession],
  ['POST', `${kSets}/{id}/generatejitconfig`, generateJit],
  ['GET', kAgents, findRunners],
  ['GET', `${kAgents}/{id}`, (call) => ok(agentJson(runnerOf(call)))],
  ['DELETE', `${kAgents}/{id}`, deleteRunner],
].map((route) => [...route, 'admin']);
const kRoutes = [
  ['POST', '/actions/runner-registration', register, 'open'],
  ...kAdmin,
  ['POST', `${kSets}/{id}/acquirejobs`, acquireJobs, 'queue'],
  ['GET', '/_queue/{set}', nextMessage, 'queue'],
  ['DELETE', '/_queue/{set}/{message}', deleteMessage, 'queue'],
].map(([method, path, handler, access]) => ({
  method,
  path,
  handler,
  access,
  pattern: new RegExp(`^${path.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`),
}));

// The route of a request, with what is needed to serve it; null: the request is for somebody else.
export function findScaleSetRoute(method, path) {
  const service = /^\/_services\/([^/]+)(\/.*)$/.exec(path);
  const inside = service ? service[2] : path;
  for (const route of kRoutes) {
    const isOurs = Boolean(service) === inside.startsWith('/_apis/');
    const match = isOurs && route.method === method && route.pattern.exec(inside);
    if (match) return { ...route, tenant: service?.[1], params: { ...match.groups } };
  }
  return null;
}

export async function serveScaleSets(call, route) {
  const { request, query } = call;
  const { scaleSets: sets } = call.world;
  try {
    if (!request.headers['user-agent']) throw new Refusal(403, 'a User-Agent is needed');
    if (call.text && !/^application\/json/.test(request.headers['content-type'] ?? '')) {
      throw new Refusal(415, 'the body is not application/json');
    }
    if (route.tenant && route.tenant !== sets.settings.tenant) throw new Refusal(404, 'no tenant');
    if (route.tenant && query.get('api-version') !== kVersion) {
      throw bad(`api-version is not ${kVersion}`);
    }
    const inside = { ...call, sets, params: route.params };
    if (route.access === 'admin') {
      inside.scope = sets.scopeOf(bearer(request.headers));
      if (!inside.scope) throw new Refusal(401, 'the admin token is missing, wrong or over');
    }
    return dressed(sets, await route.handler(inside));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const body = error.type ? { typeName: error.type, message: error.message } : undefined;
    return dressed(sets, { status: error.status, body });
  }
}

// As the service sends it: with the id of the activity, and now and then a byte order mark.
function dressed(sets, answer) {
  const mark = sets.settings.bom ? '\uFEFF' : '';
  const text = answer.body === undefined ? '' : mark + JSON.stringify(answer.body);
  const activity = Math.random().toString(16).slice(2).padEnd(12, '0');
  return { status: answer.status, headers: { activityid: activity }, text };
}
