#!/bin/bash
# Build functions and layers into .aws-sam/build, without Docker. Further arguments go to `sam build`.
set -euo pipefail
cd "$(dirname "$0")/.."
sam=$(scripts/tool.sh sam)/bin/sam

# SAM runs the python3.13 it finds first, with its pip, for which it needs one that is not an environment of uv's.
for folder in /usr/bin $(type -ap python3.13 | xargs -r -n1 dirname) ''; do
    [ -z "$folder" ] || { "$folder/python3.13" -m pip --version >/dev/null 2>&1 && break; }
done
[ -n "$folder" ] || { echo 'Building needs python3.13 with pip; on Debian 13: apt-get install python3.13-venv python3-pip' >&2; exit 1; }

# No call to AWS is made here, so an endpoint that is set for a deployment is left out.
env -u AWS_ENDPOINT_URL PATH="$folder:$PATH" SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-us-east-1}" \
    "$sam" build --parallel "$@"
