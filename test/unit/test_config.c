// SPDX-License-Identifier: GPL-2.0-or-later
/* build: boot/config.c boot/config_keys.c boot/config_nic.c boot/config_text.c boot/config_value.c boot/disk_place.c */
#include "boot/config.h"
#include "test/unit/check.h"

static struct config c;
static struct config_error e;

static int options(const char *text)
{
	config_init(&c);
	e.text[0] = 0;
	return config_options(&c, text, &e);
}

static int file(const char *text)
{
	return config_file(&c, text, strlen(text), &e);
}

static int only_file(const char *text)
{
	config_init(&c);
	e.text[0] = 0;
	return file(text);
}

static void defaults_are_the_documented_ones(void)
{
	CHECK(options("stasis.efi kernel=vmlinuz") == 0);
	CHECK(config_finish(&c, &e) == 0);
	CHECK_STR(c.kernel, "vmlinuz");
	CHECK_STR(c.initrd, "");
	CHECK_STR(c.disk, "");
	CHECK_EQ(c.disk_room, DISK_ROOM_DEFAULT);
	CHECK_STR(c.append, "");
	CHECK_EQ(c.cpus, 0);
	CHECK_EQ(c.memory, 0);
	CHECK_EQ(c.hv_base, HV_BASE_DEFAULT);
	CHECK_EQ(c.hv_memory, HV_SIZE_DEFAULT);
	CHECK_EQ(c.console_port, 0x3f8);
	CHECK_EQ(c.console_baud, 115200);
	CHECK_EQ(c.on_reset, RESET_REBOOT);
	CHECK_EQ(c.n_nics, 0);
}

static void every_key_is_taken(void)
{
	CHECK(options("x.efi kernel=k initrd=\\boot\\i append=quiet cpus=4 memory=2048 "
		      "hv_base=0x10000000 "
		      "disk=d.img disk_room=64 "
		      "hv_memory=32 console=0x3e8,9600 on_reset=stop nic.52:54:00:12:34:5f=control "
		      "nic.03:1f.7=experiment nic.aa-bb-cc-dd-ee-ff=none") == 0);
	CHECK_STR(c.initrd, "\\boot\\i");
	CHECK_STR(c.append, "quiet");
	CHECK_STR(c.disk, "d.img");
	CHECK_EQ(c.disk_room, 64 << 20);
	CHECK_EQ(c.cpus, 4);
	CHECK_EQ(c.memory, 2048ull << 20);
	CHECK_EQ(c.hv_base, 0x10000000);
	CHECK_EQ(c.hv_memory, 32 << 20);
	CHECK_EQ(c.console_port, 0x3e8);
	CHECK_EQ(c.console_baud, 9600);
	CHECK_EQ(c.on_reset, RESET_STOP);
	CHECK_EQ(c.n_nics, 3);
	CHECK_EQ(c.nics[0].by_mac, 1);
	CHECK_EQ(c.nics[0].mac[0], 0x52);
	CHECK_EQ(c.nics[0].mac[5], 0x5f);
	CHECK_EQ(c.nics[0].role, NIC_ROLE_CONTROL);
	CHECK_EQ(c.nics[1].by_mac, 0);
	CHECK_EQ(c.nics[1].bus, 3);
	CHECK_EQ(c.nics[1].dev, 0x1f);
	CHECK_EQ(c.nics[1].fn, 7);
	CHECK_EQ(c.nics[1].role, NIC_ROLE_EXPERIMENT);
	CHECK_EQ(c.nics[2].mac[5], 0xff);
	CHECK_EQ(c.nics[2].role, NIC_ROLE_NONE);
}

static void quotes_keep_blanks_and_backslash_quote_is_a_quote(void)
{
	CHECK(options("i kernel=k append=\"console=ttyS0 a=\\\"b c\\\" d\"") == 0);
	CHECK_STR(c.append, "console=ttyS0 a=\"b c\" d");
	CHECK(options("i kernel=k \"append=a  b\"  cpus=2") == 0);
	CHECK_STR(c.append, "a  b");
	CHECK_EQ(c.cpus, 2);
	CHECK(options("i append=\"\" kernel=k") == 0);
	CHECK_STR(c.append, "");
	CHECK(options("i kernel=\"a b") < 0);
	CHECK_STR(e.text, "a quote is not closed: add \"");
}

