// SPDX-License-Identifier: GPL-2.0-or-later
/* stasisctl: the operator's hand on the nodes of an experiment. docs/stasisctl.1 is its manual. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/duration.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/ctl.h"

#define YEAR_NS	      ((uint64_t)365 * 86400 * NSEC_PER_SEC)
#define DEFAULT_FILE  "experiment.conf"
#define FILE_VARIABLE "STASIS_EXPERIMENT"

static const char usage[] =
	"usage: stasisctl [-e FILE] COMMAND [ARGUMENT...] [OPTION...]\n"
	"\n"
	"  status [NODES]           what the nodes do\n"
	"  freeze                   all nodes stop as one, until thaw\n"
	"    --for D                thaw by themselves after D\n"
	"    --at T | --in D        when; default: as soon as all can be told\n"
	"    --every P [--count N]  again and again, P from one to the next (needs --for)\n"
	"    --keep-going           a series does not end when an epoch fails\n"
	"  thaw [--at T | --in D]   all frozen nodes go on as one\n"
	"    --force                without those that don't acknowledge\n"
	"  time [NODES]             the shared time, and how far each node is from it\n"
	"  log [-f] [NODES]         the nodes' logs; -f: and what comes into them\n"
	"  console NODE             the guest's console; Ctrl-] leaves it\n"
	"  run NODES COMMAND...     a command of the nodes' prompt\n"
	"\n"
	"NODES: a name, several with commas in between, or all. D, P: 200ms, 1.5s, 1h. T: ns of "
	"shared\n"
	"time, or the wall clock's [YYYY-MM-DD ]HH:MM[:SS[.FRACTION]][Z].\n"
	"\n"
	"  -e, --experiment FILE    default: $" FILE_VARIABLE ", or " DEFAULT_FILE "\n"
	"  --json                   for programs: one JSON object a line\n"
	"  --progress               progress on stderr even if that is no terminal\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 clean, 1 failed or aborted, 2 usage, 3 late, 4 partial.\n";

struct options options;

enum {
	AT = 256,
	IN,
	FOR,
	EVERY,
	COUNT,
	FORCE,
	KEEP_GOING,
	JSON,
	PROGRESS,
	HELP,
	VERSION,
};

static const struct option long_options[] = {
	{"experiment", required_argument, NULL, 'e'},  {"follow", no_argument, NULL, 'f'},
	{"at", required_argument, NULL, AT},	       {"in", required_argument, NULL, IN},
	{"for", required_argument, NULL, FOR},	       {"every", required_argument, NULL, EVERY},
	{"count", required_argument, NULL, COUNT},     {"force", no_argument, NULL, FORCE},
	{"keep-going", no_argument, NULL, KEEP_GOING}, {"json", no_argument, NULL, JSON},
	{"progress", no_argument, NULL, PROGRESS},     {"help", no_argument, NULL, HELP},
	{"version", no_argument, NULL, VERSION},       {0},
};

#define BIT(option) (1u << ((option)-AT))
#define FOLLOW	    (1u << 31)

static const struct command {
	const char *name;
	int (*run)(void);
	unsigned allowed; /* options that not all take */
	int arguments;	  /* at most; -1: any number */
} commands[] = {
	{"status", command_status, 0, 1},
	{"freeze", command_freeze,
	 BIT(AT) | BIT(IN) | BIT(FOR) | BIT(EVERY) | BIT(COUNT) | BIT(KEEP_GOING), 0},
	{"thaw", command_thaw, BIT(AT) | BIT(IN) | BIT(FORCE), 0},
	{"time", command_time, 0, 1},
	{"log", command_log, FOLLOW, 1},
	{"console", command_console, 0, 1},
	{"run", command_run, 0, -1},
};

static unsigned given; /* of those options */

static uint64_t duration(const char *option, const char *text)
{
	uint64_t ns;

	if (duration_parse(text, &ns) != 0 || ns > YEAR_NS)
		die_usage("%s takes a number with a unit (" DURATION_UNITS
			  "), as in 200ms or 1.5s, up to a year",
			  option);
	return ns;
}

