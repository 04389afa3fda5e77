# Knows where the developer scripts keep things and how they show progress; every script in hack/ sources it.
# shellcheck shell=bash
# shellcheck disable=SC2034  # most of these are read by the scripts that source this file
set -euo pipefail

hack=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$hack")
cache=${AGENTIC_CACHE:-$HOME/.cache/agentic}
bin=$cache/bin
clusters=$cache/clusters
images=$cache/images
export PATH=$bin:$PATH

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

# One numbered line for a command: `step TEXT COMMAND...`, with `steps` set to the expected number and `log` to a file
# that takes the command's output. The command runs in the background because that keeps its `set -e` alive.
steps=1 step_number=0 step_child=
log=/dev/null

step() {
  local text=$1 started=$SECONDS
  shift
  step_number=$((step_number + 1))
  printf '[%d/%d] %s … ' "$step_number" "$steps" "$text" >&2
  "$@" >>"$log" 2>&1 </dev/null &
  step_child=$!
  trap 'kill "$step_child" 2>/dev/null; exit 130' INT TERM
  if ! wait "$step_child"; then
    say "failed after $((SECONDS - started)) s; the end of $log:"
    tail -n 25 "$log" >&2
    tell_full_disk
    exit 1
  fi
  trap - INT TERM
  say "$((SECONDS - started)) s"
}

# What fails on a full disk says so last, if at all.
tell_full_disk() {
  local left
  left=$(df --output=avail -BM "$cache" | tail -n 1 | tr -dc 0-9)
  [ "$left" -ge 500 ] || say "error: only $left MB are free on the disk of $cache: free some, or set AGENTIC_CACHE to another disk"
}

# Programs that a script cannot do without.
need() {
  local program missing=()
  for program in "$@"; do command -v "$program" >/dev/null || missing+=("$program"); done
  [ "${#missing[@]}" = 0 ] || fail "not on the PATH: ${missing[*]}; install what is missing and call this again"
}

# Wait for a condition: `until_true SECONDS WHAT COMMAND...`.
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "waited in vain for $what"
    sleep 0.2
  done
}

# Only one of several callers at a time does what NAME stands for, until the calling script ends. What that script calls
# holds the lock too.
only_one() {
  [[ " ${lock_names:-} " != *" $1 "* ]] || return 0
  mkdir -p "$cache"
  exec {lock}>"$cache/$1.lock"
  export locks="${locks:-} $lock" lock_names="${lock_names:-} $1"
  flock --nonblock "$lock" && return
  say "waiting for another call that works on $1"
  flock "$lock"
}

alive() { # file that holds a process id
  [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null
}

docker_answers() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }

free_port() { # preferred port
  python3 - "$1" <<'PYTHON'
import socket, sys

for wanted in (int(sys.argv[1]), 0):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            continue
        print(probe.getsockname()[1])
        break
PYTHON
}

content_hash() { # files and folders: a short hash of what is in them
  (cd "$root" && find "$@" -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
}
