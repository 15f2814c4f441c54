/* SPDX-License-Identifier: BSD-3-Clause */
/* See copies.h. What is global gets a name that begins with COPY. */
#define PASTE(copy, name) copy##name
#define NAME_IN(copy, name) PASTE(copy, name)
#define NAMED(name) NAME_IN(COPY, name)
#define pv_vio_transmit NAMED(_transmit)
#define pv_vio_drop_held NAMED(_drop_held)
#define pv_vio_retry_held NAMED(_retry_held)

#include "vio/vio_transmit.c"
