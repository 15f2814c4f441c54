/* SPDX-License-Identifier: BSD-3-Clause */
#define PACKED true

#include "fuzz_rings.h"
