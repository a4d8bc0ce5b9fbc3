"""What the stand-in VMMs have in common: a machine that waits for events, its line to the host, and
the agent in it with the processes of its guest. With a JIT configuration it runs the stand-in
runner, with a command that command, on the host itself, in a directory of its own.

Where a machine has a place, the guests' directories go there (else $TMPDIR). Of the files
`boots.log` and `claims.log` in it, if they are there, the first gets a line "<guest's name> <pid>"
at each start, the second "<guest's name>" whenever a guest is told what to do, and `identities.log`
"<guest's name> <JSON>" whenever one is told who it is.

Words in a profile's kernel_args:
  fake.hang   the agent never says hello
  fake.panic  the guest's kernel panics instead
  fake.deaf   the agent ignores `shutdown`
"""

import base64
import collections
import json
import os
import pathlib
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
RUNNER = HERE.parent / "runner"
MAX_RECORD = 256 * 1024
MAX_CHUNK = 32_768
MAX_QUEUE = 4 * 1024 * 1024
BOOT = 0.1  # seconds
REDIAL = 0.02
LATE_OUTPUT, SHUTDOWN_WAIT, HOST_READS, GOODBYE = 2, 30, 0.02, 1
TIME = re.compile(r"^[0-9: -]+Z: ")


class Line:
    """A connection to the host, one at a time; what is said while there is none is kept."""

    def __init__(self, loop, connected, received):
        self.loop, self.connected, self.received = loop, connected, received
        self.peer, self.queue, self.sent = None, collections.deque(), 0

    def take(self, peer):
        self.peer = peer
        self.peer.setblocking(False)
        self.loop.register(self.peer, selectors.EVENT_READ, self.ready)
        self.connected()
        self.flush()

    def ready(self, events):
        if events & selectors.EVENT_WRITE:
            self.flush()
        if not self.peer or not events & selectors.EVENT_READ:
            return
        try:
            data = self.peer.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.received(data)
        else:
            self.hang_up()

    def hang_up(self):
        self.loop.unregister(self.peer)
        self.peer.close()
        self.peer, self.sent = None, 0  # what was cut off goes again, whole
        self.await_peer()

    def send(self, data):
        self.queue.append(data)
        self.flush()

    def flush(self):
        while self.peer and self.queue:
            try:
                self.sent += self.peer.send(self.queue[0][self.sent:])
            except BlockingIOError:
                break
            except OSError:
                return self.hang_up()
            if self.sent == len(self.queue[0]):
                self.queue.popleft()
                self.sent = 0
        if self.peer:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.queue else 0)
            self.loop.modify(self.peer, wanted, self.ready)


class Listener(Line):
    """QEMU listens: others wait in the backlog."""

    def __init__(self, loop, number, connected, received):
        super().__init__(loop, connected, received)
        self.listener = socket.socket(fileno=number)
        self.listener.setblocking(False)
        self.await_peer()

    def await_peer(self):
        self.loop.register(self.listener, selectors.EVENT_READ, self.accept)

    def accept(self, _):
        try:
            peer = self.listener.accept()[0]
        except BlockingIOError:
            return
        self.loop.unregister(self.listener)
        self.take(peer)


class Caller(Line):
    """The guest connects out, again and again."""

    def __init__(self, machine, path, connected, received):
        super().__init__(machine.loop, connected, received)
        self.machine, self.path = machine, path
        self.await_peer()

    def await_peer(self):
        self.machine.call_in(REDIAL, self.call)

    def call(self):
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect(self.path)
        except OSError:
            peer.close()
            return self.await_peer()
        self.take(peer)


