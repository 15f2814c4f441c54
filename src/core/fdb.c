/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every change of the table is one compare-and-swap of one word, and a loser starts over from a fresh look at the
 * bucket. That leaves two things to keep right:
 *
 * No address twice. Two workers that learn one address at the same moment normally want the same empty slot, and the
 * loser then finds the winner's word. If ageing or a flush empties another slot between their looks they may fill two.
 * So whoever has filled a slot looks at the bucket once more and removes the words of its address that stand above
 * another one, or all of them if there is a fixed one. The swaps and these looks are sequentially consistent: the
 * later of two writers sees the earlier one's word, so a duplicate lasts no longer than the second pv_fdb_learn().
 * Until then a lookup finds one of the two ports. The lowest word is never removed, so the address is not lost.
 *
 * No address fixed twice. An address is claimed in two steps: it is learned like any other, and then its word, as it
 * stands, becomes a claimed one by one swap. Of two that want to claim one address the later to fill a slot takes his
 * word, or the other's, away again, as above, and what is left is one word, for which the swap decides. Should a word
 * be evicted and learned anew between somebody's look and his swap, there may still be two claimed ones. So whoever has
 * fixed a word, also as a static one, looks once more, and takes his own away and starts over if there is another fixed
 * one: of two the later to look sees the other's, and nobody is told that an address is his before that look. Words
 * that are fixed are only removed by their owner, when nothing claims for that port any more, or by such a second look.
 * Static addresses are added by one thread at a time.
 *
 * No port over its limit. A place is taken from the port's count before the word goes in and given back after the word
 * came out, each exactly once, by the thread whose swap succeeded. A word that becomes claimed, or dynamic again, keeps
 * its place; static ones have none. So the count never falls below the number of words and both agree when nobody is
 * writing.
 */
#include "core/fdb.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define CACHE_LINE 64
#define SLOTS 8

/* A word: 48 bits of address, one that says "used", one each that say "claimed" and "static", 13 of port. */
#define PORT_BITS 13
#define PORT_MASK ((1u << PORT_BITS) - 1)
#define STATIC_BIT (UINT64_C(1) << PORT_BITS)
#define CLAIMED_BIT (STATIC_BIT << 1)
#define FIXED_BITS (STATIC_BIT | CLAIMED_BIT)
#define KEY_SHIFT (PORT_BITS + 2)
#define EMPTY UINT64_C(0)

struct bucket {
	_Alignas(CACHE_LINE) _Atomic uint64_t words[SLOTS];
};

struct seen {
	_Atomic uint32_t second[SLOTS];
};

struct pv_fdb {
	struct bucket *buckets;
	struct seen *seen;
	_Atomic uint32_t *owned; /* by each port: learned addresses */
	uint64_t mix[2];
	uint32_t n_buckets;
	uint32_t hash_shift;
	uint32_t ageing_s;
	uint32_t port_limit;
	uint16_t n_ports;

	/* Away from what every lookup reads. */
	_Alignas(CACHE_LINE) _Atomic uint64_t learned;
	_Atomic uint64_t moved, aged, evicted, refused;
};

/* The address and the used bit, so that no address equals an empty word, not even the all-zero one. */
static inline uint64_t
key_of(const uint8_t mac[6])
{
	uint32_t first;
	uint16_t last;

	memcpy(&first, mac, sizeof(first));
	memcpy(&last, mac + sizeof(first), sizeof(last));
	return ((uint64_t)last << 32 | first) << 1 | 1;
}

static void
mac_of(uint64_t word, uint8_t mac[6])
{
	uint64_t bits = word >> (KEY_SHIFT + 1);
	uint32_t first = (uint32_t)bits;
	uint16_t last = (uint16_t)(bits >> 32);

	memcpy(mac, &first, sizeof(first));
	memcpy(mac + sizeof(first), &last, sizeof(last));
}

static inline uint64_t
make_word(uint64_t key, uint16_t port)
{
	return key << KEY_SHIFT | port;
}

static inline uint16_t
port_of(uint64_t word)
{
	return word & PORT_MASK;
}

static inline bool
is_fixed(uint64_t word)
{
	return (word & FIXED_BITS) != 0;
}

static inline bool
is_dynamic(uint64_t word)
{
	return word != EMPTY && !is_fixed(word);
}

/*
 * The multipliers are secret, so a guest cannot choose addresses that share a bucket. A CRC would not do: it is linear,
 * and addresses that collide under one seed collide under all. The second round spreads consecutive addresses.
 */
