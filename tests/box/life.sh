#!/bin/sh
# What must be so in the clean root at each moment of the life of an installed pbxd. Runs inside it; the first thing
# that is not so ends it with a sentence.
#
#   life.sh change newer|broken    the sources become those of another release
#   life.sh installed|upgraded|undone|gone_back|restored|hung|logged|removed|purged
set -eu

DATA=/var/lib/pbxd
CONFIG=/etc/pbxd
SEEN=/srv/box/seen
NUMBER=1001
mkdir -p $SEEN

ok() { echo "  ok    $*"; }
fail() {
	echo "  FAIL  $*" >&2
	journalctl --no-pager -q -u pbxd -n 20 >&2 || true
	exit 1
}
is() { # WHAT EXPECTED FOUND
	[ "$2" = "$3" ] || fail "$1: expected $2, found $3"
	ok "$1: $3"
}
must() { # WHAT COMMAND...
	what=$1
	shift
	"$@" > $SEEN/output 2>&1 || { cat $SEEN/output >&2; fail "$what"; }
	ok "$what"
}
release() { basename "$(readlink /opt/pbxd/current)"; }
main_pid() { systemctl show -P MainPID pbxd; }
of_status() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$(main_pid)/status"; }
phone() { python3 /srv/box/phone.py 127.0.0.1 5060 $NUMBER "$(cat $SEEN/password)"; }

running() {
	is "the unit" active "$(systemctl is-active pbxd)"
	is "its user" pbxd "$(stat -c %U "/proc/$(main_pid)")"
	is "/health/ready" 200 "$(python3 /srv/box/phone.py --ready)"
	is "REGISTER of $NUMBER with its password" 200 "$(phone)"
}

sandboxed() {
	pid=$(main_pid)
	is "no new privileges" 1 "$(of_status NoNewPrivs)"
	is "seccomp filter" 2 "$(of_status Seccomp)"
	is "capabilities: net_bind_service and sys_nice" 0000000000800400 "$(of_status CapEff)"
	is "capability bounding set" 0000000000800400 "$(of_status CapBnd)"
	most=$(awk '/^Max open files/ { print $5 }' /proc/1/limits) # what the host lets systemd itself have
	is "open files" "$((most < 65536 ? most : 65536))" "$(awk '/^Max open files/ { print $4 }' "/proc/$pid/limits")"
	inside="nsenter --target $pid --mount"
	for path in /etc/passwd /usr/bin/env /opt/pbxd/current/etc/pbxd.yaml; do
		if $inside sh -c ": >> $path" 2>/dev/null; then fail "$path can be written by the service"; fi
	done
	ok "the system is read-only to it"
	must "its data is not" $inside sh -c ": >> $DATA/probe && rm $DATA/probe"
	touch /tmp/of-the-host
	if $inside test -e /tmp/of-the-host; then fail "it sees the /tmp of others"; fi
	if $inside sh -c ": > /dev/probe" 2>/dev/null; then fail "it sees the /dev of others"; fi
	ok "/tmp and /dev are its own"
	score=$(systemd-analyze security --no-pager pbxd | sed -n 's/.*exposure level for pbxd.service: //p')
	case $score in *OK* | *SAFE* | *PERFECT*) ok "systemd-analyze security: $score" ;; *) fail "exposure: $score" ;; esac
	for task in "/proc/$pid/task/"*; do
		if [ "$(cat "$task/comm")" = wire ]; then is "the wire thread's scheduling (2 is SCHED_RR)" 2 "$(policy "$task")"; fi
	done
}
policy() { python3 -c 'import os, sys; print(os.sched_getscheduler(int(sys.argv[1])))' "$(basename "$1")"; }

change() {
	cd /srv/pbxd
	case $1 in
	newer) echo "# A newer release." >> pbxd/ids.py ;;
	broken) printf '\nraise SystemExit("this release is broken on purpose")\n' >> pbxd/daemon.py ;;
	*) fail "change newer|broken" ;;
	esac
	git -c user.name=box -c user.email=box@example.invalid commit -qam "$1"
}

installed() {
	must "systemctl start pbxd" systemctl start pbxd
	sed -n "s/^  $NUMBER  *//p" $DATA/card.txt > $SEEN/password
	[ -s $SEEN/password ] || fail "the card does not name $NUMBER"
	running
	sandboxed
	is "mode of the data" "700 pbxd" "$(stat -c '%a %U' $DATA)"
	is "mode of the configuration" "640 root pbxd" "$(stat -c '%a %U %G' $CONFIG/pbxd.yaml)"
	is "enabled at boot" enabled "$(systemctl is-enabled pbxd)"
	must "pbxd phones" pbxd phones
	pbxd doctor > $SEEN/doctor || true
	sed 's/^/        /' $SEEN/doctor
	if grep '^FAIL' $SEEN/doctor; then fail "the doctor finds problems"; fi
	before=$(main_pid)
	must "systemctl reload pbxd" systemctl reload pbxd
	is "the process after a reload" "$before" "$(main_pid)"
	release > $SEEN/release
	release > $SEEN/first
}

