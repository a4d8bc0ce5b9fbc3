"""`mvrunner init`: what it writes is valid and accepted by GitHub, or it writes nothing."""

import os
import pty
import subprocess

from harness import GITHUB, MVRUNNER, TOKEN, MvrunnerTest, Namespaces, main, wait_for

URL = f"{GITHUB}/acme/widgets"


class Init(MvrunnerTest):
    def setUp(self):
        super().setUp()
        self.config.unlink()
        self.token = self.root / "token"
        self.token.unlink()

    def init(self, *arguments, text=None):
        return subprocess.run(self.mvrunner("init", *arguments), input=text, text=True,
                              capture_output=True, timeout=120,
                              stdin=subprocess.DEVNULL if text is None else None)

    def check_nothing_written(self):
        self.assertFalse(self.config.exists())
        self.assertEqual(list(self.root.glob("token*")), [])
        self.assertEqual(list(self.root.glob("*.new")), [])

    def test_a_token_is_tried_kept_and_what_is_written_is_valid(self):
        done = self.init("--url", URL, "--token-stdin", "--max-vms", "7", text=TOKEN + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("acme/widgets", done.stdout)
        self.assertIn("systemctl enable --now mvrunner", done.stdout)
        self.assertNotIn(TOKEN, done.stdout + done.stderr + self.config.read_text())
        self.assertEqual(self.token.read_text(), TOKEN + "\n")
        self.assertEqual(self.token.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.cli("config", "check").returncode, 0)
        shown = self.cli("config", "show").stdout
        for line in ("max_vms: 7", f"url: \"{GITHUB}\"", "repository: acme/widgets"):
            self.assertIn(line, shown)

    def test_a_wrong_token_writes_nothing(self):
        done = self.init("--url", URL, "--token-stdin", text="ghp_wrong0123456789\n")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("nothing was written", done.stderr)
        self.assertIn("fail  github", done.stdout)
        self.check_nothing_written()

    def test_a_missing_permission_is_named(self):
        token = "github_pat_endtoend0123456789"
        for permissions in ({}, {"administration": "read"}):
            self.github.control("POST", "/tokens", {
                "token": token, "permissions": {"actions": "read", "metadata": "read", **permissions}})
            done = self.init("--url", URL, "--token-stdin", text=token)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertRegex(done.stdout, "(?i)administration")
            self.check_nothing_written()

    def test_an_app_is_taken_with_its_key(self):
        key = self.root / "app.pem"
        key.write_text("no key\n")
        key.chmod(0o600)
        app = ("--url", URL, "--app-id", "Iv23liEndToEnd", "--app-key", str(key))
        done = self.init(*app)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(str(key), done.stdout + done.stderr)
        self.check_nothing_written()
        done = self.init(*app, "--no-check")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.cli("config", "check").returncode, 0)

    def test_what_is_missing_is_named_by_its_flag_where_there_is_no_terminal(self):
        for arguments, flag in (((), "--url"), (("--url", URL), "--token-file"),
                                (("--url", "acme/widgets"), "https://github.com/"),
                                (("--app-id", "1"), "--app-key")):
            done = self.init(*arguments)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(flag, done.stderr)
        self.check_nothing_written()

    def test_files_that_are_there_are_kept_unless_told_otherwise(self):
        self.config.write_text("mine\n")
        self.token.write_text("mine\n")
        given = ("--url", URL, "--token-stdin")
        done = self.init(*given, text=TOKEN)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--force", done.stderr)
        self.config.unlink()
        done = self.init(*given, text=TOKEN)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--token-file", done.stderr)
        self.assertEqual(self.token.read_text(), "mine\n")
        done = self.init(*given, "--force", text=TOKEN)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.token.read_text(), TOKEN + "\n")

    def test_on_a_terminal_it_asks_and_does_not_show_the_token(self):
        pid, terminal = pty.fork()
        if pid == 0:
            command = [*Namespaces.inside(self.namespaces.host), str(MVRUNNER), "--config",
                       str(self.config), "init"]
            os.execvp(command[0], command)
        self.addCleanup(os.close, terminal)
        said = []

        def read_until(text):
            def found():
                try:
                    said.append(os.read(terminal, 4096).decode(errors="replace"))
                except OSError:
                    return True  # it has ended
                return text in "".join(said)
            wait_for(found, f"it says {text}", limit=60, every=0)

        read_until("serve:")
        os.write(terminal, f"{URL}\n".encode())
        read_until("not shown):")
        os.write(terminal, f"{TOKEN}\n".encode())
        read_until("enable --now mvrunner")
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0, "".join(said))
        self.assertNotIn(TOKEN, "".join(said))
        self.assertEqual(self.token.read_text(), TOKEN + "\n")
        self.assertEqual(self.cli("config", "check").returncode, 0)


if __name__ == "__main__":
    main()
