// Files beside the API. Releases of actions/runner: what GitHub names for an account, and their
// tarballs. A release is the stand-in runner (tests/fakes/runner) packed as GitHub packs the real one.
// And archives of actions that everybody may have, at /OWNER/NAME/archive/SHA.tar.gz.
//
// POST /_control/downloads takes
//   version   "2.336.0", what is named and what the listener says it is
//   listener  another text of bin/Runner.Listener: a release that does not work
//   fault     checksum: another one is named; no_checksum: none is; truncated: the connection ends
//             in the middle; absent: 404
//   token     the file is for those who send this one, which is told beside its address
// POST /_control/actions takes repository ("owner/name") and sha; there is one such action then.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Refusal } from './basics.mjs';

const kRunner = fileURLToPath(new URL('../runner', import.meta.url));
const kFaults = ['checksum', 'no_checksum', 'truncated', 'absent'];
const kPlatforms = [
  ['osx', 'x64', 'tar.gz'],
  ['linux', 'x64', 'tar.gz'],
  ['linux', 'arm64', 'tar.gz'],
  ['win', 'x64', 'zip'],
];
const kPlace = '/_downloads/';
const kArchive = /^\/(?<repository>[^/]+\/(?<name>[^/]+))\/archive\/(?<sha>[0-9a-f]{40})\.tar\.gz$/;

export const firstRelease = () => ({ version: '2.336.0' });

export function nameRelease(world, release) {
  if (!/^\d+\.\d+\.\d+$/.test(release.version ?? '')) throw new Refusal(422, 'no version');
  if (release.fault && !kFaults.includes(release.fault)) {
    throw new Refusal(422, `unknown fault "${release.fault}"`);
  }
  world.release = release;
}

export function addAction(world, { repository, sha }) {
  const path = archivePath({ repository, sha });
  if (!kArchive.test(path)) throw new Refusal(422, `no action: ${path}`);
  world.actions.add(path);
}

export const archivePath = ({ repository, sha }) => `/${repository}/archive/${sha}.tar.gz`;

// Calls make() with a new directory; what is in there then, as GitHub packs it.
function packed(make) {
  const work = mkdtempSync(join(tmpdir(), 'release-'));
  try {
    const tree = join(work, 'tree');
    make(tree);
    const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--mode=u=rwX,go=rX'];
    const done = spawnSync('tar', [...same, '-C', tree, '-cz', '.']);
    if (done.status !== 0) throw new Error(`tar: ${done.stderr}`);
    return done.stdout;
  } finally {
    rmSync(work, { recursive: true });
  }
}

const packRelease = ({ version, listener }) =>
  packed((tree) => {
    const program = join(tree, 'bin/Runner.Listener');
    cpSync(kRunner, tree, { recursive: true });
    const text = readFileSync(program, 'utf8');
    writeFileSync(program, listener ?? text.replace(/^readonly version=.*/m, `readonly version=${version}`));
  });

const packAction = ({ repository, name, sha }) =>
  packed((tree) => {
    const top = join(tree, `${name}-${sha}`);
    mkdirSync(top, { recursive: true });
    writeFileSync(join(top, 'action.yml'), `name: ${repository}\nruns: {using: node20, main: index.js}\n`);
  });

// Made when it is first asked for.
function fileOf(release) {
  release.bytes ??= packRelease(release);
  return release.bytes;
}

const fileName = (version, [os, architecture, ending]) =>
  `actions-runner-${os}-${architecture}-${version}.${ending}`;

export function listDownloads(call) {
  const { release } = call.world;
  const digest = createHash('sha256').update(fileOf(release));
  if (release.fault === 'checksum') digest.update('something else');
  const sha256 = digest.digest('hex');
  const body = kPlatforms.map((platform) => {
    const filename = fileName(release.version, platform);
    return {
      os: platform[0],
      architecture: platform[1],
      download_url: `${call.origin}${kPlace}${filename}`,
      filename,
      ...(release.token ? { temp_download_token: release.token } : {}),
      ...(release.fault === 'no_checksum' ? {} : { sha256_checksum: sha256 }),
    };
  });
  return { status: 200, body };
}

export const isDownload = (path) => path.startsWith(kPlace) || kArchive.test(path);

// The object store behind the address. It is no part of the API: a token of GitHub's that comes here
// has leaked.
export function serveDownload({ world, request, path, violations }) {
  const { release } = world;
  const given = /^bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (given && world.tokens.has(given)) {
    violations.push({ side: 'request', request: `GET ${path}`, problem: 'a token has leaked' });
  }
  const action = kArchive.exec(path);
  if (action) {
    if (request.method !== 'GET' || !world.actions.has(path)) throw new Refusal(404, 'Not Found');
    return { status: 200, bytes: packAction(action.groups) };
  }
  const names = kPlatforms.map((platform) => fileName(release.version, platform));
  const isNamed = names.includes(path.slice(kPlace.length));
  if (request.method !== 'GET' || !isNamed || release.fault === 'absent') {
    throw new Refusal(404, 'Not Found');
  }
  if ((release.token ?? given) !== given) throw new Refusal(401, 'Unauthorized');
  return { status: 200, bytes: fileOf(release), isCut: release.fault === 'truncated' };
}
