#!/bin/sh
# Assembles a small root filesystem from this machine's own shell and a few tools, with the shared
# libraries that they need: a base image without any registry.
#
#     base.sh DIR
set -eu
root=$1
rm -rf "$root"
mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/usr/local/bin" "$root/var/cache"
chmod 1777 "$root/tmp"

# A file at the path where the machine has it, with symbolic links resolved: the loader finds a
# library by the path that `ldd` prints.
take() {
    [ -e "$root$1" ] && return
    mkdir -p "$root$(dirname "$1")"
    cp -L "$1" "$root$1"
}

for tool in sh cat mkdir chmod id ls sleep; do
    path=$(command -v "$tool") || continue
    cp -L "$path" "$root/bin/$tool"
    ldd "$path" 2>/dev/null | tr -s ' \t' '\n' | while read -r word; do
        case $word in /*) if [ -f "$word" ]; then take "$word"; fi ;; esac
    done
done
chmod -R u+w "$root"
echo 'root:x:0:0:root:/root:/bin/sh' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
