#!/bin/sh
# The first process of the clean root: gives $ROOT its own /proc, /dev, /run and control group $GROUP, makes it the root
# of everything, and becomes systemd. What of /proc and /sys belongs to the host is read-only.
set -eu
hostname clean-root
ip link set lo up
# An address and a way to nowhere: a machine that has a network, as pbxd sees it.
ip addr add 10.99.0.1/24 dev lo
ip route add default via 10.99.0.2 dev lo

mount --bind "$ROOT" "$ROOT"
while read -r index; do
	mount --bind "$index" "$ROOT$index" && mount -o remount,ro,bind "$ROOT$index"
done < "$ROOT/srv/box/indexes"
mount -t proc proc "$ROOT/proc"
mount --bind "$ROOT/proc/sys" "$ROOT/proc/sys" && mount -o remount,ro,bind "$ROOT/proc/sys"
mount -t sysfs -o ro sysfs "$ROOT/sys"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
for node in null zero full random urandom tty; do
	: > "$ROOT/dev/$node"
	mount --bind "/dev/$node" "$ROOT/dev/$node"
done
mkdir "$ROOT/dev/pts" "$ROOT/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$ROOT/dev/pts"
ln -s pts/ptmx "$ROOT/dev/ptmx"
ln -s /proc/self/fd "$ROOT/dev/fd"
ln -s /proc/self/fd/0 "$ROOT/dev/stdin"
ln -s /proc/self/fd/1 "$ROOT/dev/stdout"
ln -s /proc/self/fd/2 "$ROOT/dev/stderr"
mount -t tmpfs tmpfs "$ROOT/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/run"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
echo 0 > "$GROUP/cgroup.procs"
cd "$ROOT"
mkdir -p .host
# A control group namespace of its own, with the group above as its root; then the host's files are let go.
exec unshare --cgroup sh -eu -c '
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	pivot_root . .host
	cd /
	umount -l /.host
	rmdir /.host
	exec env -i container=clean-root PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system \
		--unit=multi-user.target --log-target=journal --show-status=no </dev/null'