upgraded() {
	[ "$(release)" != "$(cat $SEEN/release)" ] || fail "the release did not change"
	ok "release $(cat $SEEN/release) became $(release)"
	running
	is "back-ups" 1 "$(find $DATA-backups -name '*.tar' | wc -l)"
	is "the unit is still enabled" enabled "$(systemctl is-enabled pbxd)"
	release > $SEEN/release
}

undone() {
	is "the release is the one of before" "$(cat $SEEN/release)" "$(release)"
	running
	is "back-ups" 2 "$(find $DATA-backups -name '*.tar' | wc -l)"
	journalctl --no-pager -q -u pbxd | grep -q "broken on purpose" || fail "the journal does not say why it failed"
	ok "the journal says why the other one failed"
}

# As README has it: back to the first release, with the data of before the upgrade, and forward again.
gone_back() {
	newer=$(release)
	must "systemctl stop pbxd" systemctl stop pbxd
	ln -sfn "releases/$(cat $SEEN/first)" /opt/pbxd/current
	must "pbxd restore of what was before the upgrade" \
		pbxd restore --keep-config "$(ls $DATA-backups/before-"$newer"-*.tar)"
	must "systemctl start pbxd" systemctl start pbxd
	is "the release" "$(cat $SEEN/first)" "$(release)"
	running
	ln -sfn "releases/$newer" /opt/pbxd/current
	must "systemctl restart pbxd" systemctl restart pbxd
	running
}

restored() {
	must "pbxd backup while it runs" pbxd backup /root/house.tar
	pbxd phones rotate $NUMBER > /dev/null
	[ "$(phone)" != 200 ] || fail "the old password is good after a rotation"
	ok "the old password is no good after a rotation"
	journalctl -q -u pbxd -p warning -o cat | grep -q '^{.*"event":"phone refused"' || fail "no warning in the journal"
	if journalctl -q -u pbxd -p warning -o cat | grep -q '"level":"info"'; then fail "an info line is a warning to it"; fi
	ok "the journal knows warnings by their priority"
	if pbxd restore /root/house.tar > $SEEN/output 2>&1; then fail "a restore under a running daemon was let through"; fi
	ok "a restore under a running daemon is refused: $(head -1 $SEEN/output)"
	must "systemctl stop pbxd" systemctl stop pbxd
	must "pbxd restore" pbxd restore /root/house.tar
	must "systemctl start pbxd" systemctl start pbxd
	running
}

hung() {
	before=$(main_pid)
	kill -STOP "$before"
	waited=0
	while [ "$(main_pid)" = "$before" ] || [ "$(systemctl is-active pbxd)" != active ]; do
		waited=$((waited + 1))
		[ $waited -lt 60 ] || fail "the watchdog did not end a daemon that stands still"
		sleep 1
	done
	ok "the watchdog replaced a daemon that stood still, within $waited s"
	running
}

# As README, "The log", has it.
logged() {
	mkdir -p /etc/systemd/system/pbxd.service.d /var/log/pbxd
	printf '[Service]\nStandardError=append:/var/log/pbxd/pbxd.log\n' \
		> /etc/systemd/system/pbxd.service.d/log.conf
	cp /opt/pbxd/current/etc/logrotate/pbxd /etc/logrotate.d/
	systemctl daemon-reload
	must "systemctl restart pbxd with a log file" systemctl restart pbxd
	running
	must "logrotate" logrotate --force /etc/logrotate.d/pbxd
	grep -q '"event":"ready"' /var/log/pbxd/pbxd.log.1 || fail "the old log is not in pbxd.log.1"
	phone > /dev/null
	waited=0
	until grep -q '"event":"phone registered"' /var/log/pbxd/pbxd.log; do
		waited=$((waited + 1))
		[ $waited -lt 50 ] || fail "nothing is written to the new log"
		sleep 0.1
	done
	is "sign at the start of the new log" "{" "$(head -c 1 /var/log/pbxd/pbxd.log)"
	rm -r /etc/systemd/system/pbxd.service.d /etc/logrotate.d/pbxd /var/log/pbxd
	systemctl daemon-reload
}

removed() {
	for path in /opt/pbxd /usr/local/bin/pbxd /etc/systemd/system/pbxd.service; do
		[ ! -e "$path" ] || fail "$path is still there"
	done
	if systemctl is-active -q pbxd; then fail "it still runs"; fi
	for path in $CONFIG/pbxd.yaml $DATA/pbxd.db $DATA/secret $DATA-backups; do
		[ -e "$path" ] || fail "$path is gone"
	done
	ok "code, command and unit are gone; configuration and data stay"
}

purged() {
	for path in $CONFIG $DATA $DATA-backups; do [ ! -e "$path" ] || fail "$path is still there"; done
	if getent passwd pbxd > /dev/null; then fail "the user is still there"; fi
	is "what is left of it" "" "$(find / -xdev -name '*pbxd*' ! -path '/srv/*' ! -path '/proc/*' ! -path '/var/log/*' \
		! -path '/root/.cache/*' ! -path '/tmp/systemd-private-*' ! -path '/var/tmp/systemd-private-*')"
}

case "${1:-}" in
change | installed | upgraded | undone | gone_back | restored | hung | logged | removed | purged) "$@" ;;
*) fail "life.sh change|installed|upgraded|undone|gone_back|restored|hung|logged|removed|purged" ;;
esac
