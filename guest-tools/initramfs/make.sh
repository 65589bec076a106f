#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the initramfs for a stock Debian kernel: busybox, the Hyper-V drivers in the order of their dependencies, our measuring
# programs and the script `init` beside this file.
# Usage: make.sh KERNEL-TREE OUTPUT [PROGRAM...]   KERNEL-TREE: an unpacked linux-image package with modules.dep (depmod -b)
# INIT and MODULES in the environment stand for another script and other modules (bench-init: the KVM side of scripts/bench).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$1 output=$(realpath -m "$2")
shift 2
version=$(ls "$tree/lib/modules")
root=$(mktemp -d)
trap 'rm -rf "$root" "$output.$$"' EXIT
mkdir -p "$root"/{bin,sbin,modules,proc,sys,dev,tmp}
install -m 755 "${INIT:-$here/init}" "$root/init"
install -m 755 /bin/busybox "$root/bin/busybox"
for program in "$@"; do install -m 755 "$program" "$root/bin/"; done
# What the kernel starts for an orderly power-off or restart that the host asks for (kernel.poweroff_cmd, reboot_cmd).
for verb in poweroff reboot; do
    printf '#!/bin/busybox sh\necho "ballast-guest: %s asked for" >/dev/console\nexec /bin/busybox %s -f\n' "$verb" "$verb" >"$root/sbin/$verb"
    chmod 755 "$root/sbin/$verb"
done

number=0
for module in ${MODULES:-hv_vmbus hv_utils hv_balloon}; do
    while read -r line; do
        [[ $line =~ ^insmod\ (.*\.ko[.a-z]*)(\ .*)?$ ]] || continue # a path may have spaces; options may follow
        file=${BASH_REMATCH[1]}
        name=$(basename "$file")
        compgen -G "$root/modules/[0-9]*-$name" >/dev/null && continue
        number=$((number + 1))
        cp "$file" "$root/modules/$(printf %02d $number)-$name"
    done < <(/sbin/modprobe -d "$tree" -S "$version" --show-depends "$module")
done
[ "$number" -ge 3 ] || { echo "the drivers are not in $tree" >&2; exit 1; }

mkdir -p "$(dirname "$output")"
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible -R 0:0) | gzip -9n >"$output.$$"
mv "$output.$$" "$output"
