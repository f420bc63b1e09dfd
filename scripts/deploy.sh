#!/bin/bash
# Deploy what `scripts/build.sh` has built. The arguments go to `sam deploy`.
# The stack's tag names the version; tags in samconfig.toml or in the arguments replace it. ALLOW_DATA_LOSS frees what it names.
set -euo pipefail
cd "$(dirname "$0")/.."
sam=$(scripts/tool.sh sam)/bin/sam
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
tags=(--tags "version=$version")
scripts/name_commit.sh
! grep -q '^ *tags *=' samconfig.toml || tags=()

# The code of a stack has a folder of its own in SAM's bucket. samconfig.toml names that of its stack, but not of one that is
# named here: `sam delete` would offer to delete the folder of the other.
folder=() before=
for word in "$@"; do
    [ "$before" != --stack-name ] || folder=(--s3-prefix "$word")
    case $word in --stack-name=*) folder=(--s3-prefix "${word#*=}") ;; esac
    before=$word
done

# SAM reads AWS_DEFAULT_REGION, and not AWS_REGION, which the AWS command line prefers.
export SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION="${AWS_REGION:-${AWS_DEFAULT_REGION:-}}"
[ -n "$AWS_DEFAULT_REGION" ] || unset AWS_DEFAULT_REGION  # then that of the AWS profile

# No update deletes or replaces what holds data, unless ALLOW_DATA_LOSS names it. A stack that is new gets the policy afterwards.
policy() { "${sam%/sam}/python" -m scripts.stack_policy "$@"; }
policy --free "${ALLOW_DATA_LOSS:-}" "$@"
status=0
"$sam" deploy "${tags[@]}" "${folder[@]}" "$@" || status=$?
policy "$@" || status=$((status ? status : 2))
exit "$status"
