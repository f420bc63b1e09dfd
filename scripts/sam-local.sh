#!/bin/bash
# Run the built functions under `sam local invoke`, on Lambda events of events/lambda/, and check what they answer. The lines
# of README.md and docs/deploy.md run as they are printed there.
# Needs root on Debian 13 with python3.13, and docker.io with docker-cli and iptables; prints "skipped:" if one is missing.
# AWS and Amazon are stand-ins (scripts/stand_ins.py) on Docker's bridge, which containers reach and the network does not.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() { echo "skipped: sam local: $1"; exit 0; }
[ "$(uname -s)" = Linux ] && grep -qs '^VERSION_ID="13"' /etc/os-release && command -v dpkg >/dev/null || skip 'the stand-in image is made from Debian 13, which this is not'
[ "$(id -u)" = 0 ] || skip 'it needs root, to start Docker'
command -v docker >/dev/null || skip 'Docker is missing; apt-get install --no-install-recommends docker.io docker-cli iptables'
docker info >/dev/null 2>&1 || command -v dockerd >/dev/null ||
    skip "Docker's daemon does not run, and dockerd is not on the path; start it, or apt-get install --no-install-recommends docker.io iptables"
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
export AWS_DEFAULT_REGION=us-east-1 AWS_SECRET_ACCESS_KEY=test SAM_CLI_TELEMETRY=0
unset AWS_PROFILE AWS_SESSION_TOKEN
bridge=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
.venv/bin/python -m scripts.stand_ins --host "$bridge" --aws >"$work/stand-ins.json" 2>"$work/stand-ins.log" &
started+=($!)

# If the template names layers, SAM builds an image for every invocation. So they are in the image instead, built once.
standin=audience-sync-standin:$(cat scripts/standin-image.sh requirements/runtime.txt | sha256sum | cut -c1-12)
docker image inspect "$standin" >/dev/null 2>&1 || scripts/standin-image.sh "$standin"
scripts/local-build.sh "$work/build" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
image=audience-sync-functions
architecture=$(uname -m | sed s/aarch64/arm64/)
docker image rm --force "$image:latest" "$image:rapid-$architecture" >/dev/null 2>&1 || true  # SAM reuses the second, which it builds from the first
printf 'FROM %s\nCOPY DependenciesLayer SharedLayer /opt/\n' "$standin" |
    docker build --tag "$image" --file - "$work/build" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
step "Docker has the image $standin, and one with our layers"

for _ in {1..600}; do [ -s "$work/stand-ins.json" ] && break; sleep 0.2; done
# SAM reads JSON faster than YAML. The template declares no host, so that none can be set by mistake; this copy does.
AWS_ENDPOINT_URL=$(.venv/bin/python - "$work" "$architecture" <<'PYTHON'
import json, pathlib, sys, yaml
work, architecture = pathlib.Path(sys.argv[1]), sys.argv[2]
found = json.loads((work / "stand-ins.json").read_text())
(work / "build/environment.json").write_text(json.dumps(found["environment"]))
template = yaml.safe_load((work / "build/template.yaml").read_text())
functions = template["Globals"]["Function"]
del functions["Layers"]
functions["Architectures"] = [architecture]  # the template sets arm64; a container here has this machine's architecture
hosts = {"AWS_ENDPOINT_URL": found["aws"], "AMAZON_API_URL": found["amazon"], "AMAZON_LOGIN_URL": found["amazon"] + "/auth/o2/token"}
functions["Environment"]["Variables"] |= hosts
(work / "build/template.yaml").write_text(json.dumps(template))
print(found["aws"])
PYTHON
)
export AWS_ENDPOINT_URL  # SAM asks STS for its account, and retries for eight seconds where AWS cannot be reached
step 'the stand-ins answer'

# The folder in which the lines run: as a clone has it after `make build`, but with the image, which cannot be pulled here.
ln -s "$PWD/events" "$PWD/.tools" "$work/build/"
printf 'version = 0.1\n[default.local_invoke.parameters]\nskip_pull_image = true\ninvoke_image = ["%s"]\n' "$image" >"$work/build/samconfig.toml"
# One event for each function: only a container shows that layers, runtime client and function fit together.
# tests/contract/test_stand_ins.py runs all events, without containers.
run() {  # a line, what the answer must hold
    local answer function
    function=$(grep -o '[A-Z][a-z]*Function' <<<"$1")
    # An invocation that runs into its timeout ends with status 0 and no answer, so only the answer counts.
    # The access key names the function, so that an action which its role lacks is refused.
    answer=$(cd "$work/build" && export AWS_ACCESS_KEY_ID=$function && eval "$1" </dev/null 2>"$work/invoke.log") || true
    step "$1: $answer"
    grep -qF -- "$2" <<<"$answer" || { echo "expected: $2"; cat "$work/invoke.log"; exit 1; }
}
printed=$(grep -h '^\.tools/sam/bin/sam local invoke ' README.md docs/deploy.md | sed 's/ *#.*//' | sort -u)
[ "$(wc -l <<<"$printed")" = 3 ] || { printf 'not the three lines that are expected:\n%s\n' "$printed"; exit 1; }
while read -r line; do
    case $line in
        *health*) run "$line" '{\"status\":\"ok\"}' ;;
        *IngestFunction*) run "$line" '\"accepted\":1' ;;
        *) run "$line" '{"batchItemFailures": []}' ;;
    esac
done <<<"$printed"
run '.tools/sam/bin/sam local invoke JobsFunction --event events/lambda/jobs-partial.json --env-vars environment.json' \
    '{"batchItemFailures": [{"itemIdentifier": "00000000-0000-4000-8000-000000000006"}]}'
run '.tools/sam/bin/sam local invoke AudiencesFunction --event events/lambda/audiences-create.json --env-vars environment.json' \
    '\"externalId\":\"372030298127311891\"'  # the first that the sandbox gives
