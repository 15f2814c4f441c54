/* SPDX-License-Identifier: BSD-3-Clause */
/* See copies.h. What is global gets a name that begins with COPY. */
#define PASTE(copy, name) copy##name
#define NAME_IN(copy, name) PASTE(copy, name)
#define NAMED(name) NAME_IN(COPY, name)
#define pv_vio_receive NAMED(_receive)
#define pv_vio_init_loans NAMED(_init_loans)
#define pv_vio_settle NAMED(_settle)

#include "vio/vio_receive.c"
