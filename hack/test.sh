#!/usr/bin/env bash
# Run all tests: first those without a node in parallel, then those on a real cluster. Arguments go to both pytest runs.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/deps.sh
hack/cluster/build.sh "${AGENTIC_CACHE:-$HOME/.cache/agentic}/bin"
export PATH="${AGENTIC_CACHE:-$HOME/.cache/agentic}/bin:$PATH"
status=0
pytest -n "${TEST_WORKERS:-2}" --dist loadgroup -m "not e2e" "$@" || status=$?
pytest -m e2e "$@" || status=$?
exit "$status"