static void options_shown_are_spelled_as_given(void)
{
	CHECK(options("i kernel=k append=\"a=\\\"b c\\\" d\" cpus=2") == 0);
	CHECK_STR(c.options, "kernel=k append=\"a=\\\"b c\\\" d\" cpus=2");
}

static void first_word_is_the_image_unless_it_is_a_key(void)
{
	CHECK(options("  kernel=k cpus=3") == 0);
	CHECK_STR(c.kernel, "k");
	CHECK(options("stasis.efi") == 0);
	CHECK(options("") == 0);
	CHECK(options("a b") < 0);
	CHECK_STR(e.text, "b is not key=value: quote a value that has blanks");
}

static void file_lines_take_comments_and_blanks(void)
{
	CHECK(only_file("\xef\xbb\xbf# a node\r\n\r\n  kernel = vmlinuz  \r\n"
			"append = console=ttyS0  root=/dev/sda1\t# the disk\r\n"
			"initrd=\"a b#c\"\n\tcpus=2 # two") == 0);
	CHECK_STR(c.kernel, "vmlinuz");
	CHECK_STR(c.append, "console=ttyS0  root=/dev/sda1");
	CHECK_STR(c.initrd, "a b#c");
	CHECK_EQ(c.cpus, 2);
	CHECK(only_file("append=a#b #c\nkernel=k") == 0);
	CHECK_STR(c.append, "a#b");
	CHECK(only_file("append= # nothing\n") == 0);
	CHECK_STR(c.append, "");
	CHECK(only_file("append=\"keep \"\n") == 0);
	CHECK_STR(c.append, "keep ");
}

static void options_override_the_file(void)
{
	CHECK(options("i cpus=2 nic.00:03.0=control") == 0);
	CHECK(file("kernel=k\ncpus=8\nnic.00:03.0=experiment\nnic.00:04.0=experiment\n") == 0);
	CHECK_EQ(c.cpus, 2);
	CHECK_EQ(c.n_nics, 2);
	CHECK_EQ(c.nics[0].role, NIC_ROLE_CONTROL);
	CHECK_STR(c.options, "cpus=2 nic.00:03.0=control kernel=k nic.00:04.0=experiment");
}

static void unknown_keys_suggest_the_nearest(void)
{
	static const char *const lines[][2] = {
		{"i kernal=k", "unknown key kernal: did you mean kernel?"},
		{"i cpu=1", "unknown key cpu: did you mean cpus?"},
		{"i mem=1", "unknown key mem: did you mean memory?"},
		{"i hv_bse=1", "unknown key hv_bse: did you mean hv_base?"},
		{"i init=1", "unknown key init: did you mean initrd?"},
		{"i on-reset=stop", "unknown key on-reset: did you mean on_reset?"},
		{"i bogus=1", "unknown key bogus: see the list of keys in docs/boot.md"},
		{"i =1", "unknown key : see the list of keys in docs/boot.md"},
	};

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		CHECK(options(lines[i][0]) < 0);
		CHECK_STR(e.text, lines[i][1]);
	}
}

