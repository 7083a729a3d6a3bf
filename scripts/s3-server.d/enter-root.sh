# Runs a command in a root directory: enter-root.sh ROOT FOLDER [NAME=VALUE...] COMMAND [ARG...]
# The root directory is read-only there, unless WRITABLE is set, and FOLDER is its /srv. Start it in a mount namespace and a process namespace
# of its own: then nobody else sees these mounts, and they go when it ends.
set -eu
root=$1
folder=$2
shift 2
mount --bind "$root" "$root"
[ -n "${WRITABLE:-}" ] || mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$folder" "$root/srv"
exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv LC_ALL=C "$@"
