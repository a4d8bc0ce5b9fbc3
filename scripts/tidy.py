#!/usr/bin/env python3
"""The rules of the code that a script can check. Prints file:line: rule, exits 1 on any."""

import concurrent.futures
import fcntl
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mvrunner"

# A folder of src/ may include itself and what stands in its set.
BELOW = {
    "base": set(),
    "core": {"base"},
    "channel": {"base"},
    "sys": {"base"},
    "config": {"base", "core", "channel", "sys"},
    "github": {"base", "core", "channel", "sys"},
    "vmm": {"base", "core", "channel", "sys"},
    "image": {"base", "core", "channel", "sys"},
    "history": {"base", "core", "channel", "sys"},
    "guest": {"base", "channel"},
}
BELOW["daemon"] = set(BELOW) - {"guest"}
BELOW["cli"] = BELOW["daemon"] | {"daemon"}
PURE = ("core", "channel")
IMPURE_HEADERS = {
    "filesystem", "fstream", "iostream", "thread", "random", "cstdio", "mutex", "atomic", "future",
    "condition_variable",
}
# What a pure archive must not need from outside.
IMPURE_SYMBOLS = re.compile(
    r"(_clock::now|\bclock_gettime|\bgettimeofday|\btime$|\bopen|\bread$|\bwrite$|\bsocket|\bfork|"
    r"\bexecv|\bpthread_|\bgetenv|\brand|\bgetrandom|\bfopen|\bfwrite|\bprintf|\bputs|"
    r"std::filesystem|std::basic_[io]?fstream|std::cout|std::cerr|std::thread)")
MAX_FILE, MAX_HEADER, MAX_FUNCTION, MAX_LINE = 500, 200, 70, 100
# Words that tell of unfinished work.
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")


def sources(*tops):
    for top in tops:
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".h", ".cc"):
                yield path


def relative(path):
    return path.relative_to(ROOT).as_posix()


def check_format(problems):
    files = [str(p) for p in sources("src", "tests")]
    done = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *files], capture_output=True, text=True)
    for line in done.stderr.splitlines():
        if ": error:" in line:
            problems.append(line.replace(str(ROOT) + "/", ""))


def check_layers(problems):
    include = re.compile(r'#include "([a-z]+)/')
    system = re.compile(r"#include <([a-z_]+)>")
    for path in sources("src"):
        layer = path.relative_to(ROOT / "src").parts[0]
        if layer == "main.cc":
            continue
        if layer not in BELOW:
            problems.append(f"{relative(path)}:1: folder {layer} is not a layer of the design")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if (match := include.match(line)) and match[1] != layer and match[1] not in BELOW[layer]:
                problems.append(f"{relative(path)}:{number}: {layer} must not include {match[1]}")
            if layer in PURE and (match := system.match(line)) and match[1] in IMPURE_HEADERS:
                problems.append(f"{relative(path)}:{number}: {layer} is pure and must not include <{match[1]}>")


def check_purity(problems):
    for layer in PURE:
        archive = BUILD / "dev" / "src" / layer / f"libmvr_{layer}.a"
        if not archive.exists():
            problems.append(f"{relative(archive)}: not built; run scripts/test")
            continue
        listed = subprocess.run(["nm", "-uC", str(archive)], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            symbol = line.strip().removeprefix("U ")
            if IMPURE_SYMBOLS.search(symbol):
                problems.append(f"{relative(archive)}: {layer} is pure but needs {symbol}")


def functions(lines):
    """(first line, length) of each function body, by clang-format's regular layout."""
    start = None
    for number, line in enumerate(lines, 1):
        opens = re.match(r"^( {0,2})[A-Za-z_~].*\{$", line)
        if opens and "(" in "".join(lines[max(0, number - 4):number]) and not re.match(
                r"^ *(namespace|struct|class|enum|union|extern)\b", line):
            start, indent = number, opens[1]
        elif start and line == indent + "}":
            yield start, number - start + 1
            start = None


def check_sizes(problems):
    for path in sources("src", "tests"):
        lines = path.read_text().splitlines()
        limit = MAX_HEADER if path.suffix == ".h" and "src" in path.parts else MAX_FILE
        if len(lines) > limit and "tests" not in path.relative_to(ROOT).parts:
            problems.append(f"{relative(path)}:{limit}: {len(lines)} lines; at most {limit}")
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_LINE and "src" in path.relative_to(ROOT).parts:
                problems.append(f"{relative(path)}:{number}: longer than {MAX_LINE} columns")
            if UNFINISHED.search(line):
                problems.append(f"{relative(path)}:{number}: unfinished work belongs into an issue")
        if "src" in path.relative_to(ROOT).parts:
            for number, length in functions(lines):
                if length > MAX_FUNCTION:
                    problems.append(f"{relative(path)}:{number}: function of {length} lines; at most {MAX_FUNCTION}")


def included(path, seen):
    """Adds the file and all headers of ours that it reads."""
    if path in seen or not path.exists():
        return
    seen[path] = path.read_bytes()
    for name in re.findall(rb'^#include "([a-z_/0-9]+\.h)"', seen[path], re.MULTILINE):
        included(ROOT / "src" / name.decode(), seen)


def tidy_key(path):
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    files = {}
    included(path, files)
    for name in sorted(files):
        digest.update(relative(name).encode() + b"\0" + files[name])
    return digest.hexdigest()


def tidy_one(path):
    return subprocess.run(
        ["clang-tidy-14", "--quiet", "-p", str(BUILD / "clang"), str(path)], capture_output=True, text=True)


def check_tidy(problems):
    """clang-tidy on src/, remembering by content what was clean."""
    compiled = {entry["file"] for entry in json.loads((BUILD / "clang" / "compile_commands.json").read_text())}
    marks = CACHE / "tidy"
    marks.mkdir(parents=True, exist_ok=True)
    lock = open(marks / "lock", "w")  # one of us at a time: the next finds what this one leaves
    fcntl.flock(lock, fcntl.LOCK_EX)
    todo = {}
    for path in sources("src"):
        if path.suffix == ".cc" and str(path) in compiled:
            mark = marks / tidy_key(path)
            if not mark.exists():
                todo[path] = mark
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, (path, done) in enumerate(zip(todo, pool.map(tidy_one, todo)), 1):
            print(f"[{number}/{len(todo)}] {relative(path)}", file=sys.stderr, flush=True)
            if done.returncode == 0:
                todo[path].touch()
                continue
            found = [line.replace(str(ROOT) + "/", "") for line in done.stdout.splitlines()
                     if ": error:" in line or ": warning:" in line]
            print(*found, sep="\n", file=sys.stderr, flush=True)
            problems.extend(found)
            if not done.stdout.strip():
                problems.append(f"{relative(path)}: clang-tidy: {done.stderr.strip()[:300]}")


CHECKS = {"format": check_format, "layers": check_layers, "purity": check_purity, "sizes": check_sizes,
          "tidy": check_tidy}


def main(names):
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"scripts/check: unknown check {unknown[0]}; use {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    problems = []
    for name in names or CHECKS:
        CHECKS[name](problems)
    print("\n".join(dict.fromkeys(problems)) or "checks passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
