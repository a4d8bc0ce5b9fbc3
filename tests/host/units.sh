#!/bin/bash
# The systemd units: systemd understands every line of them, and the daemon's is as exposed as its
# comment says and no more. Needs no running systemd.
set -eu
cd "$(dirname "$0")/../../config"
units="mvrunner.service mvrunner-vms.service"
# That neither the program nor its manual is installed here is all it may mind.
# shellcheck disable=SC2086  # a list of words
said=$(systemd-analyze --recursive-errors=no --man=no verify $units 2>&1 |
  grep -v 'Command /usr/sbin/mvrunner is not executable') || true
if [ -n "$said" ]; then
  echo "$said"
  exit 1
fi
score=$(sed -n 's/.*systemd-analyze security mvrunner` says \([0-9.]*\) .*/\1/p' mvrunner.service)
# The threshold is ten times the score.
systemd-analyze security --offline=true --threshold="$(echo "$score" | tr -d .)" mvrunner.service |
  tail -n 1 | tee /dev/stderr | grep -q " $score "
