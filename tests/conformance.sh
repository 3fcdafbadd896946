#!/bin/sh
# Runs the conformance suite of the dialect where it lies beside this project (`../shared`), in all
# user modes: as who we are, and, when that is root, as an ordinary user with subordinate ids and as one
# with a single id too.
#
#     tests/conformance.sh [ARGUMENT OF THE SUITE'S RUNNER …]
#
# `tests/conformance.known` lists cases that are known to fail, one a line with its reason; a case
# that fails and is not listed, and a listed one that passes, are both errors. `tests/conformance.single`
# lists those that fail besides with a single id. `?` before a name: a race, which may end either way.
set -eu
cd "$(dirname "$0")/.."
suite=$(pwd)/../shared/conformance
if [ ! -x "$suite/run" ]; then
    echo "conformance: skipped, the suite is not beside this project"
    exit 0
fi
[ -n "${1:-}" ] && only="$*" || only=
bases=${XDG_CACHE_HOME:-$HOME/.cache}/rbuild-conformance/bases
[ -f "$bases/busybox/index.json" ] || "$suite/bases/make" -o "$bases"

work=$(mktemp -d)
trap 'chmod -R u+rwX "$work" 2>/dev/null; rm -rf "$work"' EXIT
chmod 0755 "$work"
# An ordinary user may not look into our home or into the clone: everything is copied.
cp "$(.ci/binary release)" "$work/rbuild"
cp -r "$suite" "$work/suite"
cp -r "$bases" "$work/bases"
chmod -R u+w,a+rX "$work"
# The suite may have been handed on without symbolic links: a file with the link's text stands in
# the place of each. These are the links of its contexts.
for link in dir/link escape/link escape-up/link file/link star/link \
    inside/d/abs inside/d/dangling inside/d/rel inside/d/todir inside/d/up; do
    path=$work/suite/cases/copy-symlink-${link%%/*}/context/${link#*/}
    [ -L "$path" ] || { text=$(cat "$path"); rm "$path"; ln -s "$text" "$path"; }
done
known() { # file …
    cat "$@" | awk '!/^[#?]/ && NF {print $1}' | sort > "$work/known"
    cat "$@" | sed -n 's/^?\([^ ]*\).*/\1/p' | sort > "$work/races"
}
known tests/conformance.known

# One case lists `/` while its own shell may already have made the file that the list goes into: on
# a busy machine such a race is lost now and then. What fails is tried once more, alone.
failed() { # log
    grep '^FAIL ' "$1" | sed 's/^FAIL \([^:]*\):.*/\1/' | sort
}

judge() { # name, log
    failed "$2" > "$work/failed"
    tail -n 1 "$2" | grep -q '^[0-9]* passed, [0-9]* failed' || { echo "conformance ($1): the runner broke"; tail -n 20 "$2"; return 1; }
    if [ -z "$only" ]; then
        comm -13 "$work/known" "$work/failed" | comm -13 "$work/races" - > "$work/new"
        comm -23 "$work/known" "$work/failed" > "$work/healed"
        if [ -s "$work/new" ] || [ -s "$work/healed" ]; then
            echo "conformance ($1): failing without being listed:" $(cat "$work/new")
            echo "conformance ($1): listed as failing, but passing:" $(cat "$work/healed")
            return 1
        fi
    fi
    echo "conformance ($1): $(tail -n 1 "$2")"
}

PATH=$work:$PATH
export PATH
start=$(date +%s)
suite() {
    "$work/suite/run" --bases "$work/bases" --tmp "$work" "$@" > "$work/log" || true
}
suite $only
cat "$work/log"
again=$(failed "$work/log")
[ -z "$again" ] || { suite -j 1 $again; cat "$work/log"; }
judge "$(id -un)" "$work/log"
echo "conformance: $(( $(date +%s) - start )) s"

ordinary() { # name of the mode, user
    user=$2
    mkdir "$work/$user"
    chown "$user" "$work/$user"
    start=$(date +%s)
    # The runner cannot remove what belongs to subordinate ids (--keep): we do, at the end.
    suite() {
        setpriv --reuid "$user" --regid "$user" --clear-groups \
            env -i HOME="/home/$user" PATH="$work:/usr/local/bin:/usr/bin:/bin" \
            "$work/suite/run" --keep --bases "$work/bases" --tmp "$work/$user" "$@" \
            > "$work/log" || true
    }
    suite $only
    cat "$work/log"
    again=$(failed "$work/log")
    [ -z "$again" ] || { suite -j 1 $again; cat "$work/log"; }
    judge "$1" "$work/log"
    echo "conformance: $(( $(date +%s) - start )) s"
}

if [ "$(id -u)" = 0 ]; then
    for user in rbuild-suite rbuild-suite-one; do
        id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$user"
    done
    for file in /etc/subuid /etc/subgid; do
        grep -q "^rbuild-suite:" "$file" 2>/dev/null || echo "rbuild-suite:500000:65536" >> "$file"
        # Some systems give a range to every new user.
        sed -i '/^rbuild-suite-one:/d' "$file"
    done
    ordinary "ordinary user" rbuild-suite
    known tests/conformance.known tests/conformance.single
    ordinary "single id" rbuild-suite-one
fi
