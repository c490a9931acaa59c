#!/bin/sh
# Runs a command as an ordinary user although its files lie below folders that are closed to others.
#
#   unshare --mount --propagation private sh as_user.sh UID PATH... -- COMMAND...
#
# Over the uppermost closed folder above each PATH an empty one is mounted, and in it PATH again.
# To be started as root, in a mount namespace of its own.
set -eu

uid=$1
shift
paths=
while [ "$1" != -- ]; do
    paths="$paths $1"
    shift
done
shift

closed_above() {
    found=
    place=$(dirname "$1")
    while [ "$place" != / ]; do
        [ -n "$(find "$place" -maxdepth 0 -perm -o=x)" ] || found=$place
        place=$(dirname "$place")
    done
    echo "$found"
}

mount -t tmpfs -o mode=0755 none /mnt
number=0
covered=
for path in $paths; do
    closed=$(closed_above "$path")
    [ -n "$closed" ] || continue
    number=$((number + 1))
    mkdir "/mnt/$number"
    mount --rbind "$path" "/mnt/$number"
    echo "$path" >"/mnt/$number.path"
    case " $covered " in *" $closed "*) ;; *) covered="$covered $closed" ;; esac
done
for closed in $covered; do
    mount -t tmpfs -o mode=0755 none "$closed"
done
while [ "$number" -gt 0 ]; do
    path=$(cat "/mnt/$number.path")
    mkdir -p "$path"
    mount --rbind "/mnt/$number" "$path"
    number=$((number - 1))
done
umount -R -l /mnt
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
