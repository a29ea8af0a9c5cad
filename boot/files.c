// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files come from the volume that the image came from: an ESP or a stick, or the one that iPXE
 * makes up of the files it fetched (names without directories).
 */
#include <string.h>
#include "boot/loader.h"

#define CHUNK	    (4ull << 20)
#define PROGRESS_AT (32ull << 20) /* files from this size on report progress, eight times */
#define INFO_MAX    (SIZE_OF_EFI_FILE_INFO + 1024)

/* Directory of the image from its device path: file path nodes (UEFI 2.10, 10.3.5.4) joined, less
 * the last name. */
static void image_dir(const EFI_DEVICE_PATH *node, CHAR16 *dir, size_t max)
{
	const uint8_t *p = (const uint8_t *)node;
	size_t n = 0, keep = 0;

	dir[n++] = '\\';
	keep = n;
	while (p && p[0] == MEDIA_DEVICE_PATH && p[1] == MEDIA_FILEPATH_DP) {
		size_t length = p[2] | (size_t)p[3] << 8;

		for (size_t i = 4; i + 1 < length && n + 1 < max; i += 2) {
			CHAR16 c = (CHAR16)(p[i] | p[i + 1] << 8);

			if (!c)
				break;
			if (c == '\\' && dir[n - 1] == '\\')
				continue;
			dir[n++] = c;
			if (c == '\\')
				keep = n;
		}
		if (length < sizeof(EFI_DEVICE_PATH))
			break;
		p += length;
	}
	dir[keep] = 0;
}

EFI_STATUS files_open(struct files *f, EFI_LOADED_IMAGE *image)
{
	EFI_GUID guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
	EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *fs;
	EFI_STATUS st = EFI_UNSUPPORTED;

	f->root = NULL;
	if (image->DeviceHandle)
		st = BS->HandleProtocol(image->DeviceHandle, &guid, (void **)&fs);
	if (!EFI_ERROR(st))
		st = fs->OpenVolume(fs, &f->root);
	if (EFI_ERROR(st))
		return fail(st, "no file system to read from: start it from iPXE or an ESP");
	image_dir(image->FilePath, f->dir, sizeof f->dir / sizeof *f->dir);
	return EFI_SUCCESS;
}

void files_close(struct files *f)
{
	if (f->root)
		f->root->Close(f->root);
	f->root = NULL;
}

/* dir + name in the firmware's spelling; dir may be empty. */
static void make_path(CHAR16 *out, const CHAR16 *dir, const char *name)
{
	size_t n = 0;

	while (n < CONFIG_NAME_MAX && dir[n]) {
		out[n] = dir[n];
		n++;
	}
	for (; *name; name++)
		out[n++] = *name == '/' ? '\\' : (CHAR16)(uint8_t)*name;
	out[n] = 0;
}

static EFI_STATUS open_in(struct files *f, const CHAR16 *dir, const char *name,
			  EFI_FILE_HANDLE *out)
{
	CHAR16 path[2 * CONFIG_NAME_MAX];

	make_path(path, dir, name);
	return f->root->Open(f->root, out, path, EFI_FILE_MODE_READ, 0);
}

static EFI_STATUS find_file(struct files *f, const char *name, EFI_FILE_HANDLE *out)
{
	bool absolute = *name == '/' || *name == '\\';
	EFI_STATUS st = EFI_NOT_FOUND;

	while (*name == '/' || *name == '\\')
		name++;
	if (!absolute)
		st = open_in(f, f->dir, name, out);
	if (EFI_ERROR(st))
		st = open_in(f, L"\\", name, out);
	return st;
}

static EFI_STATUS file_size(EFI_FILE_HANDLE h, uint64_t *size)
{
	EFI_GUID guid = EFI_FILE_INFO_ID;
	union {
		EFI_FILE_INFO info;
		uint8_t room[INFO_MAX];
	} u;
	UINTN n = sizeof u;
	EFI_STATUS st = h->GetInfo(h, &guid, &n, &u);

	if (EFI_ERROR(st))
		return st;
	if (u.info.Attribute & EFI_FILE_DIRECTORY)
		return EFI_NOT_FOUND;
	*size = u.info.FileSize;
	return EFI_SUCCESS;
}

EFI_STATUS file_open(struct files *f, const char *name, bool optional, struct file *out)
{
	EFI_STATUS st = find_file(f, name, &out->handle);

	out->name = name;
	if (!EFI_ERROR(st)) {
		st = file_size(out->handle, &out->size);
		if (EFI_ERROR(st))
			file_close(out);
	}
	if (!EFI_ERROR(st))
		return st;
	out->handle = NULL;
	if (st != EFI_NOT_FOUND)
		return fail(st, "%s cannot be opened: check the disk or the server", name);
	if (optional)
		return st;
	return fail(st, "no file %s: fetch it (iPXE: initrd) or correct the name", name);
}

EFI_STATUS file_read(struct file *file, uint64_t offset, void *to, uint64_t size)
{
	uint64_t done = 0, next = size >= PROGRESS_AT ? 0 : size;
	EFI_STATUS st = file->handle->SetPosition(file->handle, offset);

	while (!EFI_ERROR(st) && done < size) {
		UINTN n = size - done < CHUNK ? size - done : CHUNK;

		if (done >= next) {
			progress("%s: %lu of %lu MiB", file->name, MIB(done), MIB(size));
			next += size / 8;
		}
		st = file->handle->Read(file->handle, &n, (uint8_t *)to + done);
		if (!EFI_ERROR(st) && n == 0)
			st = EFI_END_OF_FILE;
		done += n;
	}
	if (EFI_ERROR(st))
		return fail(st, "%s cannot be read: check the disk or the server", file->name);
	return st;
}

void file_close(struct file *file)
{
	if (file->handle)
		file->handle->Close(file->handle);
	file->handle = NULL;
}
