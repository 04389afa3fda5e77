#!/usr/bin/env bash
# Let pods of the bare cluster NAME ($1) reach hosts of the internet, each as HOST or HOST=ADDRESS:PORT, on port 443.
# The node has no uplink: a host gets an address on the node, whose connections leave through a unix socket. TLS stays
# end to end. quickstart.sh calls it for the provider whose key is set; nothing else gets out.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/bare.sh"

name=$1
state=$clusters/$name
export KUBECONFIG=$state/kubeconfig
node=$(bare_node "$name") || fail "cluster $name does not run"
subnet=172.31.$((255 - $(cat "$state/index")))

open() { # host, where it is, its address on the node
  local socket=$state/egress-$1.sock part
  for part in inside outside; do end_recorded "$state/egress-$1-$part-socat.pid" "$state"; done
  rm -f "$socket"
  nsenter -t "$node" -n ip address replace "$3/24" dev node0
  detached "$state/egress-$1-outside-socat.pid" /dev/null socat "UNIX-LISTEN:$socket,fork" "TCP:$2"
  until_true 10 "the way out to $1" test -S "$socket"
  detached "$state/egress-$1-inside-socat.pid" /dev/null \
    nsenter -t "$node" -n socat "TCP-LISTEN:443,bind=$3,fork,reuseaddr" "UNIX-CONNECT:$socket"
}

corefile() { # addresses and hosts, one pair a line
  kubectl -n kube-system get configmap coredns -o 'jsonpath={.data.Corefile}' |
    sed '/^    hosts {/,/^    }/d; s/^    health/    hosts {\n@\n        fallthrough\n    }\n    health/' |
    sed -e "/^@$/{r $1" -e 'd}'
}

main() {
  local number=10 entry names
  names=$(mktemp)
  for entry in "$@"; do
    number=$((number + 1))
    open "${entry%%=*}" "$([[ $entry == *=* ]] && echo "${entry#*=}" || echo "$entry:443")" "$subnet.$number"
    echo "        $subnet.$number ${entry%%=*}" >>"$names"
  done
  corefile "$names" >"$names.corefile"
  kubectl -n kube-system create configmap coredns --from-file=Corefile="$names.corefile" --dry-run=client -o yaml |
    kubectl apply -f - >/dev/null
  rm "$names" "$names.corefile"
  say "pods of cluster $name reach ${*%%=*}"
}

shift
main "$@"