class Guest:
    """The processes of the guest, below guest.py, in a directory of their own."""

    def __init__(self, loop, place, argv, env, listener, handlers):
        self.loop, self.handlers = loop, handlers
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="guest-", dir=place))
        (self.directory / "tmp").mkdir()
        if listener:
            shutil.copytree(RUNNER / "bin", self.directory / "bin")
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory),
                       "TMPDIR": str(self.directory / "tmp"), "USER": "runner", **env}
        status, status_end = os.pipe()
        life_end, self.life = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-IS", HERE / "guest.py", self.directory, str(status_end),
             str(life_end), *argv],
            stdin=subprocess.DEVNULL if listener else subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment, cwd=self.directory,
            pass_fds=[status_end, life_end])
        os.close(status_end)
        os.close(life_end)
        self.status = os.fdopen(status, "rb", buffering=0)
        self.code = None
        self.outputs = {self.process.stdout: 1, self.process.stderr: 2}
        for pipe in [*self.outputs, self.status]:
            os.set_blocking(pipe.fileno(), False)
            loop.register(pipe, selectors.EVENT_READ, lambda _, pipe=pipe: self.read(pipe))

    def read(self, pipe):
        data = pipe.read(MAX_CHUNK)
        if data is None:
            return
        if pipe is self.status:
            self.loop.unregister(pipe)
            self.code = int(data or b"255")
            self.handlers.ended()
        elif data:
            self.handlers.output(self.outputs[pipe], data)
        else:
            self.loop.unregister(pipe)
            del self.outputs[pipe]

    def feed(self, data, end):
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
            if end:
                self.process.stdin.close()
        except (BrokenPipeError, ValueError):
            pass  # it does not read, or its end was said

    def interrupt(self):
        os.write(self.life, b"i")

    def end(self):
        """Nothing of it is left after this."""
        os.close(self.life)
        self.process.wait()


