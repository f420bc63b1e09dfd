#!/bin/bash
# Make the image in which `sam local` runs the functions, if AWS's own cannot be pulled.
#   scripts/standin-image.sh NAME
# It holds the Python 3.13 of this Debian machine with what that needs, and AWS's runtime client from
# requirements/runtime.txt. It is not AWS's image: Debian's C library and Debian's build of Python, no bundled SDK.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:?the name to give the image}
python=/usr/bin/python3.13
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# SAM adds its emulator to the image with a shell and chmod, so those belong to it as well.
needed=$(apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances python3.13 dash coreutils ca-certificates tzdata libstdc++6 |
    grep -E '^[a-z0-9]' | sort -u | grep -vE '^(perl|libperl|debconf|cdebconf|dpkg|tar|passwd|adduser|systemd)')
installed=$(dpkg-query --show --showformat '${db:Status-Abbrev} ${binary:Package}\n' $needed 2>/dev/null | sed -n 's/^ii  *//p')
{
    dpkg --listfiles $installed | grep -E '^/' | grep -vE '^/\.$|^/usr/share/(doc|man|locale|info|lintian)(/|$)'
    printf '%s\n' /bin /sbin /lib /lib64 /etc/ld.so.cache /etc/ssl/certs/ca-certificates.crt
} | sort -u | while read -r path; do [ -e "$path" ] && echo "$path"; done |
    tar -C / --create --no-recursion --files-from - 2>/dev/null | tar -C "$root" --extract
# The standard library again, for its bytecode: made at installation, hence on no package's list.
tar -C / --create --exclude test --exclude idlelib --exclude ensurepip --exclude 'config-*' usr/lib/python3.13 | tar -C "$root" --extract

mkdir -p "$root"/{tmp,root,opt,var/task,var/runtime,var/rapid}
chmod 1777 "$root/tmp"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
"$python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --only-binary=:all: \
    --require-hashes --target "$root/var/runtime" --requirement requirements/runtime.txt

cat >"$root/var/runtime/bootstrap" <<'SHELL'
#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python3.13
exec /usr/bin/python3.13 /var/runtime/bootstrap.py
SHELL
cat >"$root/var/runtime/bootstrap.py" <<'PYTHON'
"""Start the runtime client with Lambda's search path: function, layers, standard library, runtime."""
import os
import sys

sys.path = [path for path in sys.path if path != "/var/runtime"] + ["/var/runtime"]
sys.path[:0] = ["/var/task", "/opt/python/lib/python3.13/site-packages", "/opt/python"]

from awslambdaric.__main__ import main

main(["bootstrap", os.environ["_HANDLER"]])
PYTHON
printf '#!/bin/sh\nexec /var/rapid/aws-lambda-rie --log-level error /var/runtime/bootstrap "$@"\n' >"$root/lambda-entrypoint.sh"
chmod 755 "$root/var/runtime/bootstrap" "$root/lambda-entrypoint.sh"

tar -C "$root" --create . | docker import \
    --change 'WORKDIR /var/task' --change 'ENTRYPOINT ["/lambda-entrypoint.sh"]' \
    --change 'ENV PATH=/usr/bin:/bin LANG=C.UTF-8 TZ=:UTC LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime' \
    - "$image" >/dev/null
