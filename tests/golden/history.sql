-- A history of version 3, as any later release must read it.
PRAGMA application_id = 1297502792;
PRAGMA user_version = 3;
CREATE TABLE finished (id INTEGER PRIMARY KEY, vm TEXT NOT NULL, profile TEXT NOT NULL,
 scope TEXT NOT NULL, job TEXT NOT NULL, result TEXT NOT NULL, cause TEXT NOT NULL,
 cause_text TEXT NOT NULL, exit_code INTEGER, created_ms INTEGER, listening_ms INTEGER,
 started_ms INTEGER, ended_ms INTEGER, host TEXT NOT NULL, vcpus INTEGER NOT NULL,
 memory INTEGER NOT NULL, disk INTEGER NOT NULL, repository TEXT NOT NULL DEFAULT '',
 workflow TEXT NOT NULL DEFAULT '', queued_ms INTEGER, runner TEXT NOT NULL DEFAULT '',
 wanted TEXT NOT NULL DEFAULT '', job_id INTEGER NOT NULL DEFAULT 0,
 run_id INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0,
 conclusion TEXT NOT NULL DEFAULT '', branch TEXT NOT NULL DEFAULT '',
 event TEXT NOT NULL DEFAULT '', actor TEXT NOT NULL DEFAULT '', first_step_ms INTEGER,
 completed_ms INTEGER) STRICT;
INSERT INTO finished (vm, profile, scope, job, result, cause, cause_text, exit_code, created_ms, listening_ms, started_ms, ended_ms, host, vcpus, memory, disk, repository, workflow, queued_ms, runner, job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms, completed_ms)
 VALUES ('small-000000', 'small', 'acme', 'test (3.12)', 'Succeeded', 'finished', '', 0, 1795165200000, 1795165202000, 1795165202400, 1795165267400, 'build-7', 2, 4294967296, 21474836480, 'acme/app', 'ci', 1795165198500, 'mv-build-7-00000000', 9000, 800, 1, 'success', 'main', 'push', 'alice', 1795165203400, 1795165266900);
INSERT INTO finished (vm, profile, scope, job, result, cause, cause_text, exit_code, created_ms, listening_ms, started_ms, ended_ms, host, vcpus, memory, disk, repository, workflow, queued_ms, runner, job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms, completed_ms)
 VALUES ('small-000001', 'small', 'acme', 'test (3.13)', 'Failed', 'finished', '', NULL, 1795165800000, 1795165802000, 1795165802400, 1795165873400, 'build-7', 2, 4294967296, 21474836480, 'acme/app', 'ci', 1795165797500, 'mv-build-7-00000001', 9001, 801, 1, 'failure', 'main', 'push', 'alice', 1795165803400, 1795165872900);
INSERT INTO finished (vm, profile, scope, job, result, cause, cause_text, exit_code, created_ms, listening_ms, started_ms, ended_ms, host, vcpus, memory, disk, repository, workflow, queued_ms, runner, job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms, completed_ms)
 VALUES ('small-000002', 'small', 'acme', 'test (3.12)', 'Succeeded', 'finished', '', 0, 1795166400000, 1795166401900, 1795166402250, 1795166463250, 'build-7', 2, 4294967296, 21474836480, 'acme/app', 'ci', 1795166399100, 'mv-build-7-00000002', 9002, 802, 1, 'success', 'main', 'push', 'bob', 1795166403250, 1795166462750);
INSERT INTO finished (vm, profile, scope, job, result, cause, cause_text, exit_code, created_ms, listening_ms, started_ms, ended_ms, host, vcpus, memory, disk, repository, workflow, queued_ms, runner, job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms, completed_ms)
 VALUES ('large-000003', 'large', 'acme', 'bzImage', 'Succeeded', 'finished', '', 0, 1795167000000, 1795167002400, 1795167002900, 1795168832900, 'build-7', 8, 34359738368, 64424509440, 'acme/kernel', 'nightly', 1795166955000, 'mv-build-7-00000003', 9003, 803, 1, 'success', 'main', 'push', 'carol', 1795167003900, 1795168832400);
INSERT INTO finished (vm, profile, scope, job, result, cause, cause_text, exit_code, created_ms, listening_ms, started_ms, ended_ms, host, vcpus, memory, disk, repository, workflow, queued_ms, runner, job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms, completed_ms)
 VALUES ('large-000004', 'large', 'acme', 'bzImage', '', 'job_timeout', 'job timeout', NULL, 1795167600000, 1795167602500, 1795167603000, 1795171203000, 'build-7', 8, 34359738368, 64424509440, 'acme/kernel', 'nightly', 1795167505000, 'mv-build-7-00000004', 9004, 804, 1, '', 'main', 'push', 'carol', 1795167604000, 1795171202500);
INSERT INTO finished (vm, profile, scope, job, result, cause, cause_text, exit_code, created_ms, listening_ms, started_ms, ended_ms, host, vcpus, memory, disk, repository, workflow, queued_ms, runner, job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms, completed_ms)
 VALUES ('small-000005', 'small', 'acme', '=cmd|'' /C calc''!A0', 'Canceled', 'finished', '', NULL, 1795168200000, 1795168202100, 1795168202400, 1795168222400, 'build-7', 2, 4294967296, 21474836480, 'acme/app', 'deploy', 1795168199300, 'mv-build-7-00000005', 9005, 805, 1, 'cancelled', 'main', 'push', 'mallory', 1795168203400, 1795168221900);
INSERT INTO finished (vm, profile, scope, job, result, cause, cause_text, exit_code, created_ms, listening_ms, started_ms, ended_ms, host, vcpus, memory, disk, repository, workflow, queued_ms, runner, job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms, completed_ms)
 VALUES ('large-000006', 'large', 'acme', '', '', 'boot_timeout', 'boot timeout', NULL, 1795168800000, NULL, NULL, 1795168920000, 'build-7', 8, 34359738368, 64424509440, '', '', NULL, 'mv-build-7-00000006', 0, 0, 0, '', '', '', '', NULL, NULL);
INSERT INTO finished (vm, profile, scope, job, result, cause, cause_text, exit_code, created_ms, listening_ms, started_ms, ended_ms, host, vcpus, memory, disk, repository, workflow, queued_ms, runner, job_id, run_id, attempt, conclusion, branch, event, actor, first_step_ms, completed_ms)
 VALUES ('small-000007', 'small', 'acme', '', '', 'unused', '', NULL, 1795169400000, 1795169402000, NULL, 1795169462000, 'build-7', 2, 4294967296, 21474836480, '', '', NULL, 'mv-build-7-00000007', 0, 0, 0, '', '', '', '', NULL, NULL);
-- Version 4: what the guests said they used.
ALTER TABLE finished ADD COLUMN memory_peak INTEGER;
ALTER TABLE finished ADD COLUMN disk_peak INTEGER;
ALTER TABLE finished ADD COLUMN cpu_ms INTEGER;
UPDATE finished SET memory_peak = 1500000000 + id * 100000000, disk_peak = 2000000000,
  cpu_ms = 45000 WHERE profile = 'small' AND job <> '';
UPDATE finished SET memory_peak = 3000000000, disk_peak = 5000000000, cpu_ms = 3600000
  WHERE profile = 'large' AND job <> '';
PRAGMA user_version = 4;
