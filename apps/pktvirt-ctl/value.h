/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading values out of results, where a missing one is "" or 0. */
#ifndef PKTVIRT_CTL_VALUE_H
#define PKTVIRT_CTL_VALUE_H

#include <jansson.h>
#include <stdint.h>

static inline const char *
value_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static inline double
value_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static inline uint64_t
value_count(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* The sum of all values of an object, as of "drops". */
static inline uint64_t
value_sum(json_t *object)
{
	uint64_t sum = 0;
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
		sum += (uint64_t)json_integer_value(value);
	return sum;
}

#endif
