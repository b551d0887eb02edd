#!/bin/sh
# Installs, upgrades and removes pbxd. Called by make: `sh systemd/install.sh install|upgrade|uninstall`.
#
#   DESTDIR      a root folder to work in: nothing outside it is touched, no user is made, systemd is not asked
#   PYTHON       the interpreter for the environment (/usr/bin/python3)
#   PIP_FLAGS    more words for `pip install`
#   SYSTEMCTL    what starts and stops the service (systemctl; with DESTDIR nothing)
#   PURGE=1      uninstall removes the configuration and the data too
#
# Each release lives in a directory of its own, named by the contents of its sources; `current` is the link to the one
# that runs. So an upgrade is one rename, and so is the way back. All steps may be repeated.
set -eu
umask 022

DESTDIR=${DESTDIR:-}
PYTHON=${PYTHON:-/usr/bin/python3}
PIP_FLAGS=${PIP_FLAGS:-}
PURGE=${PURGE:-}
if [ -n "$DESTDIR" ]; then SYSTEMCTL=${SYSTEMCTL:-}; else SYSTEMCTL=${SYSTEMCTL:-systemctl}; fi

SOURCE=$(cd "$(dirname "$0")/.." && pwd)
CODE=/opt/pbxd
CONFIG=/etc/pbxd
DATA=/var/lib/pbxd
BACKUPS=/var/lib/pbxd-backups
UNIT=/etc/systemd/system/pbxd.service
COMMAND=/usr/local/bin/pbxd
OWNER=pbxd
KEPT_RELEASES=3
KEPT_BACKUPS=5

say() { echo "pbxd: $*"; }
fail() { echo "pbxd: $*" >&2; exit 1; }
# Where systemd does not run (a chroot, an image being made) the service can be enabled, and that is all.
service() {
	if [ -z "$SYSTEMCTL" ]; then return 0; fi
	if [ "$SYSTEMCTL" = systemctl ] && [ ! -d /run/systemd/system ]; then
		case "$1" in enable | disable) systemctl --quiet "$1" pbxd ;; *) say "systemd does not run here: not done: $*" ;; esac
		return
	fi
	$SYSTEMCTL "$@"
}
installed() { [ -L "$DESTDIR$CODE/current" ]; }
# The installed command line, as it is called inside DESTDIR too.
pbxd() { "$DESTDIR$CODE/current/.venv/bin/python" -m pbxd "$@"; }

need_root() {
	if [ -z "$DESTDIR" ] && [ "$(id -u)" != 0 ]; then fail "this needs root: sudo make $1"; fi
}

sources() {
	cd "$SOURCE"
	find pbxd media dialplan -type f ! -path '*/__pycache__/*' ! -name '*.so' ! -name '*.o' ! -name _wire.c ! -name _modem.c
	find etc/grafana etc/prometheus etc/logrotate etc/dialplan -type f
	printf '%s\n' pyproject.toml setup.py README.md etc/pbxd.yaml etc/log-events.md
}

release_name() {
	( sources | LC_ALL=C sort | ( cd "$SOURCE" && xargs sha256sum ) | sha256sum | cut -c1-12 )
}

make_user() {
	if [ -n "$DESTDIR" ] || getent passwd $OWNER >/dev/null; then return 0; fi
	useradd --system --user-group --home-dir $DATA --no-create-home --shell /usr/sbin/nologin $OWNER
	say "made the user $OWNER"
}

own() { # MODE OWNER:GROUP PATH
	chmod "$1" "$DESTDIR$3"
	if [ -z "$DESTDIR" ]; then chown "$2" "$DESTDIR$3"; fi
}

make_directories() {
	mkdir -p "$DESTDIR$CODE/releases" "$DESTDIR$CONFIG" "$DESTDIR$DATA" "$DESTDIR$BACKUPS" \
		"$DESTDIR$(dirname $UNIT)" "$DESTDIR$(dirname $COMMAND)"
	own 0750 root:$OWNER $CONFIG
	own 0700 $OWNER:$OWNER $DATA
	own 0700 root:root $BACKUPS
}

# Builds the release $1 beside the others; it has its name only when it is whole.
build_release() {
	at="$DESTDIR$CODE/releases/$1"
	if [ -e "$at/whole" ]; then return 0; fi
	rm -rf "$at"
	mkdir -p "$at/source" "$at/etc"
	sources | ( cd "$SOURCE" && xargs cp --parents -t "$at/source" )
	( cd "$SOURCE/etc" && cp -r pbxd.yaml log-events.md grafana prometheus logrotate dialplan "$at/etc/" )
	cp "$SOURCE/README.md" "$at/"
	say "building release $1 ..."
	"$PYTHON" -m venv "$at/.venv"
	if [ -z "$PIP_FLAGS" ]; then
		"$at/.venv/bin/python" -m pip --disable-pip-version-check --no-input -q install "pip>=23" "setuptools>=77.0.3"
	fi
	# shellcheck disable=SC2086 # PIP_FLAGS is words
	"$at/.venv/bin/python" -m pip --disable-pip-version-check --no-input -q install $PIP_FLAGS "$at/source"
	rm -rf "$at/source"
	if [ -n "$DESTDIR" ]; then # the environment will run at its place, not at DESTDIR
		grep -rlI "$DESTDIR" "$at/.venv/bin" "$at/.venv/pyvenv.cfg" | xargs -r sed -i "s|$DESTDIR||g"
	fi
	touch "$at/whole"
}

switch_to() { # atomically
	ln -sfn "releases/$1" "$DESTDIR$CODE/current.new"
	mv -fT "$DESTDIR$CODE/current.new" "$DESTDIR$CODE/current"
}

