#!/usr/bin/env bash
# Put the platform's api on a loopback port and print its URL: `expose.sh NAME KUBECONFIG`. The door stays when the api's
# pods are replaced. quickstart.sh calls it; cluster-down.sh closes the door.
. "$(dirname "$0")/lib.sh"
. "$hack/cluster/bare.sh"

name=$1
state=$clusters/$name
export KUBECONFIG=$2
service=agentic-api namespace=agentic-system

answers() { curl -sf -o /dev/null --noproxy '*' --max-time 5 "http://127.0.0.1:$1/healthz"; }

# On the bare cluster: from a loopback port through a unix socket to the Service's address, which outlives its pods.
bare_door() { # node, port
  local address
  address=$(kubectl -n "$namespace" get service "$service" -o 'jsonpath={.spec.clusterIP}:{.spec.ports[0].port}')
  rm -f "$state/platform.sock"
  detached "$state/inner-platform-socat.pid" /dev/null \
    nsenter -t "$1" -n socat "UNIX-LISTEN:$state/platform.sock,fork,backlog=128" "TCP:$address,nodelay"
  detached "$state/platform-socat.pid" /dev/null \
    socat "TCP-LISTEN:$2,bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=128" "UNIX-CONNECT:$state/platform.sock"
}

# Elsewhere: kubectl port-forward, again and again, because it ends with the pod it reached.
forwarded_door() { # port
  detached "$state/forward-socat.pid" "$state/forward.log" "$hack/forward.sh" "$state" "$namespace" "$service" "$1"
}

main() {
  local port node
  mkdir -p "$state"
  only_one doors # two calls that search for a port at the same time would find the same one
  port=$(cat "$state/platform.port" 2>/dev/null || echo $((18080 + $(cat "$state/index" 2>/dev/null || echo 50))))
  if ! answers "$port"; then
    for door in inner-platform-socat platform-socat forward-socat; do end_recorded "$state/$door.pid" "$state"; done
    port=$(free_port "$port")
    echo "$port" >"$state/platform.port"
    if node=$(bare_node "$name") && [ "$KUBECONFIG" = "$state/kubeconfig" ]; then bare_door "$node" "$port"; else forwarded_door "$port"; fi
    until_true 60 "the api on port $port" answers "$port"
  fi
  echo "http://127.0.0.1:$port"
}

main
