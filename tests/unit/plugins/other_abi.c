/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin of another version: what follows `abi` may be laid out in any way. */
#include <stddef.h>
#include <stdint.h>

struct other_plugin {
	uint32_t abi;
	const void *anything;
};

extern const struct other_plugin pv_plugin;
__attribute__((visibility("default"))) const struct other_plugin pv_plugin = { .abi = 999, .anything = NULL };
