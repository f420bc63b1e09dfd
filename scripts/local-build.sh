#!/bin/bash
# Build for this machine into a folder: the template's layers are for arm64, which `sam local` and the rehearsal run here.
#   scripts/local-build.sh FOLDER
# BUILT names the folder of an earlier build of the same source. It is then copied, and if this machine has another
# architecture, its third-party packages are reinstalled. Without BUILT, everything is built.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?name the folder to build into}
machine=$(uname -m)

if [ -z "${BUILT:-}" ]; then
    LAYER_MACHINE=$machine exec scripts/build.sh --build-dir "$folder"
fi
layer=$folder/DependenciesLayer
rm -rf "$folder"
cp -R "$BUILT" "$folder"
# Compiled modules carry the machine in their names.
[ -z "$(find "$layer/python" -name "*-$machine-linux-gnu.so" -print -quit)" ] || exit 0
rm -rf "$layer"
python=$(scripts/python313.sh)
PATH="$python:$PATH" "$(command -v make)" --silent -C layers/dependencies build-DependenciesLayer \
    ARTIFACTS_DIR="$(realpath "$layer")" LAYER_MACHINE="$machine"