class Agent:
    """src/guest/agent.cc as seen from the host."""

    def __init__(self, machine, words, make_line):
        """make_line(connected, received): its line to the host."""
        self.machine, self.loop, self.deaf = machine, machine.loop, "fake.deaf" in words
        self.line_to_host = make_line(self.restart_reading, self.receive)
        self.partial, self.awake = b"", False
        self.unread = b""
        self.state = {"runner": "idle", "job": "", "result": ""}
        self.guest, self.configured, self.is_command = None, False, False
        self.shutting_down, self.line = False, b""

    def restart_reading(self):
        self.partial = b""

    def boot(self, words):
        self.expect_identity(words)
        if "fake.panic" in words:
            self.machine.call_in(BOOT, self.machine.panic)
        elif "fake.hang" not in words:
            self.machine.call_in(BOOT, self.wake)

    def expect_identity(self, words):
        if "mvr.waits" in words:
            self.state["runner"] = "waiting"

    def go_on(self, words):
        """In a machine that was restored: the host asks."""
        self.expect_identity(words)
        self.awake = True

    def wake(self):
        self.awake = True
        self.hello()
        self.receive(b"")

    # ---- to the host -----------------------------------------------------------------------------

    def send(self, kind, **fields):
        message = {"v": 1, "type": kind, **fields}
        if kind == "state":
            self.drop(b'"type": "state"')
        record = b"\x1e" + json.dumps(message).encode() + b"\n"
        while sum(map(len, self.line_to_host.queue)) + len(record) > MAX_QUEUE:
            if not self.drop(b'"type": "output"'):
                break
        self.line_to_host.send(record)

    def drop(self, what):
        """The oldest record of a kind that is not on its way yet."""
        queue = self.line_to_host.queue
        for index in range(1 if self.line_to_host.sent else 0, len(queue)):
            if what in queue[index][:40]:
                del queue[index]
                return True
        return False

    def hello(self):
        self.send("hello", agent_version="stand-in", kernel="stand-in",
                  boot_ms=int(BOOT * 1000))

    def tell_state(self):
        self.send("state", **self.state)

    def tell(self, stream, data):
        self.send("output", stream=stream, data=base64.b64encode(data).decode())

    def refuse(self, what):
        self.send("failed", what=what)

    # ---- from the host ---------------------------------------------------------------------------

    def receive(self, data):
        self.partial += data
        if not self.awake:
            return
        *records, self.partial = self.partial.split(b"\n")
        for record in records:
            start = record.rfind(b"\x1e")
            if start >= 0:
                self.obey(record[start + 1:])

    def obey(self, record):
        fields = {"configure": {"hostname", "user", "env", "workdir", "wall_ms", "profile",
                                "about", "serves_public", "serves_forks"},
                  "sync": set(), "shutdown": {"grace_ms"}, "input": {"data", "end"},
                  "authorize_key": {"user", "public_key", "lifetime_s"}, "notice": {"text"},
                  "hold": {"time_s"}, "identity": {"words", "mac", "seed", "wall_ms"}}
        try:
            message = json.loads(record)
            kind = message.pop("type")
            assert message.pop("v") == 1 and len(record) <= MAX_RECORD
            assert set(message) - {"jit_config", "argv"} == fields[kind]
            assert kind != "configure" or ("jit_config" in message) != ("argv" in message)
        except (ValueError, KeyError, AssertionError):
            return self.refuse("channel: not a message of ours")
        if self.state["runner"] == "waiting" and kind not in ("sync", "shutdown", "identity"):
            return self.refuse("this VM waits for its identity")
        getattr(self, "on_" + kind)(**message)

    def on_identity(self, **identity):
        self.machine.note("identities.log", f"{self.machine.name} {json.dumps(identity)}")
        if self.state["runner"] != "waiting":
            return self.refuse("this VM has its identity already")
        self.state["runner"] = "idle"

    def on_sync(self):
        self.hello()
        self.tell_state()

    def on_configure(self, env, jit_config=None, argv=None, **_):
        self.machine.note("claims.log", self.machine.name)
        if self.configured:
            return self.refuse("this VM has been configured already")
        self.configured, self.is_command = True, argv is not None
        if jit_config is not None:
            env = {**env, "ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED": "true",
                   "ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE": "1",
                   "ACTIONS_RUNNER_INPUT_JITCONFIG": jit_config}
        self.guest = Guest(self.loop, self.machine.place, argv or ["./bin/Runner.Listener", "run"],
                           env, jit_config is not None, self)
        self.state["runner"] = "running" if self.is_command else "starting"
        self.tell_state()

    def on_shutdown(self, grace_ms):
        if self.deaf:
            return
        self.shutting_down = True
        if not self.guest:
            return self.leave()
        self.machine.call_in(grace_ms / 1000, self.leave)
        if grace_ms:
            self.guest.interrupt()

    def on_authorize_key(self, **_):
        self.refuse("this stand-in has no sshd")

    def on_input(self, data, end):
        if self.guest and self.is_command:
            self.guest.feed(base64.b64decode(data), end)

    def on_hold(self, time_s):
        self.machine.note("holds.log", self.machine.name)

    def on_notice(self, text):
        self.tell(2, f"mvrunner: {text}\n".encode())

    # ---- the guest's processes -------------------------------------------------------------------

    def output(self, stream, data):
        self.tell(stream, data)
        if stream == 2 or self.is_command:
            return
        before = dict(self.state)
        *lines, self.line = (self.line + data).split(b"\n")
        for line in lines:
            self.read_line(line.decode(errors="replace").rstrip("\r"))
        if self.state != before:
            self.tell_state()

    def read_line(self, line):
        """src/guest/runner_lines.cc."""
        line, state = TIME.sub("", line), self.state
        if line == "Listening for Jobs" and state["runner"] == "starting":
            state["runner"] = "listening"
        elif line.startswith("Running job: ") and state["runner"] in ("starting", "listening"):
            state["runner"], state["job"] = "running", line[len("Running job: "):][:512]
        elif line.startswith("Job ") and not state["result"] and state["runner"] == "running":
            name, found, result = line[len("Job "):].rpartition(" completed with result: ")
            if found and name == state["job"] and re.fullmatch("[A-Za-z]{1,32}", result):
                state["result"] = result

    def ended(self, since=None):
        """The listener or the command has; what its children still write is waited for."""
        since = since or time.monotonic()
        if self.guest.outputs and time.monotonic() < since + LATE_OUTPUT:
            return self.machine.call_in(0.01, lambda: self.ended(since))
        self.state.update(runner="exited", exit_code=self.guest.code)
        self.guest.end()
        self.guest = None
        self.tell_state()
        if self.shutting_down:
            return self.leave()
        self.machine.call_in(SHUTDOWN_WAIT, self.leave)

    def leave(self, since=None):
        since = since or time.monotonic()
        if self.line_to_host.queue and time.monotonic() < since + GOODBYE:
            return self.machine.call_in(0.005, lambda: self.leave(since))
        self.machine.call_in(HOST_READS, self.machine.reset)


class Machine:
    """Subclasses say how it ends: reset() and panic()."""

    def __init__(self, name, place):
        self.name = name
        self.place = place if place and os.access(place, os.W_OK) else None
        self.loop, self.timers = selectors.DefaultSelector(), []
        self.note("boots.log", f"{self.name} {os.getpid()}")

    def note(self, log, line):
        if self.place and (self.place / log).exists():
            with open(self.place / log, "a") as file:
                file.write(line + "\n")

    def call_in(self, seconds, action):
        self.timers.append((time.monotonic() + seconds, action))

    def run(self):
        while True:
            due = min((at for at, _ in self.timers), default=None)
            limit = None if due is None else max(0, due - time.monotonic())
            for key, events in self.loop.select(limit):
                key.data(events)
            now = time.monotonic()
            ready = [action for at, action in self.timers if at <= now]
            self.timers = [timer for timer in self.timers if timer[0] > now]
            for action in ready:
                action()
