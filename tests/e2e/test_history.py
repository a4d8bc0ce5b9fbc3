"""What GitHub says later about the jobs that ran here, with the stand-in VMM."""

import json

from harness import main, wait_for
from standin import StandInVmmTest


class History(StandInVmmTest):
    def run_job(self, name):
        job = self.github.add_job("true", name=name)
        self.github.wait_job(job, "completed")
        self.wait_no_vm()
        return job

    def facts(self, name):
        return next((vm.get("facts") for vm in self.finished() if vm["job"] == name), None)

    def test_facts_of_jobs_come_after_a_while_and_over_a_restart(self):
        self.start_daemon()
        first = self.run_job("first")
        self.assertIsNone(self.facts("first"))
        second = self.run_job("second")
        self.assertEqual(self.daemon.stop(), 0)
        self.start_daemon()
        for name, job in (("first", first), ("second", second)):
            facts = wait_for(lambda name=name: self.facts(name), f"facts of {name}", limit=120)
            self.assertEqual(facts["job_id"], job)
            self.assertEqual(facts["conclusion"], "success")
            self.assertEqual((facts["branch"], facts["event"], facts["attempt"]),
                             ("main", "push", 1))
            self.assertGreaterEqual(facts["first_step"], facts["created"])
            self.assertGreaterEqual(facts["completed"], facts["first_step"])
        report = json.loads(self.cli("report", "--by", "user", "-o", "json").stdout)
        self.assertEqual([(row["key"], row["jobs"]) for row in report], [("mona", 2)])
        self.check_nothing_left()


if __name__ == "__main__":
    main()
