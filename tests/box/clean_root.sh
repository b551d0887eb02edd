#!/bin/sh
# Installs pbxd in a clean Debian of its own, under that Debian's own systemd, and lives a whole life there:
#
#   make clean-root-test                  install, start, upgrade, roll back, back up, restore, remove
#   make clean-root-test WHAT=tests       `make test` as a whole, in the same kind of root
#   make clean-root-test WHAT="life tests"
#
#   TESTS    which tests (tests), such as tests/stories
#   WORK     where the root is made (var/clean-root); the Debian base in it is kept for the next time
#   KEEP=1   leaves the root there when all is done, to look into
#   DEBIAN   the archive (http://deb.debian.org/debian), SUITE the release (bookworm)
#
# Needs root, debootstrap and util-linux. The root has namespaces of its own for mounts, processes, network, hostname
# and control groups, and ends with this script: nothing of the host is changed, and ports of the host are not used.
# What the host knows of package registries (certificates, apt and pip settings) is copied in.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
SOURCE=$(cd "$HERE/../.." && pwd)
WORK=${WORK:-$SOURCE/var/clean-root}
WHAT=${WHAT:-life}
KEEP=${KEEP:-}
DEBIAN=${DEBIAN:-http://deb.debian.org/debian}
SUITE=${SUITE:-bookworm}
ROOT=$WORK/root
BASE=$WORK/base
GROUP=
INIT=

say() { echo "clean root: $*"; }
fail() { echo "clean root: $*" >&2; exit 1; }

# ---- the root

make_base() {
	if [ -e "$BASE/whole" ]; then return 0; fi
	rm -rf "$BASE"
	mkdir -p "$BASE"
	say "debootstrap $SUITE from $DEBIAN ..."
	debootstrap --variant=minbase --include=ca-certificates,git,make,python3,systemd "$SUITE" "$BASE/root" "$DEBIAN" \
		> "$WORK/debootstrap.log" 2>&1 || fail "debootstrap failed: see $WORK/debootstrap.log"
	touch "$BASE/whole"
}

# The file or folder $1 of the host, at the same place in the root.
bring() {
	if [ -e "$1" ]; then mkdir -p "$ROOT$(dirname "$1")" && rm -rf "${ROOT:?}$1" && cp -rL "$1" "$ROOT$1"; fi
}

# Package indexes that the host's pip reads from its own disk.
local_indexes() {
	{ /usr/bin/env python3 -m pip config list 2>/dev/null || true; env; } |
		sed -n "s/^[^=]*\(index-url\|INDEX_URL\|find-links\|FIND_LINKS\)='\{0,1\}\([^']*\)'\{0,1\}$/\2/p" |
		tr ' ' '\n' | sed -n 's|^\(file://\)\{0,1\}\(/.*\)$|\2|p' | sed 's|/simple/*$||' | sort -u
}

make_root() {
	rm -rf "$ROOT"
	cp -a "$BASE/root" "$ROOT"
	for file in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt /etc/pip.conf /root/.config/pip /root/.pip; do
		bring "$file"
	done
	for file in $(grep -lsiE 'proxy|acquire::' /etc/apt/apt.conf /etc/apt/apt.conf.d/* || true); do
		case $file in *docker*) ;; *) bring "$file" ;; esac
	done
	git clone -q "$SOURCE" "$ROOT/srv/pbxd"
	mkdir -p "$ROOT/srv/box"
	cp "$HERE"/*.sh "$HERE"/*.py "$ROOT/srv/box/"
	local_indexes > "$ROOT/srv/box/indexes"
	while read -r index; do mkdir -p "$ROOT$index"; done < "$ROOT/srv/box/indexes"
}

# ---- its life

boot() {
	GROUP=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -n "$GROUP" ] || fail "systemd needs control groups of version 2, and none are mounted here"
	GROUP=$GROUP/pbxd-clean-root.$$
	mkdir "$GROUP"
	GROUP=$GROUP ROOT=$ROOT setsid unshare --mount --pid --fork --net --ipc --uts \
		--propagation private sh "$HERE/boot.sh" > "$WORK/boot.log" 2>&1 &
	shell=$!
	waited=0
	until INIT=$(tr -d ' ' 2>/dev/null < "/proc/$shell/task/$shell/children") && [ -n "$INIT" ] &&
		[ "$(cat "/proc/$INIT/comm" 2>/dev/null)" = systemd ] && boxed systemctl is-active -q multi-user.target
	do
		waited=$((waited + 1))
		[ $waited -lt 60 ] || fail "systemd does not come up in the root: see $WORK/boot.log"
		[ -e "/proc/$shell" ] || fail "the root ended: see $WORK/boot.log"
		sleep 0.5
	done 2>> "$WORK/boot.log"
	say "$(boxed systemctl --version | head -1) runs in the root"
}

# A command inside, as root: `online` with the network of the host, for package registries, `boxed` with the root's own.
online() {
	nsenter --target "$INIT" --mount --pid --ipc --uts --cgroup --root --wd -- \
		env -C /srv/pbxd PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}
boxed() { online nsenter --net=/proc/1/ns/net -- "$@"; }

end() {
	status=$?
	trap - EXIT INT TERM
	if [ -n "$INIT" ]; then kill -KILL "$INIT" 2>/dev/null || true; fi
	wait 2>/dev/null || true
	if [ -n "$GROUP" ] && [ -d "$GROUP" ]; then find "$GROUP" -depth -type d -exec rmdir {} \; 2>/dev/null || true; fi
	if [ -z "$KEEP" ]; then rm -rf "$ROOT"; else say "kept: $ROOT"; fi
	if [ $status = 0 ]; then say "all is well"; else say "FAILED ($status)"; fi
	exit $status
}

live() {
	say "make install ..."
	online make install || fail "make install failed"
	boxed sh /srv/box/life.sh installed
	say "make upgrade to a newer release ..."
	online sh /srv/box/life.sh change newer
	online make upgrade || fail "make upgrade failed"
	boxed sh /srv/box/life.sh upgraded
	say "make upgrade to a release that does not start ..."
	online sh /srv/box/life.sh change broken
	if online make upgrade > "$WORK/undone.log" 2>&1; then fail "a release that does not start was taken for good"; fi
	cat "$WORK/undone.log"
	grep -q "the upgrade was undone" "$WORK/undone.log" || fail "nothing says that the upgrade was undone"
	boxed sh /srv/box/life.sh undone
	boxed sh /srv/box/life.sh gone_back
	boxed sh /srv/box/life.sh restored
	boxed sh /srv/box/life.sh hung
	online apt-get install -y -qq --no-install-recommends logrotate > "$WORK/logrotate.log" 2>&1 || fail "no logrotate"
	boxed sh /srv/box/life.sh logged
	say "make uninstall ..."
	boxed make uninstall || fail "make uninstall failed"
	boxed sh /srv/box/life.sh removed
	boxed make uninstall PURGE=1 || fail "make uninstall PURGE=1 failed"
	boxed sh /srv/box/life.sh purged
}

# As the manual says: nothing but git, make and python3, and one command. Then without the network of the host.
tests() {
	say "make setup-test ..."
	online make setup-test || fail "the set-up failed"
	say "make test ..."
	boxed make test TESTS="${TESTS:-tests}" || fail "make test failed"
}

# The shell reads a script as it goes: as a function it may be edited while it runs.
main() {
	[ "$(id -u)" = 0 ] || fail "this needs root"
	for tool in debootstrap unshare nsenter pivot_root ip git; do command -v $tool >/dev/null || fail "$tool is not installed"; done
	mkdir -p "$WORK"
	trap end EXIT
	trap 'exit 130' INT TERM
	make_base
	for part in $WHAT; do
		case $part in life | tests) ;; *) fail "WHAT is life, tests, or both" ;; esac
	done
	make_root
	boot
	for part in $WHAT; do
		case $part in life) live ;; tests) tests ;; esac
	done
}

main
exit
