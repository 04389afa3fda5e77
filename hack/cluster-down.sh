#!/usr/bin/env bash
# Stop and remove the cluster that cluster-up.sh started: `cluster-down.sh [NAME] [--keep]`. With --keep a bare cluster
# keeps its state for the next start. A cluster that AGENTIC_KUBECONFIG names is never touched.
. "$(dirname "$0")/lib.sh"

name=${AGENTIC_CLUSTER:-hub} keep=
for argument in "$@"; do
  case $argument in
    --keep) keep=--keep ;;
    -*) fail "unknown option $argument; usage: cluster-down.sh [NAME] [--keep]" ;;
    *) name=$argument ;;
  esac
done
state=$clusters/$name
if [ ! -d "$state" ]; then
  say "there is no cluster $name"
elif [ -e "$state/kind" ]; then
  [ -n "$keep" ] && fail "kind keeps no state of a stopped cluster: leave it running, or remove it without --keep"
  kind delete cluster --name "agentic-$name" >&2
  rm -rf "$state"
else
  "$hack/cluster/down.sh" "$name" $keep
  say "cluster $name is stopped${keep:+; its state is kept}"
fi
