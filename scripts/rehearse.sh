#!/bin/bash
# Rehearse a deployment on this machine: a real `sam deploy` of the last release's template, one event from HTTP to Amazon, an
# update to this version, another of a parameter, `sam delete`; then this version published in a bucket, and launched from there.
# FROM=COMMIT names another commit than the last release. ministack stands in for AWS, on loopback, and scripts/stand_ins.py for Amazon. What that leaves open: docs/deploy.md.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=staging  # of samconfig.toml, as the workflow deploys it
stack=$(sed -n "/^\[$environment.global.parameters\]/,/^\[/s/^stack_name = \"\(.*\)\".*/\1/p" samconfig.toml)
work=$(mktemp -d)
started=()
finish() {
    local status=$?
    [ $status = 0 ] || tail -n 25 "$work"/*.log >&2
    for pid in "${started[@]}"; do kill -TERM "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
step() { echo "[$SECONDS s] $*"; }

export AWS_DEFAULT_REGION=eu-west-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test SAM_CLI_TELEMETRY=0 SAM_CLI_POLL_DELAY=0.5  # seconds; 5 by default
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_REGION  # nothing here may reach an account
sam=$(scripts/tool.sh sam)/bin/sam
ministack=$(scripts/tool.sh ministack)/bin/ministack
port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
(cd "$work" && MINISTACK_REGION=$AWS_DEFAULT_REGION GATEWAY_PORT=$port BIND_HOST=127.0.0.1 IOT_MTLS_ENABLED=0 exec "$ministack") >"$work/ministack.log" 2>&1 &
started+=($!)
.venv/bin/python -m scripts.stand_ins >"$work/stand-ins.json" 2>"$work/stand-ins.log" &
started+=($!)
for _ in {1..600}; do curl -so /dev/null "http://127.0.0.1:$port/_ministack/health" && [ -s "$work/stand-ins.json" ] && break; sleep 0.2; done
amazon=$(sed 's/.*"amazon": "\([^"]*\)".*/\1/' "$work/stand-ins.json")
step 'the stand-ins answer'

# Functions run as processes of this machine, so the layer must fit it; the template declares no host, the copy does.
scripts/local-build.sh "$work/build" >"$work/build.log" 2>&1
.venv/bin/python -m scripts.last_release ${FROM:+"$FROM"} >"$work/build/last-release.yaml"
grep -v '^ *profile *=' samconfig.toml >"$work/build/samconfig.toml"  # beside the template; a profile could mean a real login
templates=("$work/build/template.yaml" "$work/build/last-release.yaml")
sed -i "s|^\( *\)POWERTOOLS_SERVICE_NAME:|\1AMAZON_API_URL: $amazon\n\1AMAZON_LOGIN_URL: $amazon/auth/o2/token\n&|" "${templates[@]}"
# ministack compares these numbers with others without reading the parameters as numbers, and refuses alarms on an expression.
sed -Ezi 's/MaximumConcurrency:\n *Ref: \w+/MaximumConcurrency: 2/g
    s/\n      Metrics:(\n      [- ][^\n]*)*/\n      MetricName: any\n      Namespace: any/g' "${templates[@]}"
step 'sam build'

export AWS_ENDPOINT_URL=http://127.0.0.1:$port
deploy() {
    scripts/deploy.sh --template-file "$work/build/$1" --config-env "$environment" \
        --region "$AWS_DEFAULT_REGION" --no-confirm-changeset --no-progressbar --parameter-overrides "${@:2}" >>"$work/deploy.log" 2>&1
}
deploy last-release.yaml BatchWindow=1
step 'sam deploy: create, from the template of the last release'
.venv/bin/python -m scripts.routes "$stack" | tee "$work/routes"
api=http://$(tail -n 1 "$work/routes").execute-api.localhost:$port
.venv/bin/python -m scripts.one_event "$stack" "$api" "$amazon"
step 'one event went from HTTP to Amazon'
.venv/bin/python -m scripts.kept "$stack" >"$work/kept"
deploy template.yaml BatchWindow=1 EventQueue=yes
.venv/bin/python -m scripts.kept "$stack" | sed "/^Events/d" | diff "$work/kept" -
.venv/bin/python -m scripts.one_event "$stack" "$api" "$amazon"
.venv/bin/python -m scripts.one_event "$stack" --queue "$amazon"
step 'sam deploy: update to this version, which keeps tables, queues, secrets, URL and event key'
.venv/bin/python -m scripts.ask_stack "$stack"
deploy template.yaml BatchWindow=2 Enabled=no PublicApi=no
step 'sam deploy: other parameters: delivery paused, no public API'
.venv/bin/python -m scripts.one_event "$stack" --paused
.venv/bin/python -m scripts.removal "$stack" "$sam" delete --stack-name "$stack" --no-prompts --region "$AWS_DEFAULT_REGION" 2>"$work/delete.log"
step 'sam delete: the tables and two secrets are kept'

aws() { .venv/bin/python -m scripts.cloudshell "$@"; }
bucket=releases
.venv/bin/python -c 'import boto3, sys; boto3.client("s3").create_bucket(Bucket=sys.argv[1], CreateBucketConfiguration={"LocationConstraint": sys.argv[2]})' \
    "$bucket" "$AWS_DEFAULT_REGION"
publish() { .venv/bin/python -m scripts.publish "$bucket" --prefix "$1" --build "$work/build" --sbom /dev/null; }
publish audience-sync >"$work/launch"
mv "$work/build/last-release.yaml" "$work/build/template.yaml"
publish before >"$work/launch-before"
rm -r "$work/build"  # only the bucket is left
step 'this version and the last release are published in a bucket'
launch() {  # the printed lines of the AWS CLI, for a stack of this name
    eval "$(awk '/^aws / { run = 1 } run; !/\\$/ { run = 0 }' "$2" | sed "s/-name audience-sync/-name $1/; s/ParameterKey=Region,/ParameterKey=BatchWindow,ParameterValue=1 &/")"
}
arrives() {
    .venv/bin/python -m scripts.routes "$1" >"$work/routes"
    .venv/bin/python -m scripts.one_event "$1" "http://$(tail -n 1 "$work/routes").execute-api.localhost:$port" "$amazon"
}
launch audience-sync-new "$work/launch"
arrives audience-sync-new
step 'launched by the printed lines of the AWS CLI, from the bucket alone: one event went from HTTP to Amazon'
update_by_the_guide() {  # to the version whose launch is printed in a file
    local url
    url=$(sed -n 's/.*--template-url \(\S*\).*/\1/p' "$1")
    eval "$(sed -n '/^value()/,/^```/p' docs/operate.md | sed "s|URL|$url|; s/VERSION/rehearsed/; /^\`/d")"
}
launch audience-sync "$work/launch-before"
CHANGED=BatchWindow=2
update_by_the_guide "$work/launch"
aws cloudformation describe-stacks --stack-name audience-sync --query 'Stacks[0].Parameters[?ParameterKey==`BatchWindow`].ParameterValue' --output text | grep -x 2
arrives audience-sync
step 'the last release launched in the same way, and updated by the lines of docs/operate.md: one event went through'
CHANGED=
update_by_the_guide "$work/launch-before"
arrives audience-sync
step 'and taken back to the last release by the same lines: one event went through'
