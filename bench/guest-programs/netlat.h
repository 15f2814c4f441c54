/* SPDX-License-Identifier: BSD-3-Clause */
/* What the parts of netlat have in common: what is in the datagrams that both ends exchange, and sockets. */
#ifndef NETLAT_H
#define NETLAT_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "netlat_clock.h"

#define DATAGRAM_MAX 65507
#define CONNECTIONS_MAX 16

/* The first byte of a datagram: what the server does with it. */
enum kind {
	ECHO = 'e',    /* sends it back, with the time at which it came */
	COUNTED = 'c', /* counts it in the tally */
	BEGIN = 'b',   /* empties the tally, and answers as to ASK */
	ASK = 'a',     /* answers with the tally */
};

/* What all but COUNTED begin with. Times are those of the counter of who writes them. */
struct head {
	uint8_t kind;
	uint64_t sent_at;      /* ECHO: just before sendto() */
	uint64_t delivered_at; /* ECHO: when the server's receiving call had returned */
};

union datagram {
	struct head head;
	unsigned char bytes[DATAGRAM_MAX];
};

/* A server's answer: the COUNTED since BEGIN. */
struct tally {
	int64_t n;
	double span_us; /* from the first to the last of them */
};

/* Ends the program, with a message. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The same for a system call, with the reason that errno has. */
void die(const char *what) __attribute__((noreturn));

/* A number from the command line; ends the program if it is none, or not from low to high. */
long number(const char *text, long low, long high);

/* Of an IPv4 address and a port from the command line; ends the program if they are none. */
struct sockaddr_in address_of(const char *host, const char *port);

/* A socket of this type, without delay for streams. */
int open_socket(int type);

/* Answers clients, until killed. Takes datagrams at the port after its own, too, where nobody waits for them. */
void serve(char **arguments);

/* What a client measures, and prints; arguments as in the usage. */
void time_send(char **arguments);
void time_echo(char **arguments);
void time_getpid(char **arguments);
void count_round_trips(char **arguments);
void flood(char **arguments);

#endif
