/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One table of options drives everything about them: parsing from JSON, range checks, defaults, the effective
 * values of --print-config, --help-stage, the generated docs and the JSON schema.
 *
 *     struct storm_options { uint32_t rate_pps; bool log; };
 *     static const struct pv_option options[] = {
 *         PV_OPTION_UINT(struct storm_options, rate_pps, "rate-pps", 1, 10000000, 1000, "packets per second"),
 *         PV_OPTION_BOOL(struct storm_options, log, "log", false, "log the first drop of a burst"),
 *         PV_OPTION_END,
 *     };
 */
#ifndef PV_BASE_OPTION_H
#define PV_BASE_OPTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/diag.h"

enum pv_option_type {
	PV_OPTION_TYPE_BOOL,   /* bool */
	PV_OPTION_TYPE_UINT,   /* uint32_t, with a range */
	PV_OPTION_TYPE_STRING, /* char *, allocated; NULL when not given and without a default; length range */
	PV_OPTION_TYPE_ENUM,   /* uint32_t: index into choices */
	PV_OPTION_TYPE_MAC,    /* struct pv_mac */
};

/* An Ethernet address as an option; `set` tells "not given" from 00:00:00:00:00:00. */
struct pv_mac {
	uint8_t bytes[6];
	bool set;
};

struct pv_option {
	const char *name; /* as in the JSON; NULL ends the table */
	const char *help;
	enum pv_option_type type;
	bool required;
	bool unique;		    /* PV_OPTION_TYPE_STRING of a port type: no two ports may have the same value */
	size_t offset;		    /* of the field in the options object */
	uint32_t min, max;	    /* PV_OPTION_TYPE_UINT: value; PV_OPTION_TYPE_STRING: length in bytes */
	uint32_t fallback;	    /* default of bool, uint and enum (index) */
	const char *fallback_text;  /* default of string and MAC, or NULL */
	const char *const *choices; /* PV_OPTION_TYPE_ENUM: names, NULL-terminated */
};

#define PV_OPTION_BOOL(object, field, key, value, text)                                                        \
	{                                                                                                      \
		.name = (key), .help = (text), .type = PV_OPTION_TYPE_BOOL, .offset = offsetof(object, field), \
		.fallback = (value)                                                                            \
	}
#define PV_OPTION_UINT(object, field, key, low, high, value, text)                                             \
	{                                                                                                      \
		.name = (key), .help = (text), .type = PV_OPTION_TYPE_UINT, .offset = offsetof(object, field), \
		.min = (low), .max = (high), .fallback = (value)                                               \
	}
#define PV_OPTION_STRING(object, field, key, low, high, value, text)                                             \
	{                                                                                                        \
		.name = (key), .help = (text), .type = PV_OPTION_TYPE_STRING, .offset = offsetof(object, field), \
		.min = (low), .max = (high), .fallback_text = (value)                                            \
	}
#define PV_OPTION_STRING_REQUIRED(object, field, key, low, high, text)                          \
	{                                                                                       \
		.name = (key), .help = (text), .type = PV_OPTION_TYPE_STRING, .required = true, \
		.offset = offsetof(object, field), .min = (low), .max = (high)                  \
	}
/* Required, and no two ports have the same one. */
#define PV_OPTION_STRING_UNIQUE(object, field, key, low, high, text)                                            \
	{                                                                                                       \
		.name = (key), .help = (text), .type = PV_OPTION_TYPE_STRING, .required = true, .unique = true, \
		.offset = offsetof(object, field), .min = (low), .max = (high)                                  \
	}
#define PV_OPTION_ENUM(object, field, key, names, value, text)                                                 \
	{                                                                                                      \
		.name = (key), .help = (text), .type = PV_OPTION_TYPE_ENUM, .offset = offsetof(object, field), \
		.fallback = (value), .choices = (names)                                                        \
	}
#define PV_OPTION_MAC(object, field, key, text)                                                              \
	{                                                                                                    \
		.name = (key), .help = (text), .type = PV_OPTION_TYPE_MAC, .offset = offsetof(object, field) \
	}
#define PV_OPTION_END        \
	{                    \
		.name = NULL \
	}

/* The option of that name, or NULL. `options` may be NULL: an empty table. That holds for all functions below. */
const struct pv_option *pv_option_find(const struct pv_option *options, const char *name);

/* Sets every option of `object` to its default. Strings are allocated: pv_options_clear() frees them. */
void pv_options_init(const struct pv_option *options, void *object);

/* Frees the strings of `object` and sets them to NULL. */
void pv_options_clear(const struct pv_option *options, void *object);

/*
 * Reads the JSON object `json`, found at `path`, into `object`, which pv_options_init() has set. Unknown keys, wrong
 * types, values out of range and missing required options are added to `diag`; the field then keeps its default.
 * Keys in the NULL-terminated `also` (may be NULL) are known but parsed by the caller.
 */
void pv_options_parse(const struct pv_option *options, void *object, json_t *json, const char *path,
		      const char *const *also, struct pv_diag *diag);

/* The effective values as a JSON object, in the order of the table; the caller owns it. */
json_t *pv_options_dump(const struct pv_option *options, const void *object);

/* One line per option: name, type with range, default, help. `indent` spaces before each. */
void pv_options_help(const struct pv_option *options, FILE *out, int indent);

/* What the option accepts, as in messages and help: "2 to 64", "true or false", "one of: copy, shared". */
void pv_option_accepts(const struct pv_option *option, char *text, size_t size);

/*
 * Adds "FOUND: expected ACCEPTS" to `diag` at `path`. `typed` tells the type of what was found as well, as in
 * "\"yes\" (string): expected true or false", for when that is what is wrong with it.
 */
void pv_option_refuse(struct pv_diag *diag, const char *path, const json_t *found, bool typed, const char *accepts);

/*
 * Adds "unknown WHAT \"WORD\"; did you mean \"…\"?", or the accepted names when none is near. The line is that of
 * `word` when it is a key of the object at `path`.
 */
void pv_option_unknown(struct pv_diag *diag, const char *path, const char *what, const char *word,
		       const char *const *accepted);

/* The JSON-schema object of the table; the caller owns it. */
json_t *pv_options_schema(const struct pv_option *options);

/* Parses "52:54:00:12:34:56" into `mac`; 0 or -EINVAL. */
int pv_mac_parse(const char *text, struct pv_mac *mac);
/* Writes "52:54:00:12:34:56" (18 bytes with the terminator). */
void pv_mac_format(const uint8_t bytes[6], char text[18]);

#endif
