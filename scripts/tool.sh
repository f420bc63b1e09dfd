#!/bin/bash
# Build the environment of one tool under .tools/ from its lock, and print its folder.
#   scripts/tool.sh sam|ministack|checkov|audit|mutation
# One environment each: the first three pin different versions of botocore, mutmut brings a user interface. Wheels only,
# so that no package's code runs while it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?name a tool: $(basename -a requirements/*.txt | sed 's/\.txt$//' | grep -vE '^(dev|setup|runtime)$' | xargs)}
lock=requirements/$name.txt
folder=.tools/$name
[ -f "$lock" ] || { echo "no lock named $lock" >&2; exit 2; }
[ -x .venv/bin/uv ] || { echo 'run `make setup` first: it brings uv' >&2; exit 2; }

if [ ! "$folder/.ready" -nt "$lock" ]; then
    # ministack runs the functions under its own interpreter, which must therefore be Lambda's version.
    version=3.13
    [ "$name" = ministack ] || version=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    .venv/bin/uv venv --quiet --clear --no-python-downloads --python "$version" "$folder"
    .venv/bin/uv pip sync --quiet --python "$folder/bin/python" --only-binary :all: --require-hashes "$lock"
    touch "$folder/.ready"
fi
echo "$PWD/$folder"