# The unit and the command, which belong to the release that runs; configuration and flows only where there are none.
install_files() {
	install -m 0644 "$SOURCE/systemd/pbxd.service" "$DESTDIR$UNIT"
	ln -sfn "$CODE/current/.venv/bin/pbxd" "$DESTDIR$COMMAND"
	if [ ! -e "$DESTDIR$CONFIG/pbxd.yaml" ]; then
		sed "s|^data_dir:.*|data_dir: $DATA|" "$SOURCE/etc/pbxd.yaml" > "$DESTDIR$CONFIG/pbxd.yaml.new"
		mv "$DESTDIR$CONFIG/pbxd.yaml.new" "$DESTDIR$CONFIG/pbxd.yaml"
	fi
	own 0640 root:$OWNER $CONFIG/pbxd.yaml
	# The sample flows too, only where there is no dialplan: what the administrator has made of it stays.
	if [ ! -e "$DESTDIR$CONFIG/dialplan" ]; then
		rm -rf "$DESTDIR$CONFIG/dialplan.new"
		cp -r "$SOURCE/etc/dialplan" "$DESTDIR$CONFIG/dialplan.new"
		mv "$DESTDIR$CONFIG/dialplan.new" "$DESTDIR$CONFIG/dialplan"
		chmod 0640 "$DESTDIR$CONFIG"/dialplan/*
		if [ -z "$DESTDIR" ]; then chown -R root:$OWNER "$DESTDIR$CONFIG/dialplan"; fi
		own 0750 root:$OWNER $CONFIG/dialplan
	fi
}

install_pbxd() {
	need_root install
	release=$(release_name)
	if installed && [ "$(readlink "$DESTDIR$CODE/current")" != "releases/$release" ]; then
		fail "another release is installed: \`make upgrade\` backs up before, and goes back if it does not start"
	fi
	make_user
	make_directories
	build_release "$release"
	switch_to "$release"
	install_files
	service daemon-reload
	service enable pbxd
	say "installed release $release. Read $CONFIG/pbxd.yaml, then: systemctl start pbxd; pbxd doctor"
	say "the passwords of the first start are then in $DATA/card.txt"
}

go_back() { # OLD_RELEASE BACKUP WHY
	say "$3: going back to release $1" >&2
	service stop pbxd || true
	switch_to "$1"
	cp "$DESTDIR$CODE/unit.before" "$DESTDIR$UNIT"
	if [ -e "$2" ]; then pbxd restore --keep-config --config "$config" "$2"; fi
	service daemon-reload || true
	service start pbxd || fail "release $1 does not start either: see journalctl -u pbxd; the back-up is $2"
	fail "the upgrade was undone, release $1 runs again with the data of before; the reason is in journalctl -u pbxd"
}

upgrade_pbxd() {
	need_root upgrade
	installed || fail "pbxd is not installed: make install"
	config=${PBXD_CONFIG:-$DESTDIR$CONFIG/pbxd.yaml}
	old=$(basename "$(readlink "$DESTDIR$CODE/current")")
	release=$(release_name)
	if [ "$old" = "$release" ]; then say "release $release runs already"; return 0; fi
	make_directories
	build_release "$release"
	"$DESTDIR$CODE/releases/$release/.venv/bin/python" -m pbxd check --no-ports "$config" ||
		fail "the new release does not take this configuration; nothing was changed"
	backup="$DESTDIR$BACKUPS/before-$release-$(date -u +%Y%m%dT%H%M%SZ).tar"
	pbxd backup --config "$config" "$backup" || fail "no back-up, no upgrade; nothing was changed"
	cp "$DESTDIR$UNIT" "$DESTDIR$CODE/unit.before"
	switch_to "$release"
	install_files
	service daemon-reload
	# Type=notify: this returns when calls are answered, or with a failure.
	service restart pbxd || go_back "$old" "$backup" "release $release does not start"
	forget_old
	say "release $release runs; the back-up of before is $backup"
}

# Releases and back-ups of upgrades beyond those kept; the running release stays in any case.
forget_old() {
	now=$(basename "$(readlink "$DESTDIR$CODE/current")")
	( cd "$DESTDIR$CODE/releases" && ls -1t | grep -vx "$now" | tail -n +$KEPT_RELEASES | xargs -r rm -rf )
	( cd "$DESTDIR$BACKUPS" && ls -1t | tail -n +$((KEPT_BACKUPS + 1)) | xargs -r rm -f )
}

uninstall_pbxd() {
	need_root uninstall
	if [ -e "$DESTDIR$UNIT" ]; then service disable --now pbxd || true; fi
	rm -f "$DESTDIR$UNIT" "$DESTDIR$COMMAND"
	rm -rf "$DESTDIR$CODE"
	service daemon-reload || true
	if [ "$PURGE" = 1 ]; then
		rm -rf "$DESTDIR$CONFIG" "$DESTDIR$DATA" "$DESTDIR$DATA".before-* "$DESTDIR$BACKUPS"
		if [ -z "$DESTDIR" ] && getent passwd $OWNER >/dev/null; then userdel $OWNER; fi
		say "removed, with its configuration and data"
	else
		say "removed; $CONFIG, $DATA, $BACKUPS and the user stay (PURGE=1 removes them)"
	fi
}

case "${1:-}" in
install) install_pbxd ;;
upgrade) upgrade_pbxd ;;
uninstall) uninstall_pbxd ;;
*) fail "install.sh install|upgrade|uninstall" ;;
esac
