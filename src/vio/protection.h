/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a guest is kept from having the switch touch what is not the guest's: Menon, thesis 2009, section 5.3.3. Both
 * ways are safe, whatever addresses a guest gives.
 */
#ifndef PV_VIO_PROTECTION_H
#define PV_VIO_PROTECTION_H

enum pv_protection {
	PV_PROTECT_VALIDATE, /* each address is looked for in the regions of memory that the guest owns */
	PV_PROTECT_WINDOW,   /* the guest's memory lies in a window of a power of two, which no address can leave */
};

/* "validate", "window", NULL: for option tables. */
extern const char *const pv_protection_names[];

#endif
