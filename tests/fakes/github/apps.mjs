// GitHub Apps: who signs with which key, where an App is installed, and the tokens that gives.
//
// Tokens of an App (JWTs) are verified by the jose library from beside the OpenAPI description, so
// that what signs and what verifies have nothing in common.
import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { deliveryInFullJson, deliveryJson, installationJson } from './shapes.mjs';
import { iso, Refusal } from './world.mjs';

const kLongestJwt = 600; // seconds from now to `exp`

let jose = null;

// `openapi`: the path of the description.
export function loadVerifier(openapi) {
  jose = createRequire(realpathSync(openapi))('jose');
}

// ---- what tests set up -------------------------------------------------------------------------

// public_key: SPKI as PEM.
// webhook: whether the App has one, and so a list of its deliveries.
export async function addApp(world, { app_id, client_id = null, public_key, webhook = true }) {
  if (!jose) throw new Refusal(422, 'Apps need --openapi: beside it is what verifies their tokens');
  const key = await jose.importSPKI(public_key, 'RS256');
  const rate = { used: 0, limit: 5000, reset: Math.floor(Date.now() / 1000) + 3600 };
  const app = { id: app_id, clientId: client_id, key, token: `app ${app_id}`, webhook, ...rate };
  world.apps.set(app_id, app);
}

// repositories: names without their owner; null is all of the account's.
export function addInstallation(world, { app_id, account, ...settings }) {
  const app = world.apps.get(app_id);
  if (!app) throw new Refusal(422, `no App ${app_id}`);
  const defaults = { repositories: null, permissions: {}, suspended: false, token_life_s: 3600 };
  const installation = { id: world.next.installation++, app, owner: world.owner(account) };
  Object.assign(installation, { created: Date.now() }, defaults, settings);
  world.installations.set(installation.id, installation);
  return installation;
}

export function changeInstallation(world, id, changes) {
  const installation = world.installations.get(id);
  if (!installation) throw new Refusal(404, `no installation ${id}`);
  Object.assign(installation, changes);
}

export function dropTokens(world, id) {
  for (const [text, token] of world.tokens) {
    if (id === null || token.installation?.id === id) world.tokens.delete(text);
  }
}

export function removeInstallation(world, id) {
  world.installations.delete(id);
  dropTokens(world, id);
}

// ---- authentication ----------------------------------------------------------------------------

const kRefusals = {
  exp:
    "'Expiration time' claim ('exp') must be a numeric value representing the future time at " +
    'which the assertion expires',
  far: "'Expiration time' claim ('exp') is too far in the future",
  iat:
    "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was " +
    'issued',
};
const unreadable = () => new Refusal(401, 'A JSON web token could not be decoded');

function appOf(world, issuer) {
  return [...world.apps.values()].find(
    (app) => String(app.id) === String(issuer) || app.clientId === issuer,
  );
}

// The App whose JWT this is; throws what GitHub would answer.
export async function authenticateApp(world, headers) {
  const given = /^bearer (\S+)$/i.exec(headers.authorization ?? '');
  if (!given || !jose) throw unreadable();
  let app;
  try {
    app = appOf(world, jose.decodeJwt(given[1]).iss);
  } catch {
    throw unreadable();
  }
  if (!app) throw unreadable();
  try {
    const { payload } = await jose.jwtVerify(given[1], app.key, {
      algorithms: ['RS256'],
      typ: 'JWT',
      requiredClaims: ['iat', 'exp', 'iss'],
      maxTokenAge: kLongestJwt,
      currentDate: new Date(world.now()),
    });
    if (payload.exp > world.now() / 1000 + kLongestJwt) throw new Refusal(401, kRefusals.far);
  } catch (error) {
    throw error instanceof Refusal ? error : jwtRefusal(error);
  }
  return app;
}

function jwtRefusal(error) {
  return kRefusals[error.claim] ? new Refusal(401, kRefusals[error.claim]) : unreadable();
}

// ---- handlers ----------------------------------------------------------------------------------

const notFound = () => new Refusal(404, 'Not Found');

export const sees = ({ repositories }, name) =>
  !repositories || repositories.some((each) => each.toLowerCase() === name.toLowerCase());

function installationAnswer(call, accepts) {
  const found = [...call.world.installations.values()].find(
    (each) => each.app === call.token && accepts(each),
  );
  if (!found) throw notFound();
  return { status: 200, body: installationJson(call.base, found) };
}

function repositoryInstallation(call) {
  const { owner, repo } = call.params;
  const repository = call.world.repository(`${owner}/${repo}`);
  if (!repository) throw notFound();
  return installationAnswer(
    call,
    (each) => each.owner === repository.owner && sees(each, repository.name),
  );
}

function organizationInstallation(call) {
  const owner = call.world.findOwner(call.params.org);
  if (!owner) throw notFound();
  return installationAnswer(call, (each) => each.owner === owner);
}

// As long as GitHub's newer ones are: nobody may count on 40 characters.
const tokenText = (app) => `ghs_${app.id}_${randomBytes(450).toString('base64url')}`;

function createToken(call) {
  const installation = call.world.installations.get(Number(call.params.installation_id));
  if (!installation || installation.app !== call.token) throw notFound();
  if (installation.suspended) throw new Refusal(403, 'This installation has been suspended');
  const { owner, permissions, repositories, token_life_s: life } = installation;
  const token = tokenText(installation.app);
  call.world.secrets.push({ kind: 'token', text: token });
  const names = repositories?.map((name) => `${owner.login}/${name}`) ?? null;
  const expires = call.world.now() + life * 1000;
  call.world.setToken({ token, permissions: { ...permissions }, repositories: names });
  Object.assign(call.world.tokens.get(token), { installation, owner, expires });
  return {
    status: 201,
    body: {
      token,
      expires_at: iso(expires),
      permissions,
      repository_selection: repositories ? 'selected' : 'all',
    },
  };
}

// What the App's webhook sent: one delivery for each step of each job its installations see. They
// all failed, as those of an App do whose webhook leads nowhere.
function deliveriesOf({ world, token }) {
  if (!token.webhook) throw notFound();
  const installations = [...world.installations.values()].filter((each) => each.app === token);
  const sent = [];
  for (const job of world.jobs.values()) {
    const { owner, name } = job.repository;
    const installation = installations.find((each) => each.owner === owner && sees(each, name));
    if (!installation) continue;
    const steps = { queued: job.created, in_progress: job.started, completed: job.completed };
    Object.entries(steps).forEach(([action, at], index) => {
      if (at) sent.push({ id: job.id * 4 + index, action, at, job, installation });
    });
  }
  return sent.sort((a, b) => b.at - a.at || b.id - a.id);
}

function listDeliveries(call) {
  const size = Math.min(Number(call.query.get('per_page') ?? 30), 100);
  return { status: 200, body: deliveriesOf(call).slice(0, size).map(deliveryJson) };
}

function getDelivery(call) {
  const id = Number(call.params.delivery_id);
  const found = deliveriesOf(call).find((each) => each.id === id);
  if (!found) throw notFound();
  return { status: 200, body: deliveryInFullJson(call.base, call.world, found) };
}

// [method, path, handler]; all of them are authorised by a JWT.
export const appRoutes = [
  ['get', '/repos/{owner}/{repo}/installation', repositoryInstallation],
  ['get', '/orgs/{org}/installation', organizationInstallation],
  ['post', '/app/installations/{installation_id}/access_tokens', createToken],
  ['get', '/app/hook/deliveries', listDeliveries],
  ['get', '/app/hook/deliveries/{delivery_id}', getDelivery],
];
