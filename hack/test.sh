#!/usr/bin/env bash
# Run tests: `test.sh [fast|slow|e2e]… [pytest's arguments]`, all tiers if none is named. Those without a node run in
# parallel, then those on the cluster `test`, of which a machine has one: a second call waits for it.
# TEST_WORKERS is the number of processes (default: one for each processor, at most 8).
. "$(dirname "$0")/lib.sh"
cd "$root"

parallel=() e2e=
while [[ ${1:-} =~ ^(fast|slow|e2e)$ ]]; do
  if [ "$1" = e2e ]; then e2e=yes; else parallel+=(--tier "$1"); fi
  shift
done
[ "${#parallel[@]}$e2e" != 0 ] || parallel=(--tier fast --tier slow) e2e=yes
"$hack/deps.sh"
"$hack/cluster/build.sh"

failed=0 none=0 runs=0
run() { # pytest's arguments; that no test is selected (5) is an error only when no tier has one
  local status=0
  runs=$((runs + 1))
  pytest "$@" || status=$?
  case $status in
    0) ;;
    5) none=$((none + 1)) ;;
    *) failed=$status ;;
  esac
}

if [ "${#parallel[@]}" -gt 0 ]; then
  run -n "${TEST_WORKERS:-auto}" --maxprocesses 8 --dist loadgroup "${parallel[@]}" "$@"
fi
if [ -n "$e2e" ]; then
  only_one test-cluster
  run --tier e2e "$@"
fi
[ "$none" -lt "$runs" ] || failed=5
exit "$failed"
