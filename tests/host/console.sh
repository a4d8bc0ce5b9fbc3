#!/bin/bash
# Runs in the machine: one command a line from the test, in base64; answers with its exit status
# and what it wrote.
exec 3<>/dev/virtio-ports/test.console
while read -r line <&3; do
  base64 -d <<<"$line" >/run/test-command
  setsid -w bash /run/test-command >/run/test-output 2>&1 </dev/null
  echo "$? $(base64 -w0 /run/test-output)" >&3
done
