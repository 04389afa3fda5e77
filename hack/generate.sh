#!/usr/bin/env bash
# Write all generated files again: CRDs, reference docs, the OpenAPI document and the operator's role.
set -euo pipefail
cd "$(dirname "$0")/.."
python -m agentic_crds.generate crds/generated manifests/helm/agentic-crds/files
python -m agentic_operator.rbac manifests/helm/agentic-platform/files/operator-rules.yaml
python hack/chart_settings.py manifests/helm/agentic-platform/values.schema.json
python -m agentic_crds.reference docs/reference
python -m agentic_operator.rbac manifests/helm/agentic-platform/files/operator-rules.yaml
python hack/chart_settings.py manifests/helm/agentic-platform/values.schema.json
