// Our values as the JSON objects GitHub answers with.
import { randomUUID } from 'node:crypto';
import { iso } from './world.mjs';

const words = (text) => text.trim().split(/\s+/);
const kRepositoryLinks = words(`
  archive assignees blobs branches collaborators comments commits compare contents contributors
  deployments downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events
  issues keys labels languages merges milestones notifications pulls releases stargazers statuses
  subscribers subscription tags teams trees`);
const kOwnerLinks = words(
  'events followers following gists organizations received_events repos starred subscriptions',
);
const links = (names, base) =>
  Object.fromEntries(names.map((name) => [`${name}_url`, `${base}/${name.replace('_', '/')}`]));
const nodeId = (kind, id) => Buffer.from(`${kind}${id}`).toString('base64');

function ownerJson(base, owner) {
  const url = `${base}/users/${owner.login}`;
  return {
    login: owner.login,
    id: owner.id,
    node_id: nodeId('U_', owner.id),
    avatar_url: `${base}/avatars/${owner.id}`,
    gravatar_id: '',
    url,
    html_url: `${base}/${owner.login}`,
    ...links(kOwnerLinks, url),
    type: 'Organization',
    site_admin: false,
  };
}

export function installationJson(base, installation) {
  const { id, app, owner, created, permissions, repositories, suspended } = installation;
  return {
    id,
    account: ownerJson(base, owner),
    repository_selection: repositories ? 'selected' : 'all',
    access_tokens_url: `${base}/app/installations/${id}/access_tokens`,
    repositories_url: `${base}/installation/repositories`,
    html_url: `${base}/organizations/${owner.login}/settings/installations/${id}`,
    app_id: app.id,
    app_slug: `app-${app.id}`,
    target_id: owner.id,
    target_type: 'Organization',
    permissions,
    events: [],
    created_at: iso(created),
    updated_at: iso(created),
    single_file_name: null,
    suspended_by: suspended ? ownerJson(base, owner) : null,
    suspended_at: suspended ? iso(created) : null,
  };
}

export function deliveryJson({ id, action, at, job, installation }) {
  return {
    id,
    guid: `00000000-0000-4000-8000-${String(id).slice(-12).padStart(12, '0')}`,
    delivered_at: iso(at),
    redelivery: false,
    duration: 0.1,
    status: 'failed to connect to host',
    status_code: 502,
    event: 'workflow_job',
    action,
    installation_id: installation.id,
    repository_id: job.repository.id,
    throttled_at: null,
  };
}

export function deliveryInFullJson(base, world, delivery) {
  const { action, job, installation } = delivery;
  const payload = {
    action,
    workflow_job: jobJson(base, world, job),
    repository: repositoryJson(base, job.repository),
    installation: { id: installation.id },
  };
  return {
    ...deliveryJson(delivery),
    url: 'https://nowhere.example/',
    request: { headers: { 'X-GitHub-Event': 'workflow_job' }, payload },
    response: { headers: null, payload: null },
  };
}

export const fullName = (repository) => `${repository.owner.login}/${repository.name}`;

export function repositoryJson(base, repository) {
  const url = `${base}/repos/${fullName(repository)}`;
  return {
    id: repository.id,
    node_id: nodeId('R_', repository.id),
    name: repository.name,
    full_name: fullName(repository),
    owner: ownerJson(base, repository.owner),
    private: repository.private,
    html_url: `${base}/${fullName(repository)}`,
    description: null,
    fork: false,
    url,
    ...links(kRepositoryLinks, url),
    archived: repository.archived,
    disabled: repository.disabled,
    visibility: repository.private ? 'private' : 'public',
    pushed_at: iso(repository.pushed),
  };
}

function headRepository(repository, fork) {
  return fork ? { ...repository, id: repository.id + 1_000_000, fork: true } : repository;
}

// What a repository asked for by name has beside what lists have of it.
export function fullRepositoryJson(base, repository) {
  const short = repositoryJson(base, repository);
  const counts = words(`forks forks_count open_issues open_issues_count size stargazers_count
    watchers watchers_count network_count subscribers_count`);
  const flags = words('has_issues has_projects has_wiki has_pages has_discussions has_downloads');
  const absent = words('homepage language mirror_url license');
  return {
    ...short,
    ...Object.fromEntries(counts.map((name) => [name, 0])),
    ...Object.fromEntries(flags.map((name) => [name, false])),
    ...Object.fromEntries(absent.map((name) => [name, null])),
    clone_url: `${short.html_url}.git`,
    svn_url: short.html_url,
    git_url: `git:${short.full_name}.git`,
    ssh_url: `git@example.com:${short.full_name}.git`,
    default_branch: 'main',
    created_at: short.pushed_at,
    updated_at: short.pushed_at,
  };
}

// What the runner writes to GITHUB_EVENT_PATH, as far as anybody here reads it.
export function eventJson(base, run) {
  const repository = repositoryJson(base, run.repository);
  const event = { repository, sender: ownerJson(base, kMona) };
  if (run.event !== 'pull_request' && !run.fork) return event;
  const head = repositoryJson(base, headRepository(run.repository, run.fork));
  return {
    action: 'opened',
    number: run.number,
    pull_request: {
      id: run.id,
      number: run.number,
      title: `Change ${run.number}`,
      head: { ref: 'change', sha: run.sha, repo: head },
      base: { ref: 'main', repo: repository },
    },
    ...event,
  };
}

const kMona = { login: 'mona', id: 2 }; // who starts all runs

