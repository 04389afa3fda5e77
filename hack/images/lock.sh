#!/usr/bin/env bash
# Write the hashed requirements of the images again, from pyproject.toml and constraints.txt: `lock.sh [PIP-COMPILE OPTIONS]`.
# Pins that are there already stay; `lock.sh --upgrade` looks for newer ones. No file names a package index.
. "$(dirname "$0")/../lib.sh"
cd "$root"
command -v pip-compile >/dev/null || fail "pip-compile is missing: make install, then put .venv/bin on the PATH"

compile() { # output, arguments…
  pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate --no-emit-options \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$@"
}

compile hack/images/base/requirements.txt --constraint constraints.txt --extra operator --extra api --extra runtime "$@" pyproject.toml
compile hack/images/base/build-requirements.txt "$@" - <<<hatchling
compile hack/images/dev-services/requirements.txt "$@" hack/images/dev-services/requirements.in