static uint64_t number(const char *option, const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || n == 0)
		die_usage("%s takes a number from 1", option);
	return n;
}

static void take_time_option(int option)
{
	switch (option) {
	case AT:
		if (when_parse(optarg, time(NULL), &options.at) != 0)
			die_usage("--at takes ns of shared time (16 digits or more), or the wall "
				  "clock's [YYYY-MM-DD ]HH:MM[:SS[.FRACTION]][Z]");
		options.has_at = true;
		break;
	case IN:
		options.in = duration("--in", optarg);
		options.has_in = true;
		break;
	case FOR:
		options.hold = duration("--for", optarg);
		options.has_for = true;
		break;
	case EVERY:
		options.every = duration("--every", optarg);
		options.has_every = true;
		break;
	default:
		options.count = number("--count", optarg);
	}
}

/* word: as it was typed. */
static void take_option(int option, const char *word)
{
	if (option >= AT && option <= KEEP_GOING)
		given |= BIT(option);
	switch (option) {
	case 'e':
		options.file = optarg;
		break;
	case 'f':
		given |= FOLLOW;
		options.follow = true;
		break;
	case FORCE:
		options.force = true;
		break;
	case KEEP_GOING:
		options.keep_going = true;
		break;
	case JSON:
		options.json = true;
		break;
	case PROGRESS:
		options.progress = true;
		break;
	case HELP:
		(void)fputs(usage, stdout);
		exit(EXIT_CLEAN);
	case VERSION:
		(void)printf("stasisctl, JSON version %d\n", CTL_JSON_VERSION);
		exit(EXIT_CLEAN);
	case ':':
		die_usage("%s takes an argument: see 'stasisctl --help'", word);
	case '?':
		die_usage("there is no option %s: 'stasisctl --help' lists them", word);
	default:
		take_time_option(option);
	}
}

/* What stands behind `run NODES COMMAND` belongs to that command: the '+' in run's case. */
static void take_options(int argc, char **argv, const char *letters)
{
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
		const char letter[] = {'-', (char)optopt, 0};
		bool is_letter = optopt > 0 && optopt < AT;

		take_option(option, is_letter ? letter : argv[optind - 1]);
	}
}

/* A mistake in front of it is told as JSON, too. */
static bool wants_json(char **argv)
{
	for (; *argv && strcmp(*argv, "run") != 0 && strcmp(*argv, "--") != 0; argv++)
		if (strcmp(*argv, "--json") == 0)
			return true;
	return false;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	die_usage("there is no command '%s': 'stasisctl --help' lists them", name);
}

static const struct command *parse(int argc, char **argv)
{
	const struct command *c;

	options.json = wants_json(argv);
	options.file = getenv(FILE_VARIABLE);
	take_options(argc, argv, "+:e:f");
	if (optind == argc) {
		(void)fputs(usage, stderr);
		exit(EXIT_USAGE);
	}
	c = find_command(argv[optind]);
	argc -= optind;
	argv += optind;
	optind = 0; /* glibc: begin anew */
	take_options(argc, argv, c->arguments < 0 ? "+:e:f" : ":e:f");
	options.argc = argc - optind;
	options.argv = argv + optind;
	if (given & ~c->allowed)
		die_usage("%s does not take that option: see 'stasisctl --help'", c->name);
	if (c->arguments >= 0 && options.argc > c->arguments)
		die_usage("%s takes no more than %d argument: see 'stasisctl --help'", c->name,
			  c->arguments);
	if (options.has_at && options.has_in)
		die_usage("--at and --in: one of them");
	if (!options.file)
		options.file = DEFAULT_FILE;
	return c;
}

int main(int argc, char **argv)
{
	json_set_alloc_funcs(allocate, free);
	return parse(argc, argv)->run();
}
