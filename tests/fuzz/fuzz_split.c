/* SPDX-License-Identifier: BSD-3-Clause */
#define PACKED false

#include "fuzz_rings.h"
