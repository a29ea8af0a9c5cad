#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A private apt under build/apt: the machine's own sources, as deb and deb-src. The system's lists are not touched.
# usage: apt-private.sh source PACKAGE DIR     unpack a source package as DIR
#        apt-private.sh binary PACKAGE DIR     unpack a binary package's files into DIR, not installed
#        apt-private.sh depends PACKAGE PREFIX print the first package that PACKAGE depends on whose name begins so
set -eu
. "$(dirname "$0")/common.sh"

APT=$BUILD/apt
LOG=$BUILD/setup-apt.log

# Both formats of the system's lists; only entries for this release (others' repositories rarely have sources).
write_sources()
{
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	[ -n "$codename" ] || die "no VERSION_CODENAME in /etc/os-release (Debian 12 is needed)"
	mkdir -p "$APT/sources" "$APT/lists/partial" "$APT/cache/archives/partial"
	rm -f "$APT"/sources/*
	: >"$APT/empty"
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -e "$f" ] || continue
		awk -v RS= -v ORS='\n\n' -v c="$codename" '
			$0 ~ ("(^|\n)Suites:[^\n]*[ \t]" c) && $0 !~ /(^|\n)Enabled:[ \t]*no/ {
				sub(/Types:[^\n]*/, "Types: deb deb-src"); print }' \
			"$f" >"$APT/sources/$(basename "$f")"
	done
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -e "$f" ] || continue
		awk -v c="$codename" '$1 == "deb" && $0 ~ ("[ \t]" c) {
			print; sub(/deb/, "deb-src"); print }' \
			"$f" >"$APT/sources/$(basename "$f")"
	done
	cat "$APT"/sources/* 2>/dev/null | grep -q deb-src ||
		die "no apt source for $codename in /etc/apt/sources.list or /etc/apt/sources.list.d"
}

private()
{
	command=$1
	shift
	"$command" -q -o "Dir::Etc::sourcelist=$APT/empty" -o "Dir::Etc::sourceparts=$APT/sources" \
		-o "Dir::State::lists=$APT/lists" -o "Dir::Cache=$APT/cache" \
		-o APT::Sandbox::User=root -o APT::Get::List-Cleanup=0 "$@"
}

update()
{
	[ -e "$APT/updated" ] && return
	command -v apt-get >/dev/null || die "this is not Debian (no apt-get)"
	write_sources
	say "reading the package lists" >&2
	private apt-get update >>"$LOG" 2>&1 || {
		grep '^E:' "$LOG" | head -n 3 >&2
		die "cannot read the package lists (is there a network?); see $LOG"
	}
	touch "$APT/updated"
}

# A list read some days ago may name versions that are gone: read it once more before giving up.
fetch()
{
	private "$@" >>"$LOG" 2>&1 && return
	rm -f "$APT/updated"
	update
	private "$@" >>"$LOG" 2>&1 || {
		tail -n 3 "$LOG" >&2
		die "cannot fetch: $*; see $LOG"
	}
}

# unpack source|binary PACKAGE DIR. The old DIR stays in use until the new one is complete.
unpack()
{
	rm -rf "$3.tmp"
	mkdir -p "$3.tmp"
	cd "$3.tmp"
	say "fetching $2"
	if [ "$1" = source ]; then
		fetch apt-get source --download-only --only-source "$2"
		run "$LOG" dpkg-source --no-check -x ./*.dsc "$3.tmp/out" # apt has checked the hashes
	else
		fetch apt-get download "$2"
		run "$LOG" dpkg-deb -x ./*.deb "$3.tmp/out"
	fi
	rm -rf "$3"
	mv "$3.tmp/out" "$3"
	cd "$3"
	rm -rf "$3.tmp"
}

[ $# = 3 ] || die "usage: apt-private.sh source|binary|depends PACKAGE DIR|PREFIX"
: >"$LOG"
update
case $1 in
source | binary)
	unpack "$@"
	;;
depends)
	private apt-cache show --no-all-versions "$2" 2>>"$LOG" |
		sed -n 's/^Depends: //p' | tr ', ' '\n\n' | grep "^$3" | head -n 1
	;;
*)
	die "unknown command '$1': source, binary or depends"
	;;
esac
