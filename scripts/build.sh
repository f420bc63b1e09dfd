#!/bin/bash
# Build functions and layers into .aws-sam/build, without Docker. Further arguments go to `sam build`.
set -euo pipefail
cd "$(dirname "$0")/.."
sam=$(scripts/tool.sh sam)/bin/sam
folder=$(scripts/python313.sh)  # SAM runs the python3.13 that it finds first

# No call to AWS is made here, so an endpoint that is set for a deployment is left out.
env -u AWS_ENDPOINT_URL PATH="$folder:$PATH" SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-us-east-1}" \
    "$sam" build --parallel "$@"
