#!/bin/bash
# Print the folder of the python3.13 that builds the layers. It needs a pip that is not an environment of uv's.
set -euo pipefail
for folder in /usr/bin $(type -ap python3.13 | xargs -r -n1 dirname); do
    "$folder/python3.13" -m pip --version >/dev/null 2>&1 && { echo "$folder"; exit 0; }
done
echo 'Building needs python3.13 with pip; on Debian 13: apt-get install python3.13-venv python3-pip' >&2
exit 1
