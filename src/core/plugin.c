/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/stage.h"

#define PLUGINS_MAX 64

static void *loaded[PLUGINS_MAX];
static size_t n_loaded;

static bool
is_loaded(const void *handle)
{
	for (size_t i = 0; i < n_loaded; i++)
		if (loaded[i] == handle)
			return true;
	return false;
}

/* The reason of the loader without the path that it begins with, which the caller's message names anyway. */
static const char *
loader_reason(const char *path)
{
	const char *reason = dlerror();
	size_t length = strlen(path);

	return strncmp(reason, path, length) == 0 && reason[length] == ':' ? reason + length + 2 : reason;
}

/* An absolute path, since the loader searches the library directories for a bare name. */
static int
find_file(const char *path, char absolute[PATH_MAX], char *why, size_t size)
{
	int error;

	if (realpath(path, absolute) != NULL && faccessat(AT_FDCWD, absolute, R_OK, AT_EACCESS) == 0)
		return 0;
	error = errno;
	snprintf(why, size, "%s", strerror(error));
	return -error;
}

static int
check_stage(const struct pv_stage *const *stages, size_t index, char *why, size_t size)
{
	bool taken = pv_stage_find(stages[index]->name) != NULL;

	for (size_t i = 0; i < index && !taken; i++)
		taken = strcmp(stages[i]->name, stages[index]->name) == 0;
	if (taken)
		snprintf(why, size, "there is a stage \"%s\" already", stages[index]->name);
	return taken ? -EEXIST : 0;
}

/* Looks at what the object exports, without running any of it. */
static int
check(void *handle, const struct pv_plugin **plugin, char *why, size_t size)
{
	int result = 0;

	*plugin = dlsym(handle, "pv_plugin");
	if (*plugin == NULL) {
		snprintf(why, size, "not a pktvirt plugin: it does not export pv_plugin");
		return -ENOEXEC;
	}
	if ((*plugin)->abi != PV_PLUGIN_ABI) {
		snprintf(why, size, "built for plugin ABI %u, this pktvirt has %u: build it again", (*plugin)->abi,
			 PV_PLUGIN_ABI);
		return -EPROTO;
	}
	for (size_t i = 0; result == 0 && (*plugin)->stages[i] != NULL; i++)
		result = check_stage((*plugin)->stages, i, why, size);
	return result;
}

static int
register_stages(const struct pv_plugin *plugin, char *why, size_t size)
{
	for (size_t i = 0; plugin->stages[i] != NULL; i++) {
		int result = pv_stage_register(plugin->stages[i]);

		if (result == 0)
			continue;
		snprintf(why, size, "stage \"%s\" %s", plugin->stages[i]->name,
			 result == -EINVAL ? "is neither a packet stage nor a mechanism" : "is one too many");
		return result;
	}
	return 0;
}

int
pv_plugin_load(const char *path, char *why, size_t size)
{
	const struct pv_plugin *plugin;
	char absolute[PATH_MAX];
	void *handle;
	int result = find_file(path, absolute, why, size);

	if (result != 0)
		return result;
	handle = dlopen(absolute, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		snprintf(why, size, "%s", loader_reason(absolute));
		return -ENOEXEC;
	}
	if (is_loaded(handle)) {
		dlclose(handle);
		return 0;
	}
	result = n_loaded < PLUGINS_MAX ? check(handle, &plugin, why, size) : -ENOSPC;
	if (result == -ENOSPC)
		snprintf(why, size, "more than %d plugins", PLUGINS_MAX);
	if (result != 0) {
		dlclose(handle);
		return result;
	}
	/* From here on the registry may point into the object, so it stays even when a stage is refused. */
	result = register_stages(plugin, why, size);
	if (result == 0)
		loaded[n_loaded++] = handle;
	return result;
}