static void bad_values_say_what_is_right(void)
{
	static const char *const bad[] = {
		"i cpus=0",
		"i cpus=257",
		"i cpus=",
		"i cpus=-1",
		"i cpus=0x",
		"i cpus=1a",
		"i cpus=99999999999999999999",
		"i memory=1",
		"i memory=63",
		"i hv_base=0x100000",
		"i hv_base=0x8000001",
		"i hv_base=0x100000000",
		"i disk=",
		"i golden=",
		"i golden=sda",
		"i golden=ahci",
		"i golden=ahci0:",
		"i golden=ahci0:0",
		"i golden=ahci0:1x",
		"i golden=ahci1234",
		"i golden=nvme0x",
		"i golden=nbd://",
		"i golden=nbd://1.2.3.4",
		"i golden=nbd://1.2.3/x",
		"i golden=nbd://1.2.3.4.5/x",
		"i golden=nbd://1.2.3.4:/x",
		"i golden=nbd://1.2.3.4:0/x",
		"i golden=nbd://1.2.3.4:65536/x",
		"i golden=nbd://1.2.3.4:99999999999/x",
		"i golden=nbd://server/x",
		"i golden=http://1.2.3.4/x",
		"i store=name:",
		"i store=name:123456789012345678901234567890123456789012345",
		"i on_no_disk=maybe",
		"i iommu=maybe",
		"i disk_room=31",
		"i disk_room=1048577",
		"i hv_memory=15",
		"i hv_memory=17",
		"i hv_memory=514",
		"i console=com3",
		"i console=com1,",
		"i console=com1,7",
		"i console=com1,230400",
		"i console=0x3f9",
		"i console=0x60",
		"i console=1016",
		"i console=0xfffffff8",
		"i on_reset=halt",
		"i ip=10.0.0.5",
		"i ip=10.0.0.5/0",
		"i ip=10.0.0.5/31",
		"i ip=10.0.0/24",
		"i ip=10.0.0.256/24",
		"i ip=0.0.0.5/24",
		"i ip=224.0.0.5/24",
		"i ip=10.0.0.5/24x",
		"i ip=10..0.5/24",
		"i gateway=10.0.0.1/24",
		"i gateway=",
		"i syslog=10.0.0.1:",
		"i syslog=10.0.0.1:0",
		"i syslog=10.0.0.1:65536",
		"i syslog=host",
		"i freeze_mark=0",
		"i freeze_mark=65536",
		"i freeze_mark=com2",
		"i nic_settle=",
		"i nic_settle=100001",
		"i nic_settle=1ms",
		"i control_port=0",
		"i control_port=65536",
		"i control_key=00",
		"i experiment=0",
		"i experiment=9223372036854775808",
		"i node=1000000",
		"i node=-1",
		"i ptp=yes",
		"i on_reset=",
		"i kernel=",
		"i nic.00:03.0=x",
		"i nic.00:20.0=none",
		"i nic.00:03.8=none",
		"i nic.=none",
		"i nic.00:03=none",
		"i nic.1:2:3:4:5=none",
		"i nic.1:2:3:4:5:6:7=none",
		"i nic.1:2:3:4:5:g=none",
		"i nic.00:03.00=none",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (!CHECK(options(bad[i]) < 0))
			printf("  taken: %s\n", bad[i]);
		CHECK(strstr(e.text, ": ") != NULL);
	}
	CHECK(options("i cpus=zero") < 0);
	CHECK_STR(e.text, "bad cpus=zero: use 1 to 256");
	CHECK(only_file("# x\nkernel=k\ncpus=0\n") < 0);
	CHECK_STR(e.text, "stasis.cfg:3: bad cpus=0: use 1 to 256");
}

static void duplicates_are_refused(void)
{
	CHECK(options("i cpus=1 cpus=1") < 0);
	CHECK_STR(e.text, "cpus given twice: remove one");
	CHECK(options("i nic.00:03.0=none nic.0:3.0=none") < 0);
	CHECK_STR(e.text, "nic.0:3.0 given twice: remove one");
	CHECK(options("i cpus=1") == 0);
	CHECK(file("cpus=1\ncpus=1\n") < 0);
	CHECK_STR(e.text, "stasis.cfg:2: cpus given twice: remove one");
}

static void missing_kernel_is_said(void)
{
	CHECK(options("i cpus=1") == 0);
	CHECK(config_finish(&c, &e) < 0);
	CHECK_STR(e.text, "no kernel given: add kernel=FILE (command line or stasis.cfg)");
}

