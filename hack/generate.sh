#!/usr/bin/env bash
# Write all generated files again: CRDs, reference docs, the OpenAPI document, the chart's facts about kinds and settings.
set -euo pipefail
cd "$(dirname "$0")/.."
chart=manifests/helm/agentic-platform
python -m agentic_crds.generate crds/generated manifests/helm/agentic-crds/files
python -m agentic_crds.reference docs/reference
python hack/openapi.py docs/reference/openapi.json
python -m agentic_crds.chart $chart/files/kinds.yaml
python -m agentic_operator.rbac $chart/files/operator-rules.yaml
python hack/chart_settings.py $chart/values.schema.json
