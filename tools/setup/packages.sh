#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# usage: packages.sh [LIST]   installs the Debian packages of LIST (default packages.txt). Does nothing, quickly, when all are there.
set -eu
dir=$(dirname "$0")
. "$dir/common.sh"

wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "${1:-$dir/packages.txt}")

# shellcheck disable=SC2086 # a list of words
missing()
{
	for p in $wanted; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
		[ "$status" = installed ] || echo "$p"
	done
}

command -v dpkg-query >/dev/null || die "this is not Debian (no dpkg-query): install by hand:" $wanted
need=$(missing)
[ -n "$need" ] || exit 0
[ "$(id -u)" = 0 ] || die "root is needed to install:" $need "(run 'make setup' as root once)"

say "installing" $need
export DEBIAN_FRONTEND=noninteractive
log=$BUILD/setup-packages.log
# Try the lists that are there first: an update is slow and often not needed.
if ! apt-get install -y --no-install-recommends $need >"$log" 2>&1; then
	apt-get update >"$log" 2>&1 || die "'apt-get update' failed; see $log"
	for p in $need; do
		apt-cache show "$p" >/dev/null 2>&1 ||
			die "no package '$p' in this machine's sources (Debian 12 is needed)"
	done
	apt-get install -y --no-install-recommends $need >"$log" 2>&1 ||
		die "'apt-get install' failed; see $log"
fi
need=$(missing)
[ -z "$need" ] || die "still not installed:" $need "; see $log"
