"""What mvrunner prints, held to files: the help of every verb in help/, other output in output/.

    golden.py                                   compare; what differs is shown
    golden.py --update                          write what it prints now; then look at the diff
    golden.py --add NAME 'mvrunner VERB ...'... write output/NAME.txt from these commands

A file of output/ is a list of commands, each with what it prints: lines on stderr begin with "! ",
and a status other than 0 stands below. Lines of the kind "# key: value" at its top set the scene:

    # daemon: none                 nobody listens at the control socket
    # answer ps: ps-idle.json      the stand-in daemon answers this operation so

Commands run in a scratch directory, at noon of 21 November 2026, beside a stand-in daemon that
answers operation OP with answers/OP.json (a list is several lines), or with the file answers/OP.txt
as an open descriptor. state/ is their state directory; history.sql is the history in it.

MVRUNNER: the program.
"""

import array
import contextlib
import difflib
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
MVRUNNER = os.environ.get("MVRUNNER", HERE.parents[1] / "build/dev/src/mvrunner")
NOW = "2026-11-21 12:00:00"
# What these print is not the same everywhere, or needs images that boot (e2e.store).
OF_THE_HOST = {("doctor",), ("image", "diff")}
PLACE = "/golden"  # what the scratch directory is called in the files


class Daemon:
    """Answers each connection's one request from answers/."""

    def __init__(self, path, special):
        self.special = special
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client, client.makefile() as lines:
                self.answer(client, json.loads(lines.readline()))

    def answer(self, client, request):
        name = self.special.get(request["op"], request["op"] + ".json")
        path = HERE / "answers" / name
        if not path.exists() and path.with_suffix(".txt").exists():
            with open(path.with_suffix(".txt")) as text:
                line = {"ok": True, "vm": request.get("vm", "")}
                descriptors = array.array("i", [text.fileno()])
                client.sendmsg([json.dumps(line).encode() + b"\n"],
                               [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            return
        if not path.exists():
            error = f"the stand-in daemon knows no {request['op']}: write {path.name}"
            answers = [{"ok": False, "error": error, "code": "invalid"}]
        else:
            answers = json.loads(path.read_text())
            answers = [fit(each, request) for each in
                       (answers if isinstance(answers, list) else [answers])]
        for each in answers:
            client.sendall(json.dumps(each).encode() + b"\n")

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


def fit(answer, request):
    """Like the daemon, `ps` tells what was asked for."""
    if request["op"] != "ps":
        return answer
    about = answer.pop("about", {})
    if not request.get("all"):
        answer.pop("finished", None)
    if wanted := request.get("about"):
        answer["about"] = about.get(wanted, {"profile": False, "jobs": []})
    return answer


@contextlib.contextmanager
def scene(settings):
    """A scratch directory with a configuration and a state, and perhaps a daemon."""
    with tempfile.TemporaryDirectory(prefix="mvr-golden-") as place:
        root = pathlib.Path(place)
        shutil.copytree(HERE / "state", root / "state", symlinks=True)
        (root / "run").mkdir()
        (root / "mvrunner.yaml").write_text(
            (HERE / "mvrunner.yaml").read_text().replace(PLACE, place))
        with contextlib.closing(sqlite3.connect(root / "state/history.sqlite")) as history:
            history.executescript((HERE / "history.sql").read_text())
        special = {key.removeprefix("answer "): value for key, value in settings.items()
                   if key.startswith("answer ")}
        daemon = None
        if settings.get("daemon") != "none":
            daemon = Daemon(root / "run/control.sock", special)
        try:
            yield root
        finally:
            if daemon:
                daemon.stop()


def run(root, words):
    """What a command prints, in the form of the files."""
    place = ["--config", "mvrunner.yaml"] if words[1:] and words[1] != "--version" else []
    environment = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["faketime", "-f", NOW, MVRUNNER, *place, *words[1:]], cwd=root,
                          env=environment, capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    text = done.stdout
    if text and not text.endswith("\n"):
        text += "\n"
    text += "".join(f"! {line}\n" for line in done.stderr.splitlines())
    if done.returncode:
        text += f"[exit {done.returncode}]\n"
    text = text.replace(str(root), PLACE)
    return re.sub(r"^mvrunner \d[\w.~+-]*$", "mvrunner VERSION", text, flags=re.M)


def render(head, commands):
    settings = dict(re.findall(r"^# ([a-z _]+): (.*)$", head, re.M))
    text = head
    with scene(settings) as root:
        for command in commands:
            text += f"$ {command}\n" + run(root, shlex.split(command))
    return text


def read(path):
    """(what stands before the first command, the commands)"""
    text = path.read_text()
    first = re.search(r"^\$ ", text, re.M)
    head = text[:first.start()] if first else text
    return head, re.findall(r"^\$ (.*)$", text, re.M)


def verbs(path=()):
    """Every verb of the program: each is a tuple of words."""
    text = subprocess.run([MVRUNNER, *path, "--help"], capture_output=True, text=True,
                          check=True).stdout
    yield path, text
    listed = text.partition("\nSubcommands:\n")[2]
    for name in re.findall(r"^  ([a-z][a-z0-9-]*)", listed, re.M):
        yield from verbs((*path, name))


def wanted_files():
    """Each file and what it should hold; a listing without a file is a problem."""
    files, problems = {}, []
    outputs = {path: read(path) for path in sorted((HERE / "output").glob("*.txt"))}
    commands = [shlex.split(each) for _, listed in outputs.values() for each in listed]
    for path, text in verbs():
        files[HERE / "help" / ("-".join(("mvrunner", *path)) + ".txt")] = text
        if "-o,--output" not in text or path in OF_THE_HOST:
            continue
        verb = " ".join(("mvrunner", *path))
        mine = [words for words in commands if words[1:1 + len(path)] == list(path)]
        for form, known in (("", any("json" not in words for words in mine)),
                            (" -o json", any("json" in words for words in mine))):
            if not known:
                problems.append(f"no file of output/ has `{verb}{form}`: tests/golden/golden.py "
                                f"--add {'-'.join(path)} '{verb}' '{verb} -o json'")
    for path, (head, listed) in outputs.items():
        files[path] = render(head, listed)
    return files, problems


def differences(files):
    for path, now in files.items():
        before = path.read_text() if path.exists() else ""
        if before != now:
            name = str(path.relative_to(HERE))
            yield "".join(difflib.unified_diff(before.splitlines(True), now.splitlines(True), name,
                                               "printed now"))
    for path in sorted((HERE / "help").glob("*.txt")):
        if path not in files:
            yield f"{path.relative_to(HERE)}: there is no such verb any more"


def update(files):
    for path in (HERE / "help").glob("*.txt"):
        if path not in files:
            path.unlink()
    for path, text in files.items():
        path.write_text(text)


def main(arguments):
    if arguments[:1] == ["--add"] and len(arguments) > 2:
        path = HERE / "output" / f"{arguments[1]}.txt"
        head, commands = read(path) if path.exists() else ("", [])
        path.write_text(render(head, [*commands, *arguments[2:]]))
        print(path.read_text(), end="")
        return 0
    if arguments not in ([], ["--update"]):
        print(__doc__, file=sys.stderr)
        return 2
    files, problems = wanted_files()
    if arguments:
        update(files)
    else:
        problems += differences(files)
    print("\n".join(problems) or f"{len(files)} files are as they should be")
    if problems and not arguments:
        print("If the program is right: tests/golden/golden.py --update, and look at the diff.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
