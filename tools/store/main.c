// SPDX-License-Identifier: GPL-2.0-or-later
/* stasis-store: the branching store, from the operator's side. docs/stasis-store.1 is its manual.
 */
#include <ctype.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "storage/store_format.h"
#include "storage/gpt.h"
#include "tools/store/tool.h"

static const char usage[] =
	"usage: stasis-store COMMAND STORE [ARGUMENT] [OPTION...]\n"
	"\n"
	"  info STORE                  what it is, and its space\n"
	"  tree STORE                  sealed points, and the open delta\n"
	"  check STORE                 verify everything\n"
	"  compact STORE               reclaim hidden data, give free space back\n"
	"  export STORE FILE           a branch as an image file (needs --golden)\n"
	"  import STORE FILE           an image file as a new point (needs --golden, --point)\n"
	"  seal STORE NAME             the open delta becomes a point\n"
	"  rollback STORE NAME         drop the open delta, or --keep it; a new one on that point\n"
	"  merge STORE NAME            the point becomes part of its only child\n"
	"  free STORE                  drop what the guest's ext4 says is free (needs --golden)\n"
	"  hash STORE                  SHA-256 of the golden image, against the one kept (needs "
	"--golden)\n"
	"  format STORE                a new, empty store (needs --golden)\n"
	"\n"
	"STORE is a file or block device, or FILE:OFFSET in bytes (K, M, G, T: units of 1024).\n"
	"\n"
	"  --golden FILE     the golden image (raw); where it is not needed, it is compared\n"
	"  --point NAME      export: this sealed point, not the open delta; import: the new one's "
	"name\n"
	"  --format FORMAT   export: qcow2 (default) or raw; import: the file's format, if not to "
	"be found out\n"
	"  --chain           export: a qcow2 for each delta, not one for all\n"
	"  --onto NAME       import: as a branch of this point; default: of the golden image\n"
	"  --keep NAME       import, rollback: seal what the open delta holds under this name\n"
	"  --drop            import: what the open delta holds is not needed\n"
	"  --partition N     free: the file system is in this partition of the guest's disk\n"
	"  --update          hash: keep the hash in the store\n"
	"  --offset BYTES, --length BYTES    where in the file the store is, if not in the only\n"
	"                                    GPT partition of a store's type, or all of it\n"
	"  --force           export: replace the file; format: replace a store\n"
	"  --json            info, tree, check, hash: for programs\n"
	"  --progress        check, export, import, free, hash: a bar even if stderr is no "
	"terminal\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 done, 1 something is damaged or another image, 2 it could not be done.\n";

static bool json_errors; /* --json: what goes wrong is said on stdout, too */

__attribute__((format(printf, 1, 0))) static void say(const char *f, va_list ap)
{
	(void)fputs("stasis-store: ", stderr);
	(void)vfprintf(stderr, f, ap);
	(void)fputc('\n', stderr);
}

static void say_json(const char *f, va_list ap)
{
	char what[1024];

	(void)vsnprintf(what, sizeof(what), f, ap);
	print_json(json_pack("{s:o}", "error", json_text(what)));
}

void die(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	say(f, ap);
	va_end(ap);
	if (json_errors) {
		va_start(ap, f);
		say_json(f, ap);
		va_end(ap);
	}
	exit(EXIT_TROUBLE);
}

void warn(const char *f, ...)
{
	va_list ap;

	va_start(ap, f);
	say(f, ap);
	va_end(ap);
}

void *allocate(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (!p)
		die("out of memory");
	return p;
}

/* --- numbers --- */

static uint64_t number(const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	uint64_t n;
	const char *unit;

	errno = 0;
	n = strtoull(text, &end, 0);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		unsigned shift = 10 * (unsigned)(unit - units + 1);

		if (n > UINT64_MAX >> shift)
			errno = ERANGE;
		n <<= shift;
		end++;
	}
	if (errno || *end || !isdigit((unsigned char)*text))
		die("'%s' is no number of bytes (such as 1048576 or 1M)", text);
	return n;
}

static uint64_t whole_sectors(const char *what, const char *text)
{
	uint64_t n = number(text);

	if (n % SECTOR_SIZE)
		die("the %s %s is no multiple of 512: a store lies in whole sectors", what, text);
	return n;
}

static unsigned partition_number(const char *text)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*text) || n == 0 || n > UINT32_MAX)
		die("'%s' is no partition's number: they count from 1; without --partition the "
		    "whole disk is taken",
		    text);
	return (unsigned)n;
}

