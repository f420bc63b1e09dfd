#!/bin/bash
# Check the template: SAM's own rules and cfn-lint's, then checkov's. Asks nothing of AWS and needs no credentials.
set -euo pipefail
cd "$(dirname "$0")/.."
SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-us-east-1}" "$(scripts/tool.sh sam)/bin/sam" validate --lint
"$(scripts/tool.sh checkov)/bin/checkov" --file template.yaml --framework cloudformation --skip-download --compact --quiet
