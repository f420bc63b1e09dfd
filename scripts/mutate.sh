#!/bin/bash
# Mutation tests of the core (see workshop/mutation/__main__.py): mutmut has an environment of its own, and runs in that of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=$(scripts/tool.sh mutation)
PYTHONPATH=$(echo "$tool"/lib/python*/site-packages) exec nice .venv/bin/python -m workshop.mutation "$@"
