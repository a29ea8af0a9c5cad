# SPDX-License-Identifier: GPL-2.0-or-later
# Shared by the setup scripts: where things are, and how to say what is wrong.
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$ROOT/build}
mkdir -p "$BUILD"

# The instruction set and code model of everything that is linked into the hypervisor.
HV_ARCH_FLAGS="-mno-red-zone -mcmodel=kernel -fno-pic -fno-pie -fno-stack-protector \
-fcf-protection=none -fno-omit-frame-pointer"

say()
{
	echo "setup: $*"
}

die()
{
	echo "setup: error: $*" >&2
	exit 1
}

# run LOG COMMAND...: the command's output goes to LOG; a failure shows its end.
run()
{
	log=$1
	shift
	"$@" >>"$log" 2>&1 || {
		tail -n 15 "$log" >&2
		die "'$*' failed; the whole output is in $log"
	}
}
