/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Primitives: the basic things that the framework does in one of several ways, and the named implementations of
 * each. Which one is bound is decided once, when the pipeline is built:
 *
 *   1. a listed stage that is about the primitive binds the one that its options ask for;
 *   2. otherwise the baseline of the configuration ("uml", "xen") binds that system's way;
 *   3. otherwise ("none", or a baseline that has no own way) the plain way of today is bound.
 */
#ifndef PV_CORE_PRIMITIVE_H
#define PV_CORE_PRIMITIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pv_baseline { PV_BASELINE_NONE, PV_BASELINE_UML, PV_BASELINE_XEN, PV_BASELINE_COUNT };

/* "none", "uml", "xen", NULL: for option tables. */
extern const char *const pv_baseline_names[];

#define PV_BINDINGS_MAX 16 /* primitives there can be */

struct pv_implementation {
	const char *primitive; /* "host-io" */
	const char *name;      /* "per-packet" */
	const char *summary;   /* one line */
	bool plain;	       /* today's plain way; exactly one per primitive */
	uint32_t baselines;    /* bits 1u << PV_BASELINE_…: the systems that did it this way */
	const void *ops;       /* the function table of the primitive */
};

/* A primitive as bound, and why: "stage batched-syscalls", "baseline uml", "plain". */
struct pv_binding {
	const char *primitive;
	const struct pv_implementation *implementation;
	const void *options; /* of the stage that bound it, or NULL */
	char why[64];
};

/*
 * Adds an implementation; kept by reference. 0, -EEXIST for a second one of that name, a second plain one or a second
 * one for a baseline; -ENOSPC.
 */
int pv_implementation_register(const struct pv_implementation *implementation);

const struct pv_implementation *pv_implementation_find(const char *primitive, const char *name);

/* All implementations, sorted by primitive and name. */
size_t pv_implementation_count(void);
const struct pv_implementation *pv_implementation_get(size_t index);

#define PV_IMPLEMENTATION(object)                                           \
	__attribute__((constructor)) static void pv_register_##object(void) \
	{                                                                   \
		if (pv_implementation_register(&(object)) != 0)             \
			__builtin_trap();                                   \
	}

struct pv_config;

/*
 * Decides every primitive for a configuration, in order of name, into `bindings` of `max` entries. Returns how many
 * there are, -ENOSPC, or -EINVAL when two listed stages are about one primitive, or when a stage asks for an
 * implementation that there is not (said in the log).
 */
int pv_bind(const struct pv_config *config, struct pv_binding *bindings, size_t max);

#endif
