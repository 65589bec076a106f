# SPDX-License-Identifier: Apache-2.0
# Sourced by the commands in scripts/: finds Python 3 (installs it on a bare machine) and starts the command's module.
# Usage: source front.sh; ballast_command MODULE "$@"
ballast_command() {
    local module=$1 here
    shift
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    if ! command -v python3 >/dev/null; then
        local root=""
        if [ "$(id -u)" != 0 ]; then
            root=sudo
            command -v sudo >/dev/null || { echo "error: python3 is missing and this is neither root nor sudo" >&2; exit 3; }
        fi
        echo "-- installing python3 ..." >&2
        $root apt-get update -qq >&2 &&
            $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 >/dev/null || exit 3
    fi
    # Not from the folder that the command is called in: it may hold files with the names of Python's modules.
    PYTHONPATH=$here PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 exec python3 -c \
        'import importlib, sys
if sys.version_info < (3, 11):
    print("error: Python 3.11 or newer is needed, as Debian 12 has it; this is", sys.version.split()[0], file=sys.stderr)
    sys.exit(3)
from ballastlib import say
say.main(importlib.import_module("ballastlib." + sys.argv.pop(1)).entry)' "$module" "$@"
}