/* --- options --- */

enum {
	GOLDEN,
	POINT,
	FORMAT,
	CHAIN,
	ONTO,
	KEEP,
	DROP,
	PARTITION,
	UPDATE,
	OFFSET,
	LENGTH,
	FORCE,
	JSON,
	PROGRESS,
	HELP,
	VERSION,
	OPTIONS
};

static const struct option long_options[] = {
	{"golden", required_argument, NULL, GOLDEN},
	{"point", required_argument, NULL, POINT},
	{"format", required_argument, NULL, FORMAT},
	{"chain", no_argument, NULL, CHAIN},
	{"onto", required_argument, NULL, ONTO},
	{"keep", required_argument, NULL, KEEP},
	{"drop", no_argument, NULL, DROP},
	{"partition", required_argument, NULL, PARTITION},
	{"update", no_argument, NULL, UPDATE},
	{"offset", required_argument, NULL, OFFSET},
	{"length", required_argument, NULL, LENGTH},
	{"force", no_argument, NULL, FORCE},
	{"json", no_argument, NULL, JSON},
	{"progress", no_argument, NULL, PROGRESS},
	{"help", no_argument, NULL, HELP},
	{"version", no_argument, NULL, VERSION},
	{0},
};

#define BIT(option) (1u << (option))
#define EVERYWHERE  (BIT(GOLDEN) | BIT(OFFSET) | BIT(LENGTH))

struct command {
	const char *name;
	int (*run)(struct session *x);
	const char *argument; /* behind STORE; NULL: none */
	unsigned allowed;     /* options, besides those that all take */
	bool change;	      /* else the store is only looked at */
	bool golden;	      /* is needed */
	bool opens;	      /* the command opens the store itself */
};

static const struct command commands[] = {
	{"info", command_info, NULL, BIT(JSON), false, false, false},
	{"tree", command_tree, NULL, BIT(JSON), false, false, false},
	{"check", command_check, NULL, BIT(JSON) | BIT(PROGRESS), false, false, true},
	{"compact", command_compact, NULL, 0, true, false, false},
	{"export", command_export, "a file",
	 BIT(POINT) | BIT(FORMAT) | BIT(CHAIN) | BIT(FORCE) | BIT(PROGRESS), false, true, false},
	{"import", command_import, "a file",
	 BIT(POINT) | BIT(FORMAT) | BIT(ONTO) | BIT(KEEP) | BIT(DROP) | BIT(PROGRESS), true, true,
	 false},
	{"seal", command_seal, "a name", 0, true, false, false},
	{"rollback", command_rollback, "a name", BIT(KEEP), true, false, false},
	{"merge", command_merge, "a name", 0, true, false, false},
	{"free", command_free, NULL, BIT(PARTITION) | BIT(PROGRESS), true, true, false},
	{"hash", command_hash, NULL, BIT(UPDATE) | BIT(JSON) | BIT(PROGRESS), false, true, false},
	{"format", command_format, NULL, BIT(FORCE), true, true, true},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	die("there is no command '%s': 'stasis-store --help' lists them", name);
}

struct given {
	unsigned options;
	const char *value[OPTIONS];
};

/* All are looked at before anything is said: --json may be the last. */
static void take_options(struct given *g, int argc, char **argv)
{
	int option;
	bool wrong = false;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == '?') {
			wrong = true;
			continue;
		}
		g->options |= BIT(option);
		g->value[option] = optarg;
	}
	json_errors = g->options & BIT(JSON);
	if (g->options & BIT(HELP)) {
		(void)fputs(usage, stdout);
		exit(EXIT_OK);
	}
	if (g->options & BIT(VERSION)) {
		printf("stasis-store, store format version %d, JSON version %d\n", STORE_VERSION,
		       STORE_JSON_VERSION);
		exit(EXIT_OK);
	}
	if (wrong)
		die("'stasis-store --help' lists the options");
}

static void refuse_options(const struct command *c, unsigned options)
{
	for (const struct option *o = long_options; o->name; o++)
		if (options & BIT(o->val) & ~(c->allowed | EVERYWHERE))
			die("%s does not take --%s: see 'stasis-store --help'", c->name, o->name);
}

