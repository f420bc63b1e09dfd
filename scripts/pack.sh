#!/bin/bash
# Pack what `make build` leaves in .aws-sam into one file, for a job that deploys it without building, and print its SHA-256.
# On GitHub the digest becomes an output of the step. The same build gives the same file.
set -euo pipefail
cd "$(dirname "$0")/.."
file=dist/build.tar.gz
mkdir -p dist
# SAM puts the files into zips, which know no time before 1980.
tar --create --sort=name --mtime=2020-01-01T00:00Z --owner=0 --group=0 --numeric-owner --directory .aws-sam build sbom.cdx.json |
    gzip --no-name >"$file"
digest=$(sha256sum "$file" | cut -d ' ' -f 1)
echo "digest=$digest" >>"${GITHUB_OUTPUT:-/dev/null}"
echo "$file has the SHA-256 $digest"
