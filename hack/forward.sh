#!/usr/bin/env bash
# Forward a loopback port to a Service for ever: `forward.sh STATE NAMESPACE SERVICE PORT`. expose.sh starts it; STATE is the
# folder by which cluster-down.sh knows it.
set -u
child=
trap 'kill "$child" 2>/dev/null; exit' TERM INT
while :; do
  kubectl -n "$2" port-forward --address 127.0.0.1 "service/$3" "$4:8080" &
  child=$!
  wait "$child"
  sleep 0.5
done