static void read_options(struct options *o, const struct given *g)
{
	*o = (struct options){
		.golden = g->value[GOLDEN],
		.point = g->value[POINT],
		.format = g->value[FORMAT],
		.base = g->value[ONTO],
		.keep = g->value[KEEP],
		.placed = g->options & (BIT(OFFSET) | BIT(LENGTH)),
		.chain = g->options & BIT(CHAIN),
		.drop = g->options & BIT(DROP),
		.update = g->options & BIT(UPDATE),
		.force = g->options & BIT(FORCE),
		.json = g->options & BIT(JSON),
		.progress = g->options & BIT(PROGRESS),
	};
	if (g->value[PARTITION])
		o->partition = partition_number(g->value[PARTITION]);
	if (g->value[OFFSET])
		o->offset = whole_sectors("offset", g->value[OFFSET]);
	if (g->value[LENGTH])
		o->length = whole_sectors("length", g->value[LENGTH]);
}

/* Where the store is: FILE, FILE:OFFSET, or what --offset says. */
static void locate(struct options *o, char *store)
{
	char *colon = strrchr(store, ':');

	if (colon && access(store, F_OK) != 0) {
		*colon = 0;
		o->offset = whole_sectors("offset", colon + 1);
		o->placed = true;
	}
	o->store = store;
}

static const struct command *parse(struct options *o, int argc, char **argv)
{
	struct given g = {0};
	const struct command *c;

	take_options(&g, argc, argv);
	if (optind == argc) {
		(void)fputs(usage, stderr);
		die("a command and a store are needed");
	}
	c = find_command(argv[optind]);
	refuse_options(c, g.options);
	if (argc - optind != 2 + (c->argument != NULL))
		die("%s takes a store%s%s: see 'stasis-store --help'", c->name,
		    c->argument ? " and " : "", c->argument ? c->argument : "");
	if (c->golden && !g.value[GOLDEN])
		die("%s needs the golden image: --golden FILE", c->name);
	read_options(o, &g);
	locate(o, argv[optind + 1]);
	if (c->argument)
		o->file = argv[optind + 2];
	return c;
}

/* --- running --- */

struct job {
	const struct command *command;
	struct session session;
	int status;
};

static void work(void *arg)
{
	struct job *j = arg;
	struct session *x = &j->session;
	int err = j->command->opens ? 0 : session_open(x);

	if (err)
		die("%s: %s", x->o->store, x->why);
	j->status = j->command->run(x);
	session_close(x);
}

static const struct gpt_partition *store_partition(const struct gpt *g, const char *path)
{
	const struct gpt_partition *p = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < g->n; i++)
		if (g->partition[i].store) {
			p = &g->partition[i];
			n++;
		}
	if (n != 1)
		die(n ? "%s has several partitions of a store's type: --offset says which"
		      : "%s has partitions, but none of a store's type: --offset says where the "
			"store is",
		    path);
	return p;
}

/* A disk or an image of one: the store is in its partition of that type, as for a node. */
static void find_partition(void *arg)
{
	struct session *x = arg;
	struct gpt *g = allocate(sizeof(*g));
	bool backup = false;
	int err = gpt_read(&x->file.dev, g, &backup);

	if (err == -EUCLEAN)
		die("%s: both partition tables are damaged: repair them (sgdisk -v)", x->o->store);
	if (err && err != -ENOENT)
		die("%s can't be read: %s", x->o->store, strerror(-err));
	if (backup)
		warn("%s: the primary partition table is damaged, its backup is used", x->o->store);
	if (!err) {
		const struct gpt_partition *p = store_partition(g, x->o->store);

		x->file.offset = p->first * SECTOR_SIZE;
		x->file.dev.sectors = p->sectors;
	}
	free(g);
}

static void open_devices(struct session *x, bool change)
{
	const struct options *o = x->o;

	file_open(&x->file, o->store, change ? FILE_CHANGE : FILE_LOOK, o->offset, o->length);
	if (!o->placed)
		in_fiber(find_partition, x);
	x->dev = &x->file.dev;
	if (!change) {
		overlay_init(&x->overlay, x->dev);
		x->dev = &x->overlay.dev;
	}
	if (o->golden) {
		file_open(&x->golden, o->golden, FILE_IMAGE, 0, 0);
		x->golden_dev = &x->golden.dev;
	}
}

int main(int argc, char **argv)
{
	struct options o;
	struct job j = {.command = parse(&o, argc, argv), .session = {.o = &o}};

	open_devices(&j.session, j.command->change || o.update);
	in_fiber(work, &j);
	if (fflush(stdout) || ferror(stdout))
		die("the output can't be written: %s", strerror(errno));
	return j.status;
}
