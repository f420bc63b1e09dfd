#!/bin/bash
# Write the commit, if this is a clone, into an output of the built template. As a tag it would change with each commit, and
# CloudFormation would update every resource that can have tags.
set -euo pipefail
cd "$(dirname "$0")/.."
built=.aws-sam/build/template.yaml
if commit=$(git rev-parse --short HEAD 2>/dev/null) && [ -f "$built" ]; then
    [ -z "$(git status --porcelain)" ] || commit+=-modified
    sed -i.before "/^  Commit:/,/^    Value:/s/^    Value:.*/    Value: \"$commit\"/" "$built"
fi
