/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PV_CORE_PLUGIN_H
#define PV_CORE_PLUGIN_H

#include <stddef.h>

/*
 * Loads a shared object and registers its stages. A relative path is taken from the working directory. The object
 * stays loaded until the process ends. Returns 0, or -errno with the reason in `why`: -ENOENT, -EACCES, -ENOEXEC (not
 * a shared object, or without pv_plugin), -EPROTO (another ABI version), -EEXIST (a stage of that name exists), -EINVAL
 * or -ENOSPC (a stage that cannot be registered).
 * Loading the same file again is no error and does nothing.
 */
int pv_plugin_load(const char *path, char *why, size_t size);

#endif
