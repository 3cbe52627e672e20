#!/usr/bin/env bash
# Lints the chart, renders it and checks what it renders. Needs Helm 4 (HELM, default: helm) and Python 3, no cluster.
set -euo pipefail
cd "$(dirname "$0")"
HELM=${HELM:-helm}
export HELM
if ! command -v "$HELM" >/dev/null; then
  echo "chart: '$HELM' not found. Put Helm 4 on PATH, or set HELM to it." >&2
  exit 2
fi
"$HELM" lint --strict --quiet ..
exec python3 -B chart_test.py
