/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The switching table (forwarding database): which port an Ethernet address is behind.
 *
 * An address with its port fits in one 64-bit word, so the table is buckets of eight words, one cache line each. Any
 * worker reads a bucket with plain atomic loads and learns with one compare-and-swap; there is nothing to reclaim, so
 * there are no locks and no grace periods. The time an address was last seen stands in a parallel line that is written
 * only when the second changes. A full bucket gives up its oldest dynamic address. Fixed addresses are the static ones
 * (a port's "mac"), which never age, move or go, and the claimed ones, which go when the guest that spoke first with it
 * does (core/contexts.h), and do not age or move until then. A port may own at most `port_limit` learned addresses, its
 * claimed one included, so one guest cannot fill the table.
 */
#ifndef PV_CORE_FDB_H
#define PV_CORE_FDB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PV_FDB_NO_PORT UINT16_MAX

struct pv_fdb;

struct pv_fdb_address {
	uint8_t mac[6];
	uint16_t port;
	bool is_static;
	bool is_claimed;
	uint32_t age_s; /* since last seen; 0 for fixed ones */
};

struct pv_fdb_counters {
	uint64_t learned, moved, aged, evicted, refused; /* refused: port_limit reached */
};

enum pv_fdb_learned { PV_FDB_KNOWN, PV_FDB_LEARNED, PV_FDB_MOVED, PV_FDB_REFUSED, PV_FDB_SPOOFED };

/* A table for about `entries` addresses (rounded up to a power of two) and ports below `ports`. NULL: no memory. */
struct pv_fdb *pv_fdb_new(uint32_t entries, uint32_t ageing_s, uint32_t port_limit, uint16_t ports);
void pv_fdb_free(struct pv_fdb *fdb);

/* The port behind `mac`, or PV_FDB_NO_PORT. Any thread. */
uint16_t pv_fdb_lookup(const struct pv_fdb *fdb, const uint8_t mac[6]);

/*
 * What is known about an address, as a word of the table: as long as it is unchanged, a lookup of the address finds the
 * same port, and pv_fdb_learn() of it at that port would change nothing but the time it was last seen.
 */
struct pv_fdb_guard {
	const _Atomic uint64_t *word;
	uint64_t value;
};

/* Finds the port behind `mac` and what says that this still holds; PV_FDB_NO_PORT when there is none. Any thread. */
uint16_t pv_fdb_watch(const struct pv_fdb *fdb, const uint8_t mac[6], struct pv_fdb_guard *guard);

static inline bool
pv_fdb_is_unchanged(const struct pv_fdb_guard *guard)
{
	return atomic_load_explicit(guard->word, memory_order_relaxed) == guard->value;
}

/*
 * Notes that `mac` was seen as a source at `port` in the second now_s. PV_FDB_SPOOFED: it is a fixed address of
 * another port, and nothing was changed. Any thread.
 */
enum pv_fdb_learned pv_fdb_learn(struct pv_fdb *fdb, const uint8_t mac[6], uint16_t port, uint32_t now_s);

/*
 * Claims `mac` for `port`, also when it was learned elsewhere. PV_FDB_LEARNED: it is claimed now; PV_FDB_KNOWN: it was
 * fixed there before; PV_FDB_SPOOFED: it is a fixed address of another port; PV_FDB_REFUSED: there is no place for it.
 * Any thread.
 */
enum pv_fdb_learned pv_fdb_claim(struct pv_fdb *fdb, const uint8_t mac[6], uint16_t port, uint32_t now_s);

/* Forgets an address if it is claimed for that port. Any thread. */
void pv_fdb_unclaim(struct pv_fdb *fdb, const uint8_t mac[6], uint16_t port);

/*
 * Adds a static address; 0, -EEXIST when it is a fixed one of another port, -ENOSPC when its bucket is full of fixed
 * ones. By one thread at a time.
 */
int pv_fdb_add_static(struct pv_fdb *fdb, const uint8_t mac[6], uint16_t port);

/*
 * Forgets what was learned from a port and what was claimed for it (its guest is gone); its static addresses stay.
 * Returns how many.
 */
uint32_t pv_fdb_flush_port(struct pv_fdb *fdb, uint16_t port);

/* Makes all claimed addresses dynamic ones, seen in the second now_s. While nobody claims. Returns how many. */
uint32_t pv_fdb_release_claims(struct pv_fdb *fdb, uint32_t now_s);

/* Which of the dynamic addresses behind a port stay when claims begin. */
enum pv_fdb_keep { PV_FDB_KEEP_ALL, PV_FDB_KEEP_LAST, PV_FDB_KEEP_NONE };

struct pv_fdb_adoption {
	enum pv_fdb_keep keep;
	/* With PV_FDB_KEEP_LAST: whether there was one, and which was seen last; it is claimed now. */
	bool claimed;
	uint8_t mac[6];
	uint32_t place, age_s; /* of that; for pv_fdb_adopt() */
};

/* Claims the address that was seen last behind each port that says so, and forgets the others. `ports`: by port, for
 * as many as the table is for. While nobody else uses the table.
 */
void pv_fdb_adopt(struct pv_fdb *fdb, struct pv_fdb_adoption *ports, uint32_t now_s);
/* Forgets all addresses behind a port that is removed, static ones too. Nobody adds any meanwhile. */
void pv_fdb_remove_port(struct pv_fdb *fdb, uint16_t port);

/* Forgets dynamic addresses not seen for the ageing time. Called about once a second by the control thread. */
uint32_t pv_fdb_age(struct pv_fdb *fdb, uint32_t now_s);

/* Copies up to `max` addresses to `out`; returns how many there are in all. */
size_t pv_fdb_list(const struct pv_fdb *fdb, struct pv_fdb_address *out, size_t max, uint32_t now_s);
uint32_t pv_fdb_capacity(const struct pv_fdb *fdb);
uint32_t pv_fdb_ageing_s(const struct pv_fdb *fdb);
void pv_fdb_counters(const struct pv_fdb *fdb, struct pv_fdb_counters *counters);

#endif