static void oversized_and_strange_text_is_refused(void)
{
	static char big[HANDOFF_CMDLINE + 200];

	memset(big, 'a', sizeof big - 1);
	memcpy(big, "i append=", 9);
	CHECK(options(big) < 0);
	big[HANDOFF_CMDLINE + 8] = 0; /* 4095 characters of value: the most there is room for */
	CHECK(options(big) == 0);
	CHECK_EQ(strlen(c.append), HANDOFF_CMDLINE - 1);
	CHECK(options("i kernel=\x80") < 0);
	CHECK_STR(e.text, "character 0x80 in the text: use plain ASCII");
	CHECK(only_file("kernel\x01=k") < 0);
	CHECK(config_file(&c, "kernel=a\0b", 10, &e) < 0);
	memset(big, 'k', 300);
	memcpy(big, "i kernel=", 9);
	big[300] = 0;
	CHECK(options(big) < 0);
}

static void addresses_are_numbers(void)
{
	CHECK(options("i kernel=k ip=10.0.0.5/24 gateway=10.0.0.1 syslog=192.168.1.2:5514") == 0);
	CHECK_EQ(config_finish(&c, &e), 0);
	CHECK_EQ(c.ip, 0x0a000005);
	CHECK_EQ(c.ip_prefix, 24);
	CHECK_EQ(c.gateway, 0x0a000001);
	CHECK_EQ(c.syslog_ip, 0xc0a80102);
	CHECK_EQ(c.syslog_port, 5514);
	CHECK_EQ(c.nic_settle, 2000);
	CHECK(options("i kernel=k nic_settle=0") == 0);
	CHECK_EQ(c.nic_settle, 0);
	CHECK_EQ(c.freeze_mark, 0);
	CHECK(options("i kernel=k freeze_mark=0x2ff") == 0);
	CHECK_EQ(c.freeze_mark, 0x2ff);
	CHECK(options("i kernel=k ip=dhcp syslog=10.0.0.1") == 0);
	CHECK_EQ(c.ip, 0);
	CHECK_EQ(c.syslog_port, 514);
	CHECK(options("i kernel=k gateway=10.0.0.1") == 0 && config_finish(&c, &e) < 0);
	CHECK_STR(e.text, "gateway= without an address: give one with ip=ADDRESS/BITS");
	CHECK(options("i kernel=k ip=10.0.0.5/24 gateway=10.0.1.1") == 0 &&
	      config_finish(&c, &e) < 0);
	CHECK_STR(e.text, "gateway= is not in the network of ip=: correct one of them");
}

static void places_on_disks_are_taken(void)
{
	CHECK(options("i kernel=k golden=ahci12 store=nvme0:3 on_no_disk=stop iommu=off") == 0);
	CHECK(config_finish(&c, &e) == 0);
	CHECK_STR(c.golden.drive, "ahci12");
	CHECK_EQ(c.golden.partition, 0);
	CHECK_STR(c.store.drive, "nvme0");
	CHECK_EQ(c.store.partition, 3);
	CHECK_EQ(c.on_no_disk, NO_DISK_STOP);
	CHECK_EQ(c.iommu, IOMMU_OFF);
	CHECK(options("i kernel=k disk=f store=\"name:my store\"") == 0);
	CHECK(config_finish(&c, &e) == 0);
	CHECK_STR(c.store.name, "my store");
	CHECK_STR(c.store.drive, "");
}

static void places_on_servers_are_taken(void)
{
	CHECK(options("i kernel=k nic.1:0.0=control golden=nbd://10.0.0.5/a/b "
		      "store=nbd://1.2.3.4:99/") == 0);
	CHECK(config_finish(&c, &e) == 0);
	CHECK_EQ(c.golden.ip, 0x0a000005);
	CHECK_EQ(c.golden.port, 10809);
	CHECK_STR(c.golden.export, "a/b");
	CHECK_EQ(c.store.ip, 0x01020304);
	CHECK_EQ(c.store.port, 99);
	CHECK_STR(c.store.export, "");
}

