# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of stasisctl's command line: source it, or put it into /usr/share/bash-completion/completions as stasisctl.

# The experiment file: what -e says, else the environment, else the default.
_stasisctl_file()
{
	local i
	for ((i = 1; i + 1 < ${#COMP_WORDS[@]}; i++)); do
		case ${COMP_WORDS[i]} in
		-e | --experiment)
			# bash makes words of --experiment=FILE: the second one is =
			[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
			echo "${COMP_WORDS[i + 1]}"
			return
			;;
		-e?*) echo "${COMP_WORDS[i]#-e}"; return ;;
		esac
	done
	echo "${STASIS_EXPERIMENT:-experiment.conf}"
}

_stasisctl_nodes()
{
	sed -n 's/^[[:space:]]*node[[:space:]]\{1,\}\([^[:space:]#]*\)[[:space:]].*/\1/p' "$(_stasisctl_file)" 2>/dev/null
}

_stasisctl()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' i words=''
	local common='--experiment --json --progress --help --version'

	COMPREPLY=()
	case $before in
	-e | --experiment | =)
		word=${word#=}
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--at | --in | --for | --every | --count) return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-e | --experiment) [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++)); ((i++)) ;;
		-*) ;;
		*) command=${COMP_WORDS[i]}; break ;;
		esac
	done
	case $command in
	'') words="status freeze thaw time log console run $common" ;;
	freeze) words="--at --in --for --every --count --keep-going $common" ;;
	thaw) words="--at --in --force $common" ;;
	status | time) words="all $(_stasisctl_nodes) $common" ;;
	log) words="-f --follow all $(_stasisctl_nodes) $common" ;;
	console) words=$(_stasisctl_nodes) ;;
	run) ((COMP_CWORD == i + 1)) && words="all $(_stasisctl_nodes)" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _stasisctl stasisctl
