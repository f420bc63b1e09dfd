#!/bin/bash
# Publish the release of the tag in GITHUB_REF_NAME on GitHub, with the files of the build and the notes of CHANGELOG.md.
# With --check only see whether tag, version and date fit, before anything is built.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${GITHUB_REF_NAME:?set it to the tag}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
[ "$tag" = "v$version" ] || { echo "The tag of this version is v$version, not $tag" >&2; exit 1; }
notes=$(awk -v heading="## $version, 2" 'index($0, "## ") == 1 { inside = index($0, heading) == 1; next } inside' CHANGELOG.md)
[ -n "$notes" ] || { echo "CHANGELOG.md has no heading with the date of $version" >&2; exit 1; }
[ "${1:-}" != --check ] || exit 0
gh release create "$tag" --verify-tag --title "$version" --notes-file - dist/build.tar.gz dist/*.whl .aws-sam/sbom.cdx.json <<<"$notes"
