#!/bin/bash
# Ask PyPI whether a pinned version has a known vulnerability.
#   scripts/audit.sh [LOCK ...]     by default the lock of what ships
# Ends with 1 if one has. Ends with 0 if none has, or if PyPI cannot be asked, and says which.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- layers/dependencies/requirements.txt

# A mirror may serve packages and not this, and pip-audit then takes 404 for an answer. So ask for one package first.
first=$(sed -nE 's/^([A-Za-z0-9._-]+)==([^ ;]+).*/\1\/\2/p' "$1" | head -n1)
address=https://pypi.org/pypi/$first/json
status=$(curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' "$address" || true)
if [ "$status" != 200 ]; then
    echo "Known vulnerabilities: not checked. $address answers ${status/000/nothing}; a machine that reaches PyPI itself can check."
    exit 0
fi

report=$(mktemp)
trap 'rm -f "$report"' EXIT
# Status 1 means vulnerabilities and failures alike; the report says which.
timeout 60 "$(scripts/tool.sh audit)/bin/pip-audit" $(printf -- '--requirement %s ' "$@") --disable-pip --require-hashes \
    --timeout 5 --progress-spinner off --format json --output "$report" >&2 || true
.venv/bin/python -m scripts.vulnerabilities "$report"
