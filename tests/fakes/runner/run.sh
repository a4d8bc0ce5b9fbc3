#!/bin/bash
# As in a release: people start the runner with it. mvrunner starts bin/Runner.Listener itself.
exec "$(dirname "$0")/bin/Runner.Listener" run "$@"
