#!/usr/bin/env bash
# Give a running Kubernetes cluster and print the path of its kubeconfig: `cluster-up.sh [NAME]`. Three ways, in order:
# the cluster that AGENTIC_KUBECONFIG names, kind where Docker answers, else the bare cluster of hack/cluster.
# Progress goes to stderr. Calling it again is cheap.
. "$(dirname "$0")/lib.sh"
. "$hack/cluster/bare.sh"

name=${1:-${AGENTIC_CLUSTER:-hub}}
state=$clusters/$name

own() {
  need kubectl
  kubectl --kubeconfig "$AGENTIC_KUBECONFIG" get --raw /readyz >/dev/null ||
    fail "the cluster of AGENTIC_KUBECONFIG ($AGENTIC_KUBECONFIG) does not answer: check that it runs, or unset the variable"
  echo "$AGENTIC_KUBECONFIG"
}

# kind's own network plugin enforces NetworkPolicies, so it needs no configuration.
with_kind() {
  mkdir -p "$state"
  log=$state/kind.log
  if ! kind get clusters 2>/dev/null | grep -qx "agentic-$name"; then
    step "creating the kind cluster agentic-$name" kind create cluster --name "agentic-$name" --wait 180s --kubeconfig "$state/kubeconfig"
  fi
  kind export kubeconfig --name "agentic-$name" --kubeconfig "$state/kubeconfig" >>"$log" 2>&1
  touch "$state/kind"
}

if [ -n "${AGENTIC_KUBECONFIG:-}" ]; then
  own
  exit
fi
[[ $name =~ ^[a-z][a-z0-9-]{0,19}$ ]] || fail "cluster name '$name': at most 20 of a-z, 0-9 and -, a letter first"
if bare_node "$name" >/dev/null; then
  "$hack/cluster/up.sh" "$name"
elif command -v kind >/dev/null && docker_answers; then
  with_kind
else
  "$hack/cluster/up.sh" "$name"
fi
echo "$state/kubeconfig"
