# Knows the state of bare clusters on disk: which run, and how to enter their node; the scripts beside it, and those of
# hack/ that reach into a node, source it.
# shellcheck shell=bash disable=SC2154  # lib.sh, which comes first, sets the folders

bare_node() { # cluster: process 1 of its node, as this machine numbers it; fails where it does not run
  local pid
  pid=$(cat "$clusters/$1/pid" 2>/dev/null) || return 1
  # A recorded number can belong to another process by now.
  grep -qz "cluster/node.sh" "/proc/$pid/cmdline" 2>/dev/null || return 1
  tr -d ' ' <"/proc/$pid/task/$pid/children" | grep .
}

bare_ctr() { # cluster, arguments of ctr…
  "$bin/ctr" -a "$clusters/$1/containerd.sock" -n k8s.io "${@:2}"
}

bare_import() { # cluster, files…
  local file
  for file in "${@:2}"; do
    bare_ctr "$1" images import --local "$file" 2>&1
  done
}

detached() { # file for its process id, file for its output, command…: run it on after this script, away from its terminal
  (
    # A lock lasts as long as anyone has it open, callers' locks too.
    for held in ${locks:-}; do exec {held}>&-; done
    exec setsid "${@:3}" >"$2" 2>&1 </dev/null
  ) &
  echo $! >"$1"
}

end_recorded() { # file of a process id, text that its command line holds
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  if grep -qz -- "$2" "/proc/$pid/cmdline" 2>/dev/null; then kill -KILL "$pid" 2>/dev/null || true; fi
  rm -f "$1"
}
