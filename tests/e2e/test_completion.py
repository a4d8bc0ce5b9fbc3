"""Completion in shells: what `mvrunner complete` offers, and that each shell's script offers it."""

import shutil
import subprocess
import tempfile
import unittest

from harness import MVRUNNER, MvrunnerTest, main

PATH = f"{MVRUNNER.parent}:/usr/bin:/bin"


def offered(*words, config="/nonexistent"):
    done = subprocess.run([MVRUNNER, "--config", config, "complete", "--", *words],
                          capture_output=True, text=True, check=True)
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def in_shell(*command):
    # fish makes directories in its user's home.
    with tempfile.TemporaryDirectory(prefix="mvr-shell-") as home:
        return subprocess.run(command, capture_output=True, text=True, timeout=60,
                              env={"PATH": PATH, "HOME": home, "TERM": "dumb"}).stdout


def script(shell):
    return subprocess.run([MVRUNNER, "completion", shell], capture_output=True, text=True,
                          check=True).stdout


class Offers(unittest.TestCase):
    def test_verbs_are_offered_and_hidden_ones_are_not(self):
        verbs = offered("")
        for verb in ("serve", "ps", "ssh", "image"):
            self.assertIn(verb, verbs)
        self.assertNotIn("complete", verbs)
        self.assertEqual(offered("dra"), ["drain"])
        self.assertEqual(offered("image", "b"), ["build"])

    def test_options_are_those_of_the_verb_and_of_the_program(self):
        self.assertEqual(offered("drain", "--d"), ["--deadline"])
        self.assertIn("--config", offered("drain", "--"))
        self.assertNotIn("--for-run", offered("serve", "--"))

    def test_values_are_offered_where_an_option_wants_one(self):
        self.assertEqual(offered("ps", "-o", ""), ["table", "json"])
        self.assertEqual(offered("ps", "--output", "j"), ["json"])
        self.assertEqual(offered("--config", "x"), [":files"])
        self.assertEqual(offered("image", "build", "-t", "name", ""), [":files"])
        self.assertEqual(offered("drain", "--deadline", ""), [])

    def test_an_unknown_line_offers_nothing_and_fails_nowhere(self):
        for words in (("no", "such", ""), ("--no",), ("ssh", "vm", "more", "")):
            self.assertLessEqual(set(offered(*words)), {":files"})

    def test_bash(self):
        text = script("bash") + """
COMP_WORDS=(mvrunner drain --d); COMP_CWORD=2; _mvrunner; printf '%s\n' "${COMPREPLY[@]}" """
        self.assertEqual(in_shell("bash", "-c", text).split(), ["--deadline"])

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self):
        text = script("fish") + "complete -C 'mvrunner drain --d'"
        self.assertIn("--deadline", in_shell("fish", "-c", text))

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self):
        # What completes is an editor's business; the script gives it what is described here.
        text = """compdef() { :; }; _describe() { print -l -- "${(@P)2}"; }; _files() { print FILES; }
words=(mvrunner drain --d); CURRENT=3
""" + script("zsh") + "_mvrunner\nwords=(mvrunner --config ''); CURRENT=3; _mvrunner"
        said = in_shell("zsh", "-f", "-c", text)
        self.assertIn("--deadline:", said)
        self.assertIn("FILES", said)


class Names(MvrunnerTest):
    def test_profiles_of_the_configuration_are_offered(self):
        config = str(self.config)
        self.assertEqual(offered("run", "--profile", "", config=config), ["small"])
        self.assertEqual(offered("ssh", "", config=config), [])


if __name__ == "__main__":
    main()