static inline uint32_t
hash(const struct pv_fdb *fdb, uint64_t key)
{
	uint64_t mixed = key * fdb->mix[0];

	mixed = (mixed ^ mixed >> 32) * fdb->mix[1];
	return (uint32_t)(mixed >> fdb->hash_shift);
}

/* The word of `key`, the lowest if there are two, or EMPTY. Without a branch, for lookups. */
static inline uint64_t
find_word(const struct bucket *bucket, uint64_t key)
{
	uint64_t found = EMPTY;

#pragma GCC unroll 8
	for (int slot = SLOTS - 1; slot >= 0; slot--) {
		uint64_t word = atomic_load_explicit(&bucket->words[slot], memory_order_relaxed);

		found = word >> KEY_SHIFT == key ? word : found;
	}
	return found;
}

/* The slot of `key`, the lowest if there are two, and its word; -1 when it is not there. */
static inline int
find_slot(const struct bucket *bucket, uint64_t key, uint64_t *found)
{
	for (int slot = 0; slot < SLOTS; slot++) {
		*found = atomic_load_explicit(&bucket->words[slot], memory_order_relaxed);
		if (*found >> KEY_SHIFT == key)
			return slot;
	}
	return -1;
}

static void
count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static bool
take_place(struct pv_fdb *fdb, uint16_t port)
{
	uint32_t owned;

	assert(port < fdb->n_ports);
	owned = atomic_load_explicit(&fdb->owned[port], memory_order_relaxed);
	do {
		if (owned >= fdb->port_limit)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&fdb->owned[port], &owned, owned + 1, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static void
give_place_back(struct pv_fdb *fdb, uint64_t word)
{
	if (word != EMPTY && (word & STATIC_BIT) == 0)
		atomic_fetch_sub_explicit(&fdb->owned[port_of(word)], 1, memory_order_relaxed);
}

/* Puts `after` where `before` was; the place of `before` is free then. False when somebody was faster. */
static bool
replace(struct pv_fdb *fdb, _Atomic uint64_t *word, uint64_t before, uint64_t after)
{
	uint64_t expected = before;

	if (!atomic_compare_exchange_strong(word, &expected, after))
		return false;
	give_place_back(fdb, before);
	return true;
}

/* From which slot on dynamic words of `key` are superfluous: above the lowest one, or all beside a fixed one. */
static int
first_superfluous(const struct bucket *bucket, uint64_t key)
{
	int first = SLOTS;

	for (int slot = SLOTS - 1; slot >= 0; slot--) {
		uint64_t word = atomic_load(&bucket->words[slot]);

		if (word >> KEY_SHIFT != key)
			continue;
		if (is_fixed(word))
			return 0;
		first = slot + 1;
	}
	return first;
}

/* See the head of this file. */
static void
remove_duplicates(struct pv_fdb *fdb, struct bucket *bucket, uint64_t key)
{
	for (int slot = first_superfluous(bucket, key); slot < SLOTS; slot++) {
		_Atomic uint64_t *where = &bucket->words[slot];
		uint64_t word = atomic_load(where);

		while (is_dynamic(word) && word >> KEY_SHIFT == key && !replace(fdb, where, word, EMPTY))
			word = atomic_load(where);
	}
}

/* Where a new word goes: an empty slot, else the dynamic one not seen for the longest time; -1 when all are fixed. */
static int
choose_slot(const struct bucket *bucket, const struct seen *seen, uint32_t now_s, uint64_t *occupant)
{
	int chosen = -1;
	int64_t oldest = INT64_MIN;

	for (int slot = 0; slot < SLOTS; slot++) {
		uint64_t word = atomic_load_explicit(&bucket->words[slot], memory_order_relaxed);
		uint32_t second = atomic_load_explicit(&seen->second[slot], memory_order_relaxed);
		int64_t age = word == EMPTY ? INT64_MAX : (int32_t)(now_s - second);

		if (is_fixed(word) || age <= oldest)
			continue;
		oldest = age;
		chosen = slot;
		*occupant = word;
	}
	return chosen;
}

/* Puts `word` into the bucket of its key. The slot, -ENOSPC when all are fixed words, or -EAGAIN to look again. */
static int
insert(struct pv_fdb *fdb, uint32_t index, uint64_t word, uint32_t now_s)
{
	struct bucket *bucket = &fdb->buckets[index];
	uint64_t occupant;
	int slot = choose_slot(bucket, &fdb->seen[index], now_s, &occupant);

	if (slot < 0)
		return -ENOSPC;
	/* Before the word is there, lest it is aged out by the time of the former one. */
	atomic_store_explicit(&fdb->seen[index].second[slot], now_s, memory_order_relaxed);
	if (!replace(fdb, &bucket->words[slot], occupant, word))
		return -EAGAIN;
	if (occupant != EMPTY)
		count(&fdb->evicted);
	remove_duplicates(fdb, bucket, word >> KEY_SHIFT);
	return slot;
}

struct pv_fdb *
pv_fdb_new(uint32_t entries, uint32_t ageing_s, uint32_t port_limit, uint16_t ports)
{
	struct pv_fdb *fdb = aligned_alloc(CACHE_LINE, sizeof(*fdb));
	uint32_t bucket_bits = 1;

	if (fdb == NULL)
		return NULL;
	while (((uint64_t)SLOTS << bucket_bits) < entries)
		bucket_bits++;
	memset(fdb, 0, sizeof(*fdb));
	fdb->n_buckets = 1u << bucket_bits;
	fdb->hash_shift = 64 - bucket_bits;
	fdb->ageing_s = ageing_s;
	fdb->port_limit = port_limit;
	fdb->n_ports = ports;
	assert(ports <= PORT_MASK + 1);
	fdb->buckets = aligned_alloc(CACHE_LINE, fdb->n_buckets * sizeof(*fdb->buckets));
	fdb->seen = calloc(fdb->n_buckets, sizeof(*fdb->seen));
	fdb->owned = calloc(ports, sizeof(*fdb->owned));
	if (fdb->buckets == NULL || fdb->seen == NULL || fdb->owned == NULL ||
	    getrandom(fdb->mix, sizeof(fdb->mix), 0) != sizeof(fdb->mix)) {
		pv_fdb_free(fdb);
		return NULL;
	}
	memset(fdb->buckets, 0, fdb->n_buckets * sizeof(*fdb->buckets));
	fdb->mix[0] |= 1;
	fdb->mix[1] |= 1;
	return fdb;
}

void
pv_fdb_free(struct pv_fdb *fdb)
{
	if (fdb == NULL)
		return;
	free(fdb->buckets);
	free(fdb->seen);
	free(fdb->owned);
	free(fdb);
}

uint16_t
pv_fdb_lookup(const struct pv_fdb *fdb, const uint8_t mac[6])
{
	uint64_t key = key_of(mac);
	uint64_t word = find_word(&fdb->buckets[hash(fdb, key)], key);

	return word == EMPTY ? PV_FDB_NO_PORT : port_of(word);
}

/*
 * A word changes whenever its address is moved, aged, evicted or flushed, or another comes in its place. The slot found
 * is the lowest of the address; one that is filled below it for a moment is of a second writer, who then takes this one
 * away.
 */
uint16_t
pv_fdb_watch(const struct pv_fdb *fdb, const uint8_t mac[6], struct pv_fdb_guard *guard)
{
	uint64_t key = key_of(mac);
	const struct bucket *bucket = &fdb->buckets[hash(fdb, key)];
	int slot = find_slot(bucket, key, &guard->value);

	if (slot < 0)
		return PV_FDB_NO_PORT;
	guard->word = &bucket->words[slot];
	return port_of(guard->value);
}

/* Learns an address that was not in its bucket a moment ago. False: look again. */
static bool
learn_new(struct pv_fdb *fdb, uint32_t index, uint64_t word, uint32_t now_s, enum pv_fdb_learned *result)
{
	int inserted;

	*result = PV_FDB_REFUSED;
	if (!take_place(fdb, port_of(word)))
		return true;
	inserted = insert(fdb, index, word, now_s);
	if (inserted < 0) {
		give_place_back(fdb, word);
		return inserted == -ENOSPC;
	}
	*result = PV_FDB_LEARNED;
	return true;
}

static void
touch(struct seen *seen, int slot, uint32_t now_s)
{
	if (atomic_load_explicit(&seen->second[slot], memory_order_relaxed) != now_s)
		atomic_store_explicit(&seen->second[slot], now_s, memory_order_relaxed);
}

/* Puts `word` in the place of `old`, which is the same address behind another port. False: look again. */
static bool
move(struct pv_fdb *fdb, _Atomic uint64_t *where, uint64_t old, uint64_t word, enum pv_fdb_learned *result)
{
	*result = PV_FDB_REFUSED;
	if (!take_place(fdb, port_of(word)))
		return true;
	if (!replace(fdb, where, old, word)) {
		give_place_back(fdb, word);
		return false;
	}
	*result = PV_FDB_MOVED;
	return true;
}

/* One attempt to note `word`. False: somebody changed the bucket meanwhile, look again. */
static bool
note(struct pv_fdb *fdb, uint32_t index, uint64_t word, uint32_t now_s, enum pv_fdb_learned *result)
{
	struct bucket *bucket = &fdb->buckets[index];
	uint64_t old;
	int slot = find_slot(bucket, word >> KEY_SHIFT, &old);

	if (slot < 0)
		return learn_new(fdb, index, word, now_s, result);
	if (port_of(old) == port_of(word))
		*result = PV_FDB_KNOWN;
	else if (is_fixed(old))
		*result = PV_FDB_SPOOFED;
	else if (!move(fdb, &bucket->words[slot], old, word, result))
		return false;
	/* A refused move leaves the time alone, so the address ages out of the port that it left. */
	if (*result == PV_FDB_KNOWN || *result == PV_FDB_MOVED)
		touch(&fdb->seen[index], slot, now_s);
	return true;
}

static void
count_result(struct pv_fdb *fdb, enum pv_fdb_learned result)
{
	if (result == PV_FDB_LEARNED)
		count(&fdb->learned);
	else if (result == PV_FDB_MOVED)
		count(&fdb->moved);
	else if (result == PV_FDB_REFUSED)
		count(&fdb->refused);
}

enum pv_fdb_learned
pv_fdb_learn(struct pv_fdb *fdb, const uint8_t mac[6], uint16_t port, uint32_t now_s)
{
	uint64_t key = key_of(mac);
	uint32_t index = hash(fdb, key);
	enum pv_fdb_learned result;

	while (!note(fdb, index, make_word(key, port), now_s, &result))
		continue;
	if (result != PV_FDB_KNOWN)
		count_result(fdb, result);
	return result;
}

/* The slot of a fixed word of `key` other than `own`, or -1. */
static int
find_other_fixed(const struct bucket *bucket, uint64_t key, int own)
{
	for (int slot = 0; slot < SLOTS; slot++) {
		uint64_t word = atomic_load(&bucket->words[slot]);

		if (slot != own && word >> KEY_SHIFT == key && is_fixed(word))
			return slot;
	}
	return -1;
}

/* After `word` was fixed at a slot. False: there is another one; ours is gone again then. */
static bool
settle_fixed(struct pv_fdb *fdb, struct bucket *bucket, int slot, uint64_t word)
{
	uint64_t key = word >> KEY_SHIFT;

	if (find_other_fixed(bucket, key, slot) >= 0) {
		replace(fdb, &bucket->words[slot], word, EMPTY);
		return false;
	}
	remove_duplicates(fdb, bucket, key);
	return true;
}

/* One attempt to claim the address of `word`, a dynamic one. False: look again. */
static bool
claim(struct pv_fdb *fdb, uint32_t index, uint64_t word, uint32_t now_s, enum pv_fdb_learned *result)
{
	struct bucket *bucket = &fdb->buckets[index];
	uint64_t old;
	int slot;

	if (!note(fdb, index, word, now_s, result))
		return false;
	if (*result == PV_FDB_SPOOFED || *result == PV_FDB_REFUSED)
		return true;
	slot = find_slot(bucket, word >> KEY_SHIFT, &old);
	if (slot < 0 || port_of(old) != port_of(word))
		return false;
	*result = PV_FDB_KNOWN;
	if (is_fixed(old))
		return true;
	*result = PV_FDB_LEARNED;
	/* The place of the dynamic word is the claimed one's. */
	return atomic_compare_exchange_strong(&bucket->words[slot], &old, word | CLAIMED_BIT) &&
	       settle_fixed(fdb, bucket, slot, word | CLAIMED_BIT);
}

enum pv_fdb_learned
pv_fdb_claim(struct pv_fdb *fdb, const uint8_t mac[6], uint16_t port, uint32_t now_s)
{
	uint64_t key = key_of(mac);
	uint32_t index = hash(fdb, key);
	enum pv_fdb_learned result;

	while (!claim(fdb, index, make_word(key, port), now_s, &result))
		continue;
	if (result != PV_FDB_KNOWN)
		count_result(fdb, result);
	return result;
}

void
pv_fdb_unclaim(struct pv_fdb *fdb, const uint8_t mac[6], uint16_t port)
{
	uint64_t key = key_of(mac), word = make_word(key, port) | CLAIMED_BIT;
	struct bucket *bucket = &fdb->buckets[hash(fdb, key)];

	for (int slot = 0; slot < SLOTS; slot++)
		replace(fdb, &bucket->words[slot], word, EMPTY);
}

/* One attempt to put a static word in. -EAGAIN: look again. */
static int
add_static(struct pv_fdb *fdb, uint32_t index, uint64_t word)
{
	struct bucket *bucket = &fdb->buckets[index];
	uint64_t key = word >> KEY_SHIFT, old;
	int slot = find_slot(bucket, key, &old);

	if (slot >= 0 && is_fixed(old) && port_of(old) != port_of(word))
		return -EEXIST;
	if (slot < 0)
		slot = insert(fdb, index, word, 0);
	else if (old != word && !replace(fdb, &bucket->words[slot], old, word))
		return -EAGAIN;
	if (slot < 0)
		return slot;
	return settle_fixed(fdb, bucket, slot, word) ? 0 : -EAGAIN;
}

int
pv_fdb_add_static(struct pv_fdb *fdb, const uint8_t mac[6], uint16_t port)
{
	uint64_t key = key_of(mac);
	uint32_t index = hash(fdb, key);
	int result;

	do
		result = add_static(fdb, index, make_word(key, port) | STATIC_BIT);
	while (result == -EAGAIN);
	return result;
}

/* What a sweep over the table removes. */
struct sweep {
	bool (*matches)(const struct pv_fdb *fdb, uint64_t word, uint32_t second, uint32_t argument);
	uint32_t argument;
};

static bool
is_of_port(const struct pv_fdb *fdb, uint64_t word, uint32_t second, uint32_t port)
{
	(void)fdb;
	(void)second;
	return word != EMPTY && (word & STATIC_BIT) == 0 && port_of(word) == port;
}

static bool
is_aged(const struct pv_fdb *fdb, uint64_t word, uint32_t second, uint32_t now_s)
{
	/* Signed: a worker's clock may be ahead of the caller's. */
	return is_dynamic(word) && (int64_t)(int32_t)(now_s - second) >= (int64_t)fdb->ageing_s;
}

static uint32_t
sweep_bucket(struct pv_fdb *fdb, uint32_t index, const struct sweep *sweep)
{
	uint32_t removed = 0;

	for (int slot = 0; slot < SLOTS; slot++) {
		_Atomic uint64_t *where = &fdb->buckets[index].words[slot];
		uint64_t word = atomic_load_explicit(where, memory_order_relaxed);
		uint32_t second = atomic_load_explicit(&fdb->seen[index].second[slot], memory_order_relaxed);

		/* A word that changes under us is a fresh one: left alone by ageing, and not there after a quiesce. */
		if (sweep->matches(fdb, word, second, sweep->argument))
			removed += replace(fdb, where, word, EMPTY);
	}
	return removed;
}

static uint32_t
sweep_table(struct pv_fdb *fdb, struct sweep sweep)
{
	uint32_t removed = 0;

	for (uint32_t index = 0; index < fdb->n_buckets; index++)
		removed += sweep_bucket(fdb, index, &sweep);
	return removed;
}

uint32_t
pv_fdb_flush_port(struct pv_fdb *fdb, uint16_t port)
{
	return sweep_table(fdb, (struct sweep){ .matches = is_of_port, .argument = port });
}

void
pv_fdb_remove_port(struct pv_fdb *fdb, uint16_t port)
{
	for (uint32_t place = 0; place < pv_fdb_capacity(fdb); place++) {
		_Atomic uint64_t *where = &fdb->buckets[place / SLOTS].words[place % SLOTS];
		uint64_t word = atomic_load_explicit(where, memory_order_relaxed);

		while (word != EMPTY && port_of(word) == port && !replace(fdb, where, word, EMPTY))
			word = atomic_load_explicit(where, memory_order_relaxed);
	}
}

uint32_t
pv_fdb_age(struct pv_fdb *fdb, uint32_t now_s)
{
	uint32_t aged = sweep_table(fdb, (struct sweep){ .matches = is_aged, .argument = now_s });

	atomic_fetch_add_explicit(&fdb->aged, aged, memory_order_relaxed);
	return aged;
}

/* --- claims begin and end ----------------------------------------------------------------------------------------- */

static _Atomic uint64_t *
word_at(const struct pv_fdb *fdb, uint32_t place)
{
	return &fdb->buckets[place / SLOTS].words[place % SLOTS];
}

uint32_t
pv_fdb_release_claims(struct pv_fdb *fdb, uint32_t now_s)
{
	uint32_t released = 0;

	for (uint32_t place = 0; place < pv_fdb_capacity(fdb); place++) {
		uint64_t word = atomic_load(word_at(fdb, place));

		if ((word & CLAIMED_BIT) == 0)
			continue;
		touch(&fdb->seen[place / SLOTS], (int)(place % SLOTS), now_s);
		released += atomic_compare_exchange_strong(word_at(fdb, place), &word, word & ~CLAIMED_BIT);
	}
	return released;
}

/* Of the dynamic address at a place, whether it was seen later than what its port has had so far; notes it then. */
static void
consider(const struct pv_fdb *fdb, uint32_t place, struct pv_fdb_adoption *port, uint32_t now_s)
{
	uint32_t second = atomic_load(&fdb->seen[place / SLOTS].second[place % SLOTS]);
	int32_t age_s = (int32_t)(now_s - second);

	if (port->claimed && age_s >= (int32_t)port->age_s)
		return;
	port->claimed = true;
	port->place = place;
	port->age_s = (uint32_t)age_s;
	mac_of(atomic_load(word_at(fdb, place)), port->mac);
}

void
pv_fdb_adopt(struct pv_fdb *fdb, struct pv_fdb_adoption *ports, uint32_t now_s)
{
	uint32_t capacity = pv_fdb_capacity(fdb);

	for (uint16_t port = 0; port < fdb->n_ports; port++)
		ports[port].claimed = false;
	for (uint32_t place = 0; place < capacity; place++) {
		uint64_t word = atomic_load(word_at(fdb, place));

		if (is_dynamic(word) && ports[port_of(word)].keep == PV_FDB_KEEP_LAST)
			consider(fdb, place, &ports[port_of(word)], now_s);
	}
	for (uint32_t place = 0; place < capacity; place++) {
		uint64_t word = atomic_load(word_at(fdb, place));
		const struct pv_fdb_adoption *port = &ports[port_of(word)];

		if (!is_dynamic(word) || port->keep == PV_FDB_KEEP_ALL)
			continue;
		if (port->claimed && port->place == place)
			atomic_store(word_at(fdb, place), word | CLAIMED_BIT);
		else
			replace(fdb, word_at(fdb, place), word, EMPTY);
	}
}

static struct pv_fdb_address
describe(uint64_t word, uint32_t second, uint32_t now_s)
{
	struct pv_fdb_address address = {
		.port = port_of(word),
		.is_static = (word & STATIC_BIT) != 0,
		.is_claimed = (word & CLAIMED_BIT) != 0,
	};

	mac_of(word, address.mac);
	if (!is_fixed(word) && (int32_t)(now_s - second) > 0)
		address.age_s = now_s - second;
	return address;
}

size_t
pv_fdb_list(const struct pv_fdb *fdb, struct pv_fdb_address *out, size_t max, uint32_t now_s)
{
	size_t there = 0;

	for (uint32_t place = 0; place < pv_fdb_capacity(fdb); place++) {
		uint32_t index = place / SLOTS, slot = place % SLOTS;
		uint64_t word = atomic_load_explicit(&fdb->buckets[index].words[slot], memory_order_relaxed);
		uint32_t second = atomic_load_explicit(&fdb->seen[index].second[slot], memory_order_relaxed);

		if (word == EMPTY)
			continue;
		if (there < max)
			out[there] = describe(word, second, now_s);
		there++;
	}
	return there;
}

uint32_t
pv_fdb_capacity(const struct pv_fdb *fdb)
{
	return fdb->n_buckets * SLOTS;
}

uint32_t
pv_fdb_ageing_s(const struct pv_fdb *fdb)
{
	return fdb->ageing_s;
}

void
pv_fdb_counters(const struct pv_fdb *fdb, struct pv_fdb_counters *counters)
{
	counters->learned = atomic_load_explicit(&fdb->learned, memory_order_relaxed);
	counters->moved = atomic_load_explicit(&fdb->moved, memory_order_relaxed);
	counters->aged = atomic_load_explicit(&fdb->aged, memory_order_relaxed);
	counters->evicted = atomic_load_explicit(&fdb->evicted, memory_order_relaxed);
	counters->refused = atomic_load_explicit(&fdb->refused, memory_order_relaxed);
}
