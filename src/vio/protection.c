/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/protection.h"

#include <stddef.h>

const char *const pv_protection_names[] = { "validate", "window", NULL };
