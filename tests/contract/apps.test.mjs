// GitHub Apps: their tokens are signed here and verified by the stand-in with the jose library.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { realpathSync } from 'node:fs';
import { test } from 'node:test';
import { startStandIn } from './support.mjs';

const jose = createRequire(realpathSync(process.env.MVR_OPENAPI))('jose');
const kAppId = 4711;
const kClientId = 'Iv23liContract';
const kPermissions = { actions: 'read', administration: 'write', metadata: 'read' };
const kRuns = '/repos/acme/widgets/actions/runs';
const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });

const nowS = () => Math.floor(Date.now() / 1000);

function jwt({ issuer = String(kAppId), iat = nowS() - 60, exp = nowS() + 480, key } = {}) {
  return new jose.SignJWT({})
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT' })
    .setIssuer(issuer)
    .setIssuedAt(iat)
    .setExpirationTime(exp)
    .sign(key ?? keys.privateKey);
}

async function withApp(installation = {}) {
  const github = await startStandIn();
  for (const repo of ['acme/widgets', 'acme/gadgets', 'other/thing']) {
    await github.control('POST', '/repos', { repo });
  }
  const public_key = keys.publicKey.export({ type: 'spki', format: 'pem' });
  await github.control('POST', '/apps', { app_id: kAppId, client_id: kClientId, public_key });
  const { id } = await github.control('POST', '/installations', {
    app_id: kAppId,
    account: 'acme',
    permissions: kPermissions,
    ...installation,
  });
  return { github, id };
}

async function installationToken({ github, id }) {
  const path = `/app/installations/${id}/access_tokens`;
  const made = await github.api('POST', path, { token: await jwt() });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  return made.body.token;
}

const statusOf = async (github, path, token) => (await github.api('GET', path, { token })).status;

test('an App finds its installation by repository and by organisation', async () => {
  const { github, id } = await withApp();
  for (const issuer of [String(kAppId), kClientId]) {
    for (const path of ['/repos/acme/widgets/installation', '/orgs/acme/installation']) {
      const { status, body } = await github.api('GET', path, { token: await jwt({ issuer }) });
      assert.equal(status, 200);
      assert.equal(body.id, id);
      assert.deepEqual(body.permissions, kPermissions);
      assert.equal(body.suspended_at, null);
    }
  }
  assert.equal(await statusOf(github, '/orgs/other/installation', await jwt()), 404);
  assert.deepEqual(await github.violations(), []);
});

test('a token of an installation is long, tells its end and works', async () => {
  const { github, id } = await withApp();
  const path = `/app/installations/${id}/access_tokens`;
  const { status, body } = await github.api('POST', path, { token: await jwt() });
  assert.equal(status, 201);
  assert.ok(body.token.length > 400);
  const left = Date.parse(body.expires_at) - Date.now();
  assert.ok(left > 3_590_000 && left <= 3_600_000, `${left}`);
  assert.deepEqual(body.permissions, kPermissions);
  assert.equal(await statusOf(github, kRuns, body.token), 200);
  assert.deepEqual(await github.violations(), []);
});

test('a JWT by another key, of another App or at another time is refused', async () => {
  const { github } = await withApp();
  const foreign = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const cases = [
    [{ key: foreign }, /could not be decoded/],
    [{ issuer: '1' }, /could not be decoded/],
    [{ exp: nowS() - 5 }, /'exp'.*must be/],
    [{ exp: nowS() + 660 }, /'exp'.*too far/],
    [{ iat: nowS() + 30 }, /'iat'/],
    [{ iat: nowS() - 700 }, /'iat'/],
  ];
  for (const [claims, message] of cases) {
    const answer = await github.api('GET', '/orgs/acme/installation', {
      token: await jwt(claims),
    });
    assert.equal(answer.status, 401);
    assert.match(answer.body.message, message);
  }
  const plain = await github.api('GET', '/orgs/acme/installation');
  assert.equal(plain.status, 401);
  assert.equal(await statusOf(github, kRuns, await jwt()), 401);
  assert.deepEqual(await github.violations(), []);
});

test('tokens end when they expire, are revoked, or the installation goes', async () => {
  const short = await withApp({ token_life_s: 0 });
  assert.equal(await statusOf(short.github, kRuns, await installationToken(short)), 401);
  const app = await withApp();
  const revoked = await installationToken(app);
  await app.github.control('DELETE', `/installations/${app.id}/tokens`);
  assert.equal(await statusOf(app.github, kRuns, revoked), 401);
  const token = await installationToken(app);
  await app.github.control('DELETE', `/installations/${app.id}`);
  assert.equal(await statusOf(app.github, kRuns, token), 401);
  const path = `/app/installations/${app.id}/access_tokens`;
  assert.equal((await app.github.api('POST', path, { token: await jwt() })).status, 404);
  assert.deepEqual(await app.github.violations(), []);
});

