#!/bin/bash
# Installs the validator and GitHub's OpenAPI description into a cache outside the tree, cuts our
# part of it, and prints the path of the result: <cache>/openapi.json beside node_modules.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
key=$(cat "$here/package-lock.json" "$here/prepare.sh" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mvrunner/npm
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -d "$cache/$key" ]; then
  work=$(mktemp -d "$cache/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp "$here/package.json" "$here/package-lock.json" "$work"
  npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  # Of the package's 390 MB only these files are used.
  find "$work/node_modules/@octokit/openapi/generated" -name '*.json' \
    ! -name api.github.com.json ! -name ghec.json -delete
  mv "$work" "$cache/$key"
fi
node "$here/subset.mjs" "$cache/$key/node_modules" "$cache/$key/openapi.json"
echo "$cache/$key/openapi.json"