static void keys_of_the_disk_agree(void)
{
	CHECK(options("i kernel=k golden=nbd://10.0.0.1/x") == 0 && config_finish(&c, &e) < 0);
	CHECK_STR(e.text, "nbd:// without a control card: add nic.MAC=control");
	CHECK(options("i kernel=k store=ahci0") == 0 && config_finish(&c, &e) < 0);
	CHECK_STR(e.text, "store= without an image: add disk=FILE or golden=DEVICE");
	CHECK(options("i kernel=k disk=f golden=ahci0") == 0 && config_finish(&c, &e) < 0);
	CHECK_STR(e.text, "disk= and golden= are both given: remove one");
	CHECK(options("i kernel=k golden=ahci0:1 store=ahci0:1") == 0 && config_finish(&c, &e) < 0);
	CHECK_STR(e.text, "golden= and store= name the same place: change one");
}

#define KEY "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static void keys_of_the_experiment_are_taken(void)
{
	CHECK(options("i kernel=k control_key=" KEY
		      " control_port=5000 experiment=9223372036854775807 "
		      "node=41 ptp=slave") == 0);
	CHECK_EQ(c.control_key_size, 32);
	CHECK_EQ(c.control_key[1], 0x11);
	CHECK_EQ(c.control_key[31], 0xff);
	CHECK_EQ(c.control_port, 5000);
	CHECK_EQ(c.experiment, INT64_MAX);
	CHECK_EQ(c.node, 41);
	CHECK_EQ(c.ptp, PTP_MODE_SLAVE);
	CHECK(options("i kernel=k") == 0);
	CHECK(!c.control_key_size && c.control_port == 4789 && !c.experiment && !c.node);
	CHECK_EQ(c.ptp, PTP_MODE_ON);
}

static void the_control_key_is_never_shown(void)
{
	CHECK(options("i kernel=k control_key=" KEY) == 0);
	CHECK_STR(c.options, "kernel=k control_key=(hidden)");
	CHECK(options("i control_key=" KEY "0") < 0);
	CHECK_STR(e.text, "bad control_key=(hidden): use 64 hex digits");
	CHECK(options("i control_key=x" KEY "0") < 0);
	CHECK(!strstr(e.text, "0011"));
	CHECK(options("i control_key=" KEY KEY "00") < 0);
	CHECK(options("i control_key=" KEY " control_key=" KEY) < 0);
	CHECK(!strstr(e.text, "0011"));
	CHECK(options("i kernel=k control_key=" KEY) == 0);
	config_wipe(&c, sizeof c);
	for (size_t i = 0; i < sizeof c; i++)
		CHECK(!((const char *)&c)[i]);
}

static void too_many_nics_are_refused(void)
{
	char text[40 * HANDOFF_MAX_NICS] = "i ";

	for (unsigned i = 0; i <= HANDOFF_MAX_NICS; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "nic.01:%02x.0=none ", i);
	CHECK(options(text) < 0);
	CHECK_STR(e.text, "more than 16 nic keys: remove some");
}

int main(void)
{
	RUN(defaults_are_the_documented_ones);
	RUN(every_key_is_taken);
	RUN(quotes_keep_blanks_and_backslash_quote_is_a_quote);
	RUN(options_shown_are_spelled_as_given);
	RUN(first_word_is_the_image_unless_it_is_a_key);
	RUN(file_lines_take_comments_and_blanks);
	RUN(options_override_the_file);
	RUN(unknown_keys_suggest_the_nearest);
	RUN(bad_values_say_what_is_right);
	RUN(duplicates_are_refused);
	RUN(missing_kernel_is_said);
	RUN(oversized_and_strange_text_is_refused);
	RUN(addresses_are_numbers);
	RUN(places_on_disks_are_taken);
	RUN(places_on_servers_are_taken);
	RUN(keys_of_the_disk_agree);
	RUN(keys_of_the_experiment_are_taken);
	RUN(the_control_key_is_never_shown);
	RUN(too_many_nics_are_refused);
	return check_result();
}
