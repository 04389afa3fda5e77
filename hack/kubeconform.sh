#!/usr/bin/env bash
# Check manifests against the schemas of Kubernetes and of the platform's kinds, without internet:
# `helm template … | hack/kubeconform.sh -summary`. Arguments go to kubeconform, which reads standard input without files.
. "$(dirname "$0")/lib.sh"

python=python3
if ! "$python" -c 'import agentic_crds' 2>/dev/null; then
  make --silent -C "$root" install >&2
  python=$root/.venv/bin/python
fi
schemas=$cache/schemas/$(content_hash hack/schemas.py crds/agentic_crds)
if [ ! -e "$schemas" ]; then
  part=$schemas.$$
  "$python" "$hack/schemas.py" "$part"
  mv -T "$part" "$schemas" 2>/dev/null || rm -rf "$part"
fi
exec kubeconform -strict -schema-location "$schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$@"
