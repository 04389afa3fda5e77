#!/usr/bin/env bash
# Every check that needs no service: format, lint, types, imports, generated files, dead code, dependencies, docs.
# All of them run, two at a time; the output of those that fail is shown at the end.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
logs=$(mktemp -d); trap 'rm -rf "$logs"' EXIT
failed=()

check() { # name, command…
  local name=$1 start=$SECONDS; shift
  if "$@" >"$logs/$name" 2>&1; then printf '  ok      %-14s %3d s\n' "$name" $((SECONDS - start))
  else printf '  FAILED  %-14s %3d s\n' "$name" $((SECONDS - start)); touch "$logs/$name.failed"; fi
}

generated() {
  local before after
  before=$(git status --porcelain; git diff); hack/generate.sh; after=$(git status --porcelain; git diff)
  [ "$before" = "$after" ] || { echo "Generated files were not up to date; they are now. Commit them."; git status --short; return 1; }
}

types() { check mypy mypy; check pyright pyright; }
rest() {
  check format ruff format --check .
  check lint ruff check .
  check imports lint-imports
  check dead-code vulture
  check dependencies deptry .
  check lints pytest -q -p no:cacheprovider tests/lints tests/docs
  check generated generated
}
types & rest & wait
for mark in "$logs"/*.failed; do [ -e "$mark" ] && failed+=("$(basename "$mark" .failed)"); done
for name in "${failed[@]}"; do printf '\n== %s\n' "$name"; cat "$logs/$name"; done
[ ${#failed[@]} -eq 0 ]
