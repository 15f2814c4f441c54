/* SPDX-License-Identifier: BSD-3-Clause */
/* Results of the daemon as text. Keys that are missing are shown empty or as 0, unknown ones are ignored. */
#ifndef PKTVIRT_CTL_PRINT_H
#define PKTVIRT_CTL_PRINT_H

#include <jansson.h>
#include <stdio.h>

void print_ports(const json_t *result, FILE *out);
void print_stages(const json_t *result, FILE *out);
void print_workers(const json_t *result, FILE *out);
void print_contexts(const json_t *result, FILE *out);
void print_fdb(const json_t *result, FILE *out);
/* What a changed stage has come to. */
void print_change(const json_t *result, FILE *out);
/* That a port was added or removed. */
void print_port_change(const json_t *result, FILE *out);
/* That a guest was shut out or let in. */
void print_context_change(const json_t *result, FILE *out);
void print_config(const json_t *result, FILE *out);
void print_attach(const json_t *result, FILE *out);
void print_doctor(const json_t *result, FILE *out);
void print_version(const json_t *result, FILE *out);

#endif
