/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happened between two samples of the daemon's counters.
 *
 * A sample is {"ports": R, "stages": R, "workers": R} with the results of the three `show` requests. The rates are
 *
 *     {"interval_s": 1.0,
 *      "ports": [{"name", "state", "rx": {"packets_per_s", "bits_per_s"}, "tx": {…}, "drops_per_s": {"REASON": n}}],
 *      "stages": [{"name", "kind", "packets_per_s", "cycles_per_packet", "share", "drops_per_s"}],
 *      "workers": [{"id", "cpu", "busy_share", "packets_per_s", "packets_per_call", "cycles_per_packet"}]}
 */
#ifndef PKTVIRT_CTL_RATES_H
#define PKTVIRT_CTL_RATES_H

#include <jansson.h>
#include <stdio.h>

#include "client.h"

/* Takes a sample over the connection; NULL with the reason in `why`. */
json_t *rates_sample(int fd, char why[CLIENT_WHY_MAX]);

/* The rates between two samples; the caller owns them. */
json_t *rates_between(const json_t *before, const json_t *after);

enum rates_order { RATES_CONFIGURED, RATES_IN, RATES_OUT, RATES_DROPS, RATES_ORDERS };
extern const char *const rates_order_names[];

/* Prints the rates as tables, the ports in the given order. */
void rates_print(const json_t *rates, enum rates_order order, FILE *out);

#endif
