/* SPDX-License-Identifier: BSD-3-Clause */
/* What cppcheck has to know of macros in headers that it does not read. */
#define json_array_foreach(array, index, value) \
	for (index = 0; index < json_array_size(array) && (value = json_array_get(array, index)); index++)
#define json_object_foreach(object, key, value) for (; (value = json_object_get(object, key));)
#define RTE_ETH_FOREACH_MATCHING_DEV(id, devargs, iterator) for (id = 0; id < 1; id++)
