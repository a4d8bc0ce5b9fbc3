#!/bin/bash
# Runs the tests of the status page in Debian's Chromium: run.sh [FILE...]
# PAGE_HOST: the program that serves it; SCREENSHOTS: the folder that gets pictures of it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
key=$(cat "$here/package-lock.json" "$here/run.sh" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mvrunner/npm-browser
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -d "$cache/$key" ]; then
  work=$(mktemp -d "$cache/new.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp "$here/package.json" "$here/package-lock.json" "$work"
  npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  mv "$work" "$cache/$key"
fi
exec 9>&-
export MVR_NODE_MODULES="$cache/$key/node_modules"
cd "$here"
[ $# -gt 0 ] || set -- *.test.mjs
exec node --test --test-concurrency=1 "$@"
