// SPDX-License-Identifier: GPL-2.0-or-later
/* The loader's lines. Most firmware shows its console on a serial port as well: then that port gets
 * no second copy. */
#include <stdarg.h>
#include "arch/x86_64/cpu.h"
#include "boot/loader.h"
#include "boot/print.h"

#define LINE_MAX 256

/* 16550 registers, offsets from the port */
enum { RBR_THR = 0, DLL = 0, IER = 1, DLM = 1, FCR = 2, LCR = 3, MCR = 4, LSR = 5 };
#define LSR_THRE  0x20
#define LCR_8N1	  0x03
#define LCR_DLAB  0x80
#define MCR_DTR	  0x01
#define MCR_RTS	  0x02
#define FCR_ON	  0x07 /* enable, clear both */
#define UART_HZ	  115200
#define SPINS_MAX 100000 /* reads of LSR: a character takes about 1000 at 9600 baud */

#define CONSOLE_OUT_DEVICE_GUID                                        \
	{                                                              \
		0xd3b36f2c, 0xd551, 0x11d4,                            \
		{                                                      \
			0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d \
		}                                                      \
	}
#define EISA_PNP0501 0x050141d0u /* 16550A-compatible COM port */

static uint16_t console_port;
static uint16_t serial; /* console_port, or 0: no copy needed, or no UART there */

/* The COM port (I/O base) in a console's device path; 0: none, 1: one that we cannot name. */
static uint16_t path_com_port(const EFI_DEVICE_PATH *node)
{
	const uint8_t *p = (const uint8_t *)node;
	uint16_t port = 1;

	for (;;) {
		unsigned length = p[2] | (unsigned)p[3] << 8;

		if (p[0] == END_DEVICE_PATH_TYPE || length < sizeof(EFI_DEVICE_PATH))
			return 0;
		if (p[0] == ACPI_DEVICE_PATH && p[1] == ACPI_DP &&
		    length >= sizeof(ACPI_HID_DEVICE_PATH)) {
			const ACPI_HID_DEVICE_PATH *acpi = (const ACPI_HID_DEVICE_PATH *)p;

			if (acpi->HID == EISA_PNP0501 && acpi->UID < 2)
				port = acpi->UID ? 0x2f8 : 0x3f8;
		}
		if (p[0] == MESSAGING_DEVICE_PATH && p[1] == MSG_UART_DP)
			return port;
		p += length;
	}
}

static bool firmware_shows_on(uint16_t port)
{
	EFI_GUID tag = CONSOLE_OUT_DEVICE_GUID, path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;
	EFI_HANDLE *handles;
	UINTN n;
	bool found = false;

	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &tag, NULL, &n, &handles)))
		return false;
	for (UINTN i = 0; i < n && !found; i++) {
		EFI_DEVICE_PATH *path;
		uint16_t com;

		if (EFI_ERROR(BS->HandleProtocol(handles[i], &path_guid, (void **)&path)) || !path)
			continue;
		com = path_com_port(path);
		found = com == port || com == 1;
	}
	BS->FreePool(handles);
	return found;
}

static bool uart_init(uint16_t port, uint32_t baud)
{
	if (inb(port + LSR) == 0xff)
		return false; /* nothing answers there */
	outb(port + IER, 0);
	if (baud) {
		uint16_t divisor = (uint16_t)(UART_HZ / baud);

		outb(port + LCR, LCR_DLAB | LCR_8N1);
		outb(port + DLL, (uint8_t)divisor);
		outb(port + DLM, (uint8_t)(divisor >> 8));
	}
	outb(port + LCR, LCR_8N1);
	outb(port + FCR, FCR_ON);
	outb(port + MCR, MCR_DTR | MCR_RTS);
	return true;
}

static void uart_put(uint16_t port, char c)
{
	for (unsigned i = 0; i < SPINS_MAX; i++) {
		if (inb(port + LSR) & LSR_THRE)
			break;
	}
	outb(port + RBR_THR, (uint8_t)c);
}

void console_init(uint16_t port, uint32_t baud)
{
	console_port = port;
	serial = 0;
	if (!firmware_shows_on(port) && uart_init(port, baud))
		serial = port;
}

static void emit(const char *text)
{
	CHAR16 wide[LINE_MAX];
	size_t n = 0;

	for (; text[n]; n++)
		wide[n] = (CHAR16)(uint8_t)text[n];
	wide[n] = 0;
	if (ST->ConOut)
		ST->ConOut->OutputString(ST->ConOut, wide);
	for (size_t i = 0; serial && i < n; i++)
		uart_put(serial, text[i]);
}

static void emit_line(const char *kind, const char *end, const char *fmt, va_list ap)
{
	char line[LINE_MAX];
	int n = sniprintf(line, sizeof line, "stasis: %s", kind);

	/* the line's end always fits */
	n += vsniprintf(line + n, sizeof line - 2 - (size_t)n, fmt, ap);
	if ((size_t)n > sizeof line - 3)
		n = sizeof line - 3;
	sniprintf(line + n, 3, "%s", end);
	emit(line);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit_line("", "\r\n", fmt, ap);
	va_end(ap);
}

void progress(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit_line("", "\r", fmt, ap);
	va_end(ap);
}

EFI_STATUS fail(EFI_STATUS st, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit_line("error: ", "\r\n", fmt, ap);
	va_end(ap);
	return st;
}

void fail_raw(const char *text)
{
	static const char start[] = "stasis: error: ";
	uint16_t port = console_port;

	for (const char *p = start; *p; p++)
		uart_put(port, *p);
	for (const char *p = text; *p; p++)
		uart_put(port, *p);
	uart_put(port, '\r');
	uart_put(port, '\n');
}
