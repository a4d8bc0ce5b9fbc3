"""The inside of a stand-in VM: runs one program, and ends with everything below it.

  guest.py DIRECTORY STATUS LIFE PROGRAM [ARGUMENT...]

DIRECTORY is where the program works and what goes with it. STATUS and LIFE are descriptors: the
program's exit code is written to STATUS; LIFE's "i" sends it SIGINT, and LIFE's end, by the VMM's
word or by its death, is the end of all.
"""

import ctypes
import os
import select
import shutil
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36


def children():
    """Whoever was below us and lost its parent is our child by now."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b") ")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid():
            yield int(entry)


def start(argv):
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"mvrunner: {argv[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def end_all():
    while True:
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def main():
    directory, status, life, argv = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    for number in (status, life):
        os.set_inheritable(number, False)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    program = start(argv)
    for number in (0, 1, 2):  # the program's alone: their end is its end
        os.close(number)
    while True:
        ready = select.select([woken, life], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            program = reap(program, status)
        if life in ready:
            word = os.read(life, 1)
            if not word:
                break
            if program:
                os.kill(program, signal.SIGINT)
    end_all()
    shutil.rmtree(directory, ignore_errors=True)


def reap(program, status):
    """Returns the program's pid while it runs."""
    while True:
        try:
            pid, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return program
        if pid == 0:
            return program
        if pid == program:
            code = os.waitstatus_to_exitcode(how)
            os.write(status, str(code if code >= 0 else 128 - code).encode())
            program = None


main()
