// The release of actions/runner that GitHub names for an account, and its file.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { kToken, startStandIn } from './support.mjs';

const kDownloads = '/actions/runners/downloads';

async function named(release) {
  const github = await startStandIn();
  await github.control('POST', '/repos', { repo: 'acme/widgets' });
  if (release) await github.control('POST', '/downloads', release);
  const { status, body } = await github.api('GET', `/repos/acme/widgets${kDownloads}`);
  assert.equal(status, 200);
  return { github, release: body.find((each) => each.os === 'linux' && each.architecture === 'x64') };
}

const fetched = async (url, headers = {}) => {
  const answer = await fetch(url, { headers });
  return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) };
};
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

test('every scope is told a release and the SHA-256 of its file', async () => {
  const { github, release } = await named({ version: '2.340.1' });
  assert.equal(release.filename, 'actions-runner-linux-x64-2.340.1.tar.gz');
  const { bytes } = await fetched(release.download_url);
  assert.equal(sha256(bytes), release.sha256_checksum);
  const listener = spawnSync('tar', ['-xzO', './bin/Runner.Listener'], { input: bytes }).stdout;
  assert.match(listener.toString(), /^readonly version=2\.340\.1$/m);
  await github.control('POST', '/enterprises', { slug: 'big', organizations: ['acme'] });
  await github.control('POST', '/tokens', {
    token: 'ghp_enterprise',
    scopes: 'manage_runners:enterprise, repo',
  });
  for (const [scope, token] of [
    ['/orgs/acme', kToken],
    ['/enterprises/big', 'ghp_enterprise'],
  ]) {
    const { status, body } = await github.api('GET', scope + kDownloads, { token });
    assert.equal(status, 200, scope);
    assert.equal(body.length, 4);
  }
  assert.deepEqual(await github.violations(), []);
});

test('the same release has the same bytes', async () => {
  const first = (await named({ version: '2.340.1' })).release.sha256_checksum;
  assert.equal((await named({ version: '2.340.1' })).release.sha256_checksum, first);
});

test('who may not look at runners is not told', async () => {
  const { github } = await named();
  await github.control('POST', '/tokens', { token: 'ghp_fine', permissions: { actions: 'read' } });
  const path = `/repos/acme/widgets${kDownloads}`;
  assert.equal((await github.api('GET', path, { token: 'ghp_fine' })).status, 403);
});

test('a release can be broken in each way', async () => {
  const checksum = (await named({ version: '2.340.1', fault: 'checksum' })).release;
  const { bytes } = await fetched(checksum.download_url);
  assert.notEqual(sha256(bytes), checksum.sha256_checksum);
  const bare = await named({ version: '2.340.1', fault: 'no_checksum' });
  assert.equal(bare.release.sha256_checksum, undefined);
  assert.deepEqual(await bare.github.violations(), []);
  const absent = (await named({ version: '2.340.1', fault: 'absent' })).release;
  assert.equal((await fetched(absent.download_url)).status, 404);
  const cut = (await named({ version: '2.340.1', fault: 'truncated' })).release;
  await assert.rejects(fetched(cut.download_url));
});

test('a file may need the token that is told beside it, and none of GitHub', async () => {
  const { github, release } = await named({ version: '2.340.1', token: 'short-lived' });
  const bearer = (token) => ({ authorization: `Bearer ${token}` });
  assert.equal((await fetched(release.download_url)).status, 401);
  const right = bearer(release.temp_download_token);
  assert.equal((await fetched(release.download_url, right)).status, 200);
  assert.deepEqual(await github.violations(), []);
  assert.equal((await fetched(release.download_url, bearer(kToken))).status, 401);
  const [leak] = await github.violations();
  assert.equal(leak.problem, 'a token has leaked');
});

test('an archive of an action is for everybody, and has one directory', async () => {
  const { github, release } = await named();
  const { origin } = new URL(release.download_url);
  const sha = '0123456789'.repeat(4);
  const address = `${origin}/acme/tool/archive/${sha}.tar.gz`;
  assert.equal((await fetched(address)).status, 404);
  await github.control('POST', '/actions', { repository: 'acme/tool', sha });
  const { status, bytes } = await fetched(address);
  assert.equal(status, 200);
  const listed = spawnSync('tar', ['-tz'], { input: bytes }).stdout.toString();
  assert.match(listed, new RegExp(`^\\./tool-${sha}/action\\.yml$`, 'm'));
  await fetched(address, { authorization: `Bearer ${kToken}` });
  assert.match((await github.violations())[0].problem, /leaked/);
});
