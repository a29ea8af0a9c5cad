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

# archive FILE DIRECTORY COMPILER-AND-FLAGS...: the library FILE of $SOURCES, which are names in DIRECTORY without .c; what is said goes to $LOG.
archive()
{
	file=$1 from=$2
	shift 2
	rm -rf "$file" "$file.obj"
	mkdir -p "$file.obj"
	for s in $SOURCES; do
		run "$LOG" "$@" -c "$from/$s.c" -o "$file.obj/$(basename "$s").o"
	done
	run "$LOG" ar rcs "$file" "$file.obj"/*.o
	rm -rf "$file.obj"
}

# without_sse FILE: the hypervisor's libraries leave the guest's vector registers alone.
without_sse()
{
	if objdump -d "$1" | grep -qE '%(x|y|z)mm|%st'; then
		die "${1#"$ROOT/"} uses SSE or x87 registers"
	fi
}