test('a suspended installation is shown as such and gives no token', async () => {
  const { github, id } = await withApp({ suspended: true });
  const found = await github.api('GET', '/orgs/acme/installation', { token: await jwt() });
  assert.notEqual(found.body.suspended_at, null);
  const path = `/app/installations/${id}/access_tokens`;
  assert.equal((await github.api('POST', path, { token: await jwt() })).status, 403);
  assert.deepEqual(await github.violations(), []);
});

test('an installation reaches its repositories, by its permissions, and no others', async () => {
  const app = await withApp({ repositories: ['widgets'], permissions: { actions: 'read' } });
  const token = await installationToken(app);
  const { github } = app;
  assert.equal(await statusOf(github, kRuns, token), 200);
  assert.equal(await statusOf(github, '/repos/acme/gadgets/actions/runs', token), 404);
  assert.equal(await statusOf(github, '/repos/other/thing/actions/runs', token), 404);
  assert.equal(await statusOf(github, '/repos/acme/gadgets/installation', await jwt()), 404);
  const refused = await github.api('GET', '/repos/acme/widgets/actions/runners', { token });
  assert.equal(refused.status, 403);
  assert.equal(refused.body.message, 'Resource not accessible by integration');
  assert.equal(refused.headers.get('x-accepted-github-permissions'), 'administration=read');
  assert.deepEqual(await github.violations(), []);
});

test('an installation lists the repositories it sees', async () => {
  const app = await withApp({ repositories: ['widgets'] });
  const { github } = app;
  await github.control('POST', '/repos', { repo: 'acme/other' });
  const token = await installationToken(app);
  const { status, body } = await github.api('GET', '/installation/repositories', { token });
  assert.equal(status, 200);
  assert.deepEqual(
    body.repositories.map((each) => each.full_name),
    ['acme/widgets'],
  );
  assert.equal(await statusOf(github, '/installation/repositories'), 403);
  assert.deepEqual(await github.violations(), []);
});

test("GitHub's clock can differ from the host's, in Date and for JWTs", async () => {
  const { github } = await withApp();
  await github.control('POST', '/settings', { clock_skew_s: 900 });
  const late = await github.api('GET', '/orgs/acme/installation', { token: await jwt() });
  assert.equal(late.status, 401);
  const ahead = Date.parse(late.headers.get('date')) - Date.now();
  assert.ok(ahead > 890_000 && ahead < 910_000, `${ahead}`);
  const shifted = await jwt({ iat: nowS() + 840, exp: nowS() + 1380 });
  assert.equal(await statusOf(github, '/orgs/acme/installation', shifted), 200);
});

test("a classic token's scopes are told with every answer", async () => {
  const { github } = await withApp();
  await github.control('POST', '/tokens', { token: 'ghp_classic', scopes: 'repo, admin:org' });
  await github.control('POST', '/tokens', { token: 'ghp_none', scopes: '' });
  const scopes = async (token) =>
    (await github.api('GET', kRuns, { token })).headers.get('x-oauth-scopes');
  assert.equal(await scopes('ghp_classic'), 'repo, admin:org');
  assert.equal(await scopes('ghp_none'), '');
  assert.equal(await scopes(undefined), null);
});

test('an App lists what its webhook sent, and shows each delivery in full', async () => {
  const { github } = await withApp({ repositories: ['widgets'] });
  const { job_id } = await github.addJob({ repo: 'acme/widgets' });
  await github.addJob({ repo: 'acme/gadgets' });
  const token = await jwt();
  const list = await github.api('GET', '/app/hook/deliveries?per_page=100', { token });
  assert.equal(list.status, 200);
  assert.equal(list.body.length, 1);
  assert.equal(list.body[0].event, 'workflow_job');
  assert.equal(list.body[0].action, 'queued');
  const path = `/app/hook/deliveries/${list.body[0].id}`;
  const { body } = await github.api('GET', path, { token });
  assert.equal(body.request.payload.workflow_job.id, job_id);
  assert.equal(body.request.payload.repository.full_name, 'acme/widgets');
  assert.equal(body.request.payload.repository.id, list.body[0].repository_id);
  const headers = { 'if-none-match': list.headers.get('etag') };
  const again = '/app/hook/deliveries?per_page=100';
  assert.equal((await github.api('GET', again, { token, headers })).status, 304);
  assert.equal(await statusOf(github, '/app/hook/deliveries/1', token), 404);
  assert.deepEqual(await github.violations(), []);
});

test('an App without a webhook has no deliveries', async () => {
  const { github } = await withApp();
  const public_key = keys.publicKey.export({ type: 'spki', format: 'pem' });
  const app = { app_id: kAppId, client_id: kClientId, public_key, webhook: false };
  await github.control('POST', '/apps', app);
  assert.equal(await statusOf(github, '/app/hook/deliveries', await jwt()), 404);
  assert.deepEqual(await github.violations(), []);
});
