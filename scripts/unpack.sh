#!/bin/bash
# Unpack into .aws-sam what `make pack` packed elsewhere, if it has the SHA-256 in DIGEST.
set -euo pipefail
cd "$(dirname "$0")/.."
file=dist/build.tar.gz
sha256sum --check --strict --status <<<"${DIGEST:?set it to the SHA-256 that make pack printed}  $file" ||
    { echo "$file does not have the SHA-256 $DIGEST, so it is not unpacked" >&2; exit 1; }
rm -rf .aws-sam
mkdir .aws-sam
tar --extract --gzip --no-same-owner --directory .aws-sam --file "$file"
