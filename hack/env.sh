#!/usr/bin/env bash
# Print the environment of the platform that quickstart.sh brought up, for the shell: eval "$(make -s env)".
# AGENTIC_CLUSTER names the cluster (default hub).
. "$(dirname "$0")/lib.sh"

name=${AGENTIC_CLUSTER:-hub}
file=$clusters/$name/platform.env
[ -e "$file" ] || fail "the platform does not run on cluster $name: make quickstart"
cat "$file"
# kubectl was built for the bare cluster; whoever has one of their own keeps it.
PATH=${PATH#"$bin:"} command -v kubectl >/dev/null || printf 'export PATH=%q:$PATH\n' "$bin"
