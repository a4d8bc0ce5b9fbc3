#!/bin/bash
# Runs the contract tests of the stand-ins: run.sh [FILE...]
set -euo pipefail
cd "$(dirname "$0")"
MVR_OPENAPI=$(./prepare.sh)
export MVR_OPENAPI
[ $# -gt 0 ] || set -- *.test.mjs
exec node --test "$@"
