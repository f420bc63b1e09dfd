#!/bin/bash
# Run the built functions under `sam local invoke`, on the Lambda events of events/lambda/, and check what they answer.
# Needs root on Debian 13 with python3.13, and docker.io with docker-cli and iptables; prints "skipped:" if one is missing.
# AWS and Amazon are stand-ins (scripts/stand_ins.py) on Docker's bridge, which containers reach and the network does not.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() { echo "skipped: sam local: $1"; exit 0; }
[ "$(uname -s)" = Linux ] && grep -qs '^VERSION_ID="13"' /etc/os-release && command -v dpkg >/dev/null || skip 'the stand-in image is made from Debian 13, which this is not'
[ "$(id -u)" = 0 ] || skip 'it needs root, to start Docker'
command -v docker >/dev/null && { docker info >/dev/null 2>&1 || command -v dockerd >/dev/null; } ||
    skip 'Docker is missing; apt-get install --no-install-recommends docker.io docker-cli iptables'
/usr/bin/python3.13 -m pip --version >/dev/null 2>&1 || skip 'python3.13 with pip is missing; apt-get install python3.13-venv python3-pip'

work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
step() { echo "[$SECONDS s] $*"; }

if ! docker info >/dev/null 2>&1; then
    dockerd >"$work/dockerd.log" 2>&1 &
    started+=($!)
    for _ in {1..600}; do docker info >/dev/null 2>&1 && break; sleep 0.2; done
    docker info >/dev/null 2>&1 || skip "dockerd does not start here: $(tail -1 "$work/dockerd.log")"
fi
image=audience-sync-standin:$(cat scripts/standin-image.sh requirements/runtime.txt | sha256sum | cut -c1-12)
docker image inspect "$image" >/dev/null 2>&1 || scripts/standin-image.sh "$image"
step "Docker runs and has the image $image"

# The template sets arm64; a container here has this machine's architecture.
machine=$(uname -m)
architecture=${machine/aarch64/arm64}
scripts/local-build.sh "$work/build" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
sed -i "s/\barm64\b/$architecture/" "$work/build/template.yaml"
step "built for $architecture"

export AWS_DEFAULT_REGION=us-east-1 AWS_SECRET_ACCESS_KEY=test SAM_CLI_TELEMETRY=0
unset AWS_PROFILE AWS_SESSION_TOKEN
bridge=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
.venv/bin/python -m scripts.stand_ins --host "$bridge" --aws >"$work/stand-ins.json" 2>"$work/stand-ins.log" &
started+=($!)
for _ in {1..600}; do [ -s "$work/stand-ins.json" ] && break; sleep 0.2; done
ready() { .venv/bin/python - "$work/stand-ins.json" "$@" <<<"import json, sys
found = json.load(open(sys.argv[1]))
for name in sys.argv[2:]: found = found[name]
print(found if isinstance(found, str) else json.dumps(found))"; }
ready environment >"$work/environment.json"
amazon=$(ready amazon)
# The template declares no host, so that none can be set by mistake; here they are written into the built copy.
sed -i "s|^\( *\)POWERTOOLS_SERVICE_NAME:|\1AWS_ENDPOINT_URL: $(ready aws)\n\1AMAZON_API_URL: $amazon\n\1AMAZON_LOGIN_URL: $amazon/auth/o2/token\n&|" \
    "$work/build/template.yaml"
step 'the stand-ins answer'

invoke() {  # function, event, what the answer must hold
    local answer
    # An invocation that runs into its timeout ends with status 0 and no answer, so only the answer counts.
    # The access key names the function, so that an action which its role lacks is refused.
    answer=$(AWS_ACCESS_KEY_ID=$1 "$sam" local invoke "$1" --template "$work/build/template.yaml" --event "events/lambda/$2.json" \
        --env-vars "$work/environment.json" --skip-pull-image --invoke-image "$image" 2>"$work/invoke.log") || true
    step "$1 $2: $answer"
    grep -qF -- "$3" <<<"$answer" || { echo "expected: $3"; cat "$work/invoke.log"; exit 1; }
}
sam=.tools/sam/bin/sam
invoke IngestFunction ingest-health '"statusCode": 200'
invoke IngestFunction ingest-unauthorized '"statusCode": 401'
invoke IngestFunction ingest-accepted '\"accepted\":1'
invoke IngestFunction ingest-deletion '\"accepted\":1'
invoke WorkerFunction worker-delivered '{"batchItemFailures": []}'
invoke WorkerFunction worker-partial '{"batchItemFailures": [{"itemIdentifier": "00000000-0000-4000-8000-000000000003"}]}'
invoke JobsFunction jobs-partial '{"batchItemFailures": [{"itemIdentifier": "00000000-0000-4000-8000-000000000006"}]}'
invoke AudiencesFunction audiences-create '\"externalId\":\"372030298127311891\"'  # the first that the sandbox gives
invoke AudiencesFunction audiences-create '\"externalId\":\"372030298127311891\"'  # the same one, and Amazon is not asked again
invoke AudiencesFunction audiences-get '\"externalId\":\"418273650912345678\"'
creations=$(curl -s "$amazon/sandbox/requests?bodies=no" | grep -o '"method": "POST", "path": "/amc/audiences/metadata"' | wc -l)
[ "$creations" = 1 ] || { echo "expected one creation, not $creations"; exit 1; }
step '10 invocations answered as expected'
