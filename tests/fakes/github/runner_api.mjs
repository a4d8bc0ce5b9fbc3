// What the stand-in runner talks to: sessions, a long poll for a job, its log and its result.
// A protocol of our own; the real one is not public.
import { archivePath } from './downloads.mjs';
import { eventJson, fullName } from './shapes.mjs';

const kMaxWait = 30;

const jobForRunner = ({ base, origin }, job) => ({
  id: job.id,
  name: job.name,
  repository: fullName(job.repository),
  run_id: job.run.id,
  workflow: job.run.workflow,
  event: eventJson(base, job.run),
  steps: job.steps.map((step, index) => ({
    name: step.name ?? `Step ${index + 1}`,
    run: step.run,
    if: step.if ?? 'success()',
  })),
  uses: job.uses.map((action) => ({ ...action, tarball: origin + archivePath(action) })),
});

// The answer is a job, nothing yet, or that the runner was deleted.
async function poll(call) {
  const { world, params, query, onAbort } = call;
  const session = world.session(params.id);
  const seconds = Math.min(Number(query.get('wait') ?? 20) || 0, kMaxWait);
  const pending = world.waitForJob(session, seconds * 1000);
  const turn = session.waiter; // a later poll has its own
  onAbort(() => turn && session.waiter === turn && turn(null));
  const outcome = await pending;
  if (!outcome) return { status: 204 };
  if (outcome.gone) return { status: 410, body: { message: 'the runner no longer exists' } };
  return { status: 200, body: jobForRunner(call, outcome) };
}

export const runnerRoutes = [
  {
    method: 'POST',
    pattern: /^\/_runner\/session$/,
    handler({ world, body }) {
      const { agentName, secret, version } = body ?? {};
      const session = world.openSession(agentName, secret, version ?? null);
      return { status: 201, body: { session: session.id } };
    },
  },
  { method: 'GET', pattern: /^\/_runner\/session\/(?<id>[^/]+)\/job$/, handler: poll },
  {
    method: 'POST',
    pattern: /^\/_runner\/session\/(?<id>[^/]+)\/log$/,
    handler({ world, params, text }) {
      const cancel = world.appendLog(world.session(params.id), text);
      return { status: 200, body: { cancel } };
    },
  },
  {
    method: 'POST',
    pattern: /^\/_runner\/session\/(?<id>[^/]+)\/complete$/,
    handler({ world, params, body }) {
      world.complete(world.session(params.id), body?.result);
      return { status: 200, body: {} };
    },
  },
  {
    method: 'DELETE',
    pattern: /^\/_runner\/session\/(?<id>[^/]+)$/,
    handler({ world, params }) {
      const session = world.session(params.id);
      if (session.runner.job) return { status: 409, body: { message: 'a job is running' } };
      world.endSession(session);
      return { status: 204 };
    },
  },
];
