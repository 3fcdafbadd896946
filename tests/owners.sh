#!/bin/sh
# Shows that a build with a single id gives the layers that one with a range of ids gives: installs
# packages on a Debian base as a user of either kind, and compares the new layers file by file (type,
# mode, owner, link, device, attributes). As root on a Debian, with a mirror that apt reaches.
#
#     tests/owners.sh [PACKAGE …]        default: openssh-client dbus sudo
#
# On Debian 12 (2026-11): 8 313 files in three layers, 39 with another owner than root, no difference.
#
# Prints the differences, or that there is none, the number of files with another owner than root, and
# how long both took. Exit 0: no difference.
set -eu
cd "$(dirname "$0")/.."
packages=${*:-openssh-client dbus sudo}
skip() {
    echo "owners: skipped, $1"
    [ -z "${RBUILD_TEST_NO_SKIP:-}" ] || exit 1
    exit 0
}
[ "$(id -u)" = 0 ] || skip "only root can become two users"
for program in mmdebstrap python3 newuidmap setpriv useradd; do
    command -v "$program" >/dev/null || skip "there is no $program"
done
binary=${RBUILD_BIN:-$(.ci/binary debug)}
[ -x "$binary" ] || { cargo build --locked; binary=$(.ci/binary debug); }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work"
cp "$binary" "$work/rbuild"
. /etc/os-release
mirror=$(sed -n 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p; s/^URIs: *\([^ ]*\).*/\1/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
echo "owners: making a base of $VERSION_CODENAME"
mkdir "$work/base"
mmdebstrap --quiet --variant=apt --format=tar "$VERSION_CODENAME" "$work/base/base.tar" ${mirror:+"$mirror"}

proxies=
for name in http_proxy https_proxy no_proxy; do
    value=$(printenv "$name" || true)
    [ -z "$value" ] || proxies="$proxies --build-arg=$name=$value"
done
mkdir "$work/context"
cat > "$work/context/Dockerfile" <<END
FROM scratch
ADD base.tar /
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y $packages
RUN useradd --create-home --groups staff zed && su zed -c 'mkdir -p ~/a/b && ln -s a ~/l && mkfifo ~/p && echo x > ~/a/f' && \
    install -d -o zed -g staff -m 2775 /srv/shared && touch /srv/shared/of-root && \
    su zed -c 'touch /srv/shared/of-zed' && cp -a /home/zed /srv/copy
END
mv "$work/base/base.tar" "$work/context/"
chmod -R a+rX "$work/context"

build() { # user
    mkdir "$work/$1"
    chown "$1:" "$work/$1"
    start=$(date +%s%N)
    setpriv --reuid "$1" --regid "$(id -g "$1")" --clear-groups env -i HOME="$work/$1" \
        PATH=/usr/local/bin:/usr/bin:/bin "$work/rbuild" build --policy none --timestamp 0 $proxies \
        --root "$work/$1/store" -o "type=oci,dest=$work/$1/out,tar=false" "$work/context" \
        > "$work/$1.log" 2>&1 || { tail -n 30 "$work/$1.log"; exit 1; }
    echo "owners: as $1: $(( ($(date +%s%N) - start) / 1000000 )) ms"
}

# A user with a range, and one who must have none, though some systems give one to every new user.
for user in rbuild-range rbuild-single; do
    id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$user"
done
for file in /etc/subuid /etc/subgid; do
    grep -q '^rbuild-range:' "$file" 2>/dev/null || echo "rbuild-range:600000:65536" >> "$file"
    sed -i '/^rbuild-single:/d' "$file"
done
build rbuild-range
build rbuild-single
grep -q '^note: one user id only' "$work/rbuild-single.log" || { echo "owners: there were more ids"; exit 1; }
! grep -q '^note: one user id only' "$work/rbuild-range.log" || { echo "owners: there was no range"; exit 1; }
# Files of subordinate ids are ours to remove: we are root.
python3 - "$work/rbuild-range/out" "$work/rbuild-single/out" <<'END'
import collections, json, sys, tarfile

def layers(layout):
    def read(digest):
        return f"{layout}/blobs/" + digest.replace(":", "/")
    index = json.load(open(f"{layout}/index.json"))
    manifest = json.load(open(read(index["manifests"][0]["digest"])))
    return [read(layer["digest"]) for layer in manifest["layers"]]

def entries(path):
    found = {}
    for entry in tarfile.open(path):
        extra = tuple(sorted((k, v) for k, v in entry.pax_headers.items() if "xattr" in k))
        device = (entry.devmajor, entry.devminor) if entry.ischr() or entry.isblk() else None
        found[entry.name] = (entry.type.decode(), oct(entry.mode), entry.uid, entry.gid, entry.linkname, device, extra)
    return found

different = 0
pairs = list(zip(layers(sys.argv[1]), layers(sys.argv[2]), strict=True))
for number, (one, other) in enumerate(pairs):
    one, other = entries(one), entries(other)
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            different += 1
            print(f"owners: layer {number}: {name}: range {one.get(name)}, single {other.get(name)}")
    owners = collections.Counter(f"{v[2]}:{v[3]}" for v in other.values() if (v[2], v[3]) != (0, 0))
    text = ", ".join(f"{count} of {owner}" for owner, count in sorted(owners.items()))
    print(f"owners: layer {number}: {len(other)} files; not root's: {text}")
print(f"owners: {different or 'no'} differences")
sys.exit(1 if different else 0)
END