export function runJson(base, world, run) {
  const repository = repositoryJson(base, run.repository);
  const url = `${repository.url}/actions/runs/${run.id}`;
  const person = { name: 'Mona', email: 'mona@example.com' };
  return {
    id: run.id,
    name: run.workflow,
    node_id: nodeId('WFR_', run.id),
    head_branch: 'main',
    head_sha: run.sha,
    path: `.github/workflows/${run.workflow.toLowerCase()}.yml`,
    display_title: `Change ${run.number}`,
    run_number: run.number,
    run_attempt: 1,
    event: run.event,
    status: world.runStatus(run),
    conclusion: world.runConclusion(run),
    workflow_id: run.repository.id * 10,
    url,
    html_url: `${repository.html_url}/actions/runs/${run.id}`,
    pull_requests: [],
    created_at: iso(run.created),
    updated_at: iso(run.updated),
    run_started_at: iso(run.created),
    jobs_url: `${url}/jobs`,
    logs_url: `${url}/logs`,
    check_suite_url: `${repository.url}/check-suites/${run.id}`,
    artifacts_url: `${url}/artifacts`,
    cancel_url: `${url}/cancel`,
    rerun_url: `${url}/rerun`,
    workflow_url: `${repository.url}/actions/workflows/${run.repository.id * 10}`,
    head_commit: {
      id: run.sha,
      tree_id: run.sha,
      message: `Change ${run.number}`,
      timestamp: iso(run.created),
      author: person,
      committer: person,
    },
    actor: ownerJson(base, kMona),
    triggering_actor: ownerJson(base, kMona),
    repository,
    head_repository: headRepository(repository, run.fork),
  };
}

export function jobJson(base, world, job) {
  const repositoryUrl = `${base}/repos/${fullName(job.repository)}`;
  const status = world.listedStatus(job);
  const runner = status === 'queued' ? null : job.runner;
  const group = runner && job.repository.owner.groups.find((each) => each.id === runner.group);
  return {
    id: job.id,
    run_id: job.run.id,
    workflow_name: job.run.workflow,
    head_branch: 'main',
    run_url: `${repositoryUrl}/actions/runs/${job.run.id}`,
    run_attempt: 1,
    node_id: nodeId('CR_', job.id),
    head_sha: job.run.sha,
    url: `${repositoryUrl}/actions/jobs/${job.id}`,
    html_url: `${base}/${fullName(job.repository)}/actions/runs/${job.run.id}/job/${job.id}`,
    status,
    conclusion: job.conclusion,
    created_at: iso(job.created),
    started_at: iso(job.started ?? job.created),
    completed_at: job.completed && iso(job.completed),
    name: job.name,
    steps: job.steps.map((step, index) => ({
      name: step.name ?? `Step ${index + 1}`,
      number: index + 1,
      status: job.status === 'completed' ? 'completed' : 'queued',
      conclusion: job.conclusion,
      started_at: job.started && iso(job.started),
      completed_at: job.completed && iso(job.completed),
    })),
    check_run_url: `${repositoryUrl}/check-runs/${job.id}`,
    labels: job.labels,
    // Jobs without a runner have been seen with 0 and "" as well as with null.
    runner_id: runner ? runner.id : job.id % 2 ? 0 : null,
    runner_name: runner ? runner.name : job.id % 2 ? '' : null,
    runner_group_id: runner ? runner.group : null,
    runner_group_name: group ? group.name : null,
  };
}

export function runnerJson(world, runner) {
  return {
    id: runner.id,
    name: runner.name,
    os: runner.version ? 'Linux' : 'unknown',
    status: world.isOnline(runner) ? 'online' : 'offline',
    busy: runner.job !== null,
    ephemeral: true,
    runner_group_id: runner.group,
    version: runner.version,
    labels: runner.labels,
  };
}

export function groupJson(base, owner, group) {
  const kind = owner.members ? 'enterprises' : 'orgs';
  const url = `${base}/${kind}/${owner.login}/actions/runner-groups/${group.id}`;
  return {
    id: group.id,
    name: group.name,
    visibility: group.visibility,
    default: group.default,
    runners_url: `${url}/runners`,
    inherited: group.inherited,
    allows_public_repositories: group.allows_public_repositories,
    restricted_to_workflows: false,
    selected_workflows: [],
    workflow_restrictions_read_only: false,
  };
}

// The blob a just-in-time runner starts from: base64 of an object of base64 files.
export function jitBlob(origin, runner, workFolder) {
  const { scope } = runner;
  const path = scope.repository ? fullName(scope.repository) : scope.owner.login;
  const files = {
    '.runner': {
      AgentId: String(runner.id),
      AgentName: runner.name,
      PoolId: String(runner.group),
      PoolName: 'Default',
      ServerUrl: `${origin}/_runner/`,
      ServerUrlV2: `${origin}/_runner/`,
      UseV2Flow: 'True',
      GitHubUrl: `${origin}/${path}`,
      WorkFolder: workFolder,
      Ephemeral: 'True',
      DisableUpdate: 'True',
    },
    '.credentials': {
      Scheme: 'OAuth',
      Data: {
        ClientId: randomUUID(),
        AuthorizationUrl: `${origin}/_runner/token`,
        RequireFipsCryptography: 'True',
      },
    },
    '.credentials_rsaparams': runner.key,
  };
  const encode = (value) => Buffer.from(value).toString('base64');
  const encoded = Object.entries(files).map(([name, text]) => [name, encode(JSON.stringify(text))]);
  return encode(JSON.stringify(Object.fromEntries(encoded)));
}
