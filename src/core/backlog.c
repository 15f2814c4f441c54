/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/backlog.h"

#include <sys/queue.h>

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "core/contexts.h"
#include "core/datapath.h"
#include "vio/offload.h"

#define POOL_SHARE 4	   /* one part in so many of the pool waits, at most, over all workers */
#define QUEUE_BUFFERS 2048 /* that wait for one queue */
#define QUEUES_MAX 256	   /* that frames wait for at once; beyond that they are dropped */
#define LANES_MAX 4096	   /* the same of lanes */
#define DEAR_US 5	   /* more for an attempt, and for each buffer that it sent, is dear; */
#define DEAR_TIMES 2	   /* so often in a row is no accident; */
#define DEAR_SHARE 32	   /* and one part in so many of the time is for those, */
#define DEAR_PAUSE_US 1000 /* with no longer a pause */

/* A frame that waits. */
struct entry {
	STAILQ_ENTRY(entry) link;
	struct rte_mbuf *packet;
	uint64_t until; /* time stamp */
	uint32_t bytes;
	uint16_t buffers;
	uint16_t sender; /* PV_PORTS_MAX: nobody knows */
};
STAILQ_HEAD(entries, entry);

struct lane {
	TAILQ_ENTRY(lane) link; /* in the order of turns; or free */
	struct entries entries;
	struct pv_port *port; /* the sender; NULL: it is gone, or nobody knows */
	uint32_t buffers;
	uint16_t sender;
	bool in_turn;
	bool clogs; /* counted in port->clogged_lanes */
	bool has_blocked;
	uint32_t sent_then; /* by the queue, when it last had the sender blocked */
	uint64_t deficit;
};
TAILQ_HEAD(lanes, lane);

/* Frames that wait for one queue. */
struct egress {
	TAILQ_ENTRY(egress) link; /* of those in use; or free */
	struct pv_port *port;
	uint16_t queue;
	uint16_t n_chosen, n_lanes;
	uint32_t sent;	   /* frames, since they began to wait */
	uint16_t dear;	   /* attempts to send, in a row, that were; DEAR_TIMES at most */
	uint32_t times_up; /* of the port, when they began to wait */
	uint32_t buffers;
	uint64_t look_at;		    /* before, none has waited for too long */
	struct entry *chosen[PV_BURST_MAX]; /* the next burst: out of their lanes already */
	struct lanes lanes;
	uint16_t lane_of[PV_PORTS_MAX + 1]; /* by sender: its place, plus 1 */
};
TAILQ_HEAD(egresses, egress);

#define QUANTUM_MAX 16384u /* bytes: what waits is of many senders, and the next is not to wait for long */

struct pv_backlog_parts {
	struct pv_worker *worker;
	struct entry *all_entries;
	struct lane *all_lanes;
	struct egress *all_egresses;
	struct entries free_entries;
	struct lanes free_lanes;
	struct egresses free_egresses, used;
	uint32_t buffers, buffers_max, queue_max;
	uint32_t room; /* bytes in a buffer */
	uint64_t hold_cycles, backpressure_cycles, dear_cycles;
	uint64_t dear_from; /* time stamp from which a queue may be tried again whose attempts are dear */
};

/* --- making ------------------------------------------------------------------------------------------------------- */

static void
link_free(struct pv_backlog_parts *parts, uint32_t n_lanes)
{
	STAILQ_INIT(&parts->free_entries);
	TAILQ_INIT(&parts->free_lanes);
	TAILQ_INIT(&parts->free_egresses);
	TAILQ_INIT(&parts->used);
	for (uint32_t i = 0; i < parts->buffers_max; i++)
		STAILQ_INSERT_TAIL(&parts->free_entries, &parts->all_entries[i], link);
	for (uint32_t i = 0; i < n_lanes; i++)
		TAILQ_INSERT_TAIL(&parts->free_lanes, &parts->all_lanes[i], link);
	for (uint32_t i = 0; i < QUEUES_MAX; i++)
		TAILQ_INSERT_TAIL(&parts->free_egresses, &parts->all_egresses[i], link);
}

static void
take_options(struct pv_backlog *backlog)
{
	const struct pv_contexts_options *options = &backlog->parts->worker->datapath->contexts;
	uint64_t hz = rte_get_tsc_hz();

	backlog->parts->hold_cycles = options->hold_us * hz / 1000000;
	backlog->parts->dear_cycles = DEAR_US * hz / 1000000;
	backlog->parts->backpressure_cycles = options->backpressure_us * hz / 1000000;
}

static struct pv_backlog_parts *
make_parts(struct pv_worker *worker)
{
	const struct pv_datapath *datapath = worker->datapath;
	struct pv_backlog_parts *parts = rte_zmalloc("pv_backlog_parts", sizeof(*parts), RTE_CACHE_LINE_SIZE);
	uint32_t n_lanes;

	if (parts == NULL)
		return NULL;
	parts->worker = worker;
	parts->room = rte_pktmbuf_data_room_size(datapath->pool) - (uint32_t)RTE_PKTMBUF_HEADROOM;
	parts->buffers_max = datapath->pool->size / POOL_SHARE / (uint32_t)datapath->config->n_workers;
	parts->queue_max = RTE_MIN(parts->buffers_max, QUEUE_BUFFERS);
	n_lanes = RTE_MIN(parts->buffers_max, LANES_MAX);
	parts->all_entries = rte_calloc("pv_backlog", parts->buffers_max, sizeof(*parts->all_entries), 0);
	parts->all_lanes = rte_calloc("pv_lanes", n_lanes, sizeof(*parts->all_lanes), 0);
	parts->all_egresses = rte_calloc("pv_egresses", QUEUES_MAX, sizeof(*parts->all_egresses), 0);
	if (parts->all_entries == NULL || parts->all_lanes == NULL || parts->all_egresses == NULL)
		return parts;
	link_free(parts, n_lanes);
	return parts;
}

static void
free_parts(struct pv_backlog_parts *parts)
{
	rte_free(parts->all_entries);
	rte_free(parts->all_lanes);
	rte_free(parts->all_egresses);
	rte_free(parts);
}

/* NULL without memory. */
static struct pv_backlog *
make_backlog(struct pv_worker *worker)
{
	struct pv_backlog *backlog = rte_zmalloc("pv_backlog", sizeof(*backlog), RTE_CACHE_LINE_SIZE);

	if (backlog == NULL)
		return NULL;
	backlog->parts = make_parts(worker);
	if (backlog->parts != NULL && backlog->parts->all_egresses != NULL && backlog->parts->all_entries != NULL &&
	    backlog->parts->all_lanes != NULL) {
		take_options(backlog);
		return backlog;
	}
	if (backlog->parts != NULL)
		free_parts(backlog->parts);
	rte_free(backlog);
	return NULL;
}

/* --- entries and lanes -------------------------------------------------------------------------------------------- */

/* Buffers of one lane, where there are so many. */
static uint32_t
part_of_lane(const struct pv_backlog_parts *parts, uint32_t n_lanes)
{
	return RTE_MAX(parts->queue_max / RTE_MAX(n_lanes, 1u), (uint32_t)PV_BURST_MAX);
}

/* Says to whoever polls the sender whether much of what it sent waits. */
static void
tell_sender(const struct pv_backlog_parts *parts, const struct egress *egress, struct lane *lane)
{
	bool clogs = lane->port != NULL && pv_is_context(lane->port) &&
		     lane->buffers > RTE_MIN(part_of_lane(parts, egress->n_lanes) / 2, (uint32_t)PV_BURST_MAX);

	if (clogs == lane->clogs)
		return;
	lane->clogs = clogs;
	if (clogs)
		atomic_fetch_add_explicit(&lane->port->clogged_lanes, 1, memory_order_relaxed);
	else
		atomic_fetch_sub_explicit(&lane->port->clogged_lanes, 1, memory_order_relaxed);
}

/*
 * More of the sender has come though much of it waits: it is left alone for a while from now on, or still is. Not again
 * for a receiver that has taken nothing meanwhile: to wait is of no use there, and nobody is to hold up what others get
 * by doing nothing.
 */
static void
block_sender(const struct pv_backlog_parts *parts, const struct egress *egress, struct lane *lane, uint64_t now)
{
	if (!lane->clogs || atomic_load_explicit(&lane->port->blocked_until, memory_order_relaxed) > now ||
	    (lane->has_blocked && lane->sent_then == egress->sent))
		return;
	lane->has_blocked = true;
	lane->sent_then = egress->sent;
	atomic_store_explicit(&lane->port->blocked_until, now + parts->backpressure_cycles, memory_order_relaxed);
}

static void
forget_sender(struct lane *lane)
{
	if (lane->clogs)
		atomic_fetch_sub_explicit(&lane->port->clogged_lanes, 1, memory_order_relaxed);
	lane->clogs = false;
	lane->port = NULL;
}

static struct lane *
begin_lane(struct pv_backlog_parts *parts, struct egress *egress, uint16_t sender)
{
	struct lane *lane = TAILQ_FIRST(&parts->free_lanes);

	if (lane == NULL)
		return NULL;
	TAILQ_REMOVE(&parts->free_lanes, lane, link);
	*lane = (struct lane){ .sender = sender };
	STAILQ_INIT(&lane->entries);
	TAILQ_INSERT_TAIL(&egress->lanes, lane, link);
	egress->lane_of[sender] = (uint16_t)(lane - parts->all_lanes + 1);
	egress->n_lanes++;
	return lane;
}

static void
end_lane(struct pv_backlog_parts *parts, struct egress *egress, struct lane *lane)
{
	forget_sender(lane);
	TAILQ_REMOVE(&egress->lanes, lane, link);
	TAILQ_INSERT_HEAD(&parts->free_lanes, lane, link);
	egress->lane_of[lane->sender] = 0;
	egress->n_lanes--;
}

static struct lane *
find_lane(const struct pv_backlog_parts *parts, const struct egress *egress, uint16_t sender)
{
	uint16_t place = egress->lane_of[sender];

	return place != 0 ? &parts->all_lanes[place - 1] : NULL;
}

/* Takes the oldest entry out of its lane, which may end with it. */
static struct entry *
pop(struct pv_backlog_parts *parts, struct egress *egress, struct lane *lane)
{
	struct entry *entry = STAILQ_FIRST(&lane->entries);

	STAILQ_REMOVE_HEAD(&lane->entries, link);
	lane->buffers -= entry->buffers;
	if (STAILQ_EMPTY(&lane->entries))
		end_lane(parts, egress, lane);
	else
		tell_sender(parts, egress, lane);
	return entry;
}

/* An entry that is in no lane any more, and whose packet is somebody else's now, waits no more. */
static void
leave(struct pv_backlog *backlog, struct egress *egress, struct entry *entry)
{
	struct pv_backlog_parts *parts = backlog->parts;

	if (entry->sender < PV_PORTS_MAX)
		backlog->waiting[entry->sender]--;
	backlog->frames--;
	egress->buffers -= entry->buffers;
	parts->buffers -= entry->buffers;
	STAILQ_INSERT_HEAD(&parts->free_entries, entry, link);
}

static void
drop(struct pv_backlog *backlog, struct egress *egress, struct entry *entry, uint16_t reason)
{
	pv_drop(backlog->parts->worker, egress->port->id, reason, entry->packet);
	leave(backlog, egress, entry);
}

/* --- queues ------------------------------------------------------------------------------------------------------- */

static struct egress *
find_egress(const struct pv_backlog *backlog, uint16_t port, uint16_t queue)
{
	uint16_t place = backlog->place[port][queue];

	return place != 0 ? &backlog->parts->all_egresses[place - 1] : NULL;
}

/* NULL when frames wait for too many queues already. */
static struct egress *
begin_egress(struct pv_backlog *backlog, struct pv_port *port, uint16_t queue)
{
	struct pv_backlog_parts *parts = backlog->parts;
	struct egress *egress = TAILQ_FIRST(&parts->free_egresses);

	if (egress == NULL)
		return NULL;
	TAILQ_REMOVE(&parts->free_egresses, egress, link);
	TAILQ_INSERT_TAIL(&parts->used, egress, link);
	TAILQ_INIT(&egress->lanes);
	egress->port = port;
	egress->queue = queue;
	egress->sent = 0;
	egress->dear = 0;
	egress->times_up = port->times_up;
	egress->look_at = UINT64_MAX;
	backlog->place[port->id][queue] = (uint16_t)(egress - parts->all_egresses + 1);
	return egress;
}

static bool
is_empty(const struct egress *egress)
{
	return egress->n_chosen == 0 && egress->n_lanes == 0;
}

static void
end_if_empty(struct pv_backlog *backlog, struct egress *egress)
{
	if (!is_empty(egress))
		return;
	TAILQ_REMOVE(&backlog->parts->used, egress, link);
	TAILQ_INSERT_HEAD(&backlog->parts->free_egresses, egress, link);
	backlog->place[egress->port->id][egress->queue] = 0;
}

/* The next entry in the order in which it would be sent, or at least in the order of its sender. It leaves its place.
 */
static struct entry *
take_any(struct pv_backlog_parts *parts, struct egress *egress)
{
	struct entry *entry;

	if (egress->n_chosen == 0)
		return pop(parts, egress, TAILQ_FIRST(&egress->lanes));
	entry = egress->chosen[0];
	egress->n_chosen--;
	memmove(egress->chosen, egress->chosen + 1, egress->n_chosen * sizeof(egress->chosen[0]));
	return entry;
}

/* Drops all that waits for a queue. Returns how many frames. */
static uint32_t
drop_all(struct pv_backlog *backlog, struct egress *egress, uint16_t reason)
{
	uint32_t dropped = 0;

	for (; !is_empty(egress); dropped++)
		drop(backlog, egress, take_any(backlog->parts, egress), reason);
	end_if_empty(backlog, egress);
	return dropped;
}

/* --- keeping ------------------------------------------------------------------------------------------------------ */

static struct lane *
longest_lane(const struct egress *egress)
{
	struct lane *lane, *longest = NULL;

	TAILQ_FOREACH(lane, &egress->lanes, link)
	if (longest == NULL || lane->buffers > longest->buffers)
		longest = lane;
	return longest;
}

static struct egress *
longest_queue(const struct pv_backlog_parts *parts)
{
	struct egress *egress, *longest = NULL;

	TAILQ_FOREACH(egress, &parts->used, link)
	if (longest == NULL || egress->buffers > longest->buffers)
		longest = egress;
	return longest;
}

/* Has the longest lane of a queue lose a frame to one that would be of `buffers`. False when that is none shorter. */
static bool
displace(struct pv_backlog *backlog, struct egress *from, uint32_t buffers)
{
	struct lane *lane = longest_lane(from);

	if (lane == NULL || lane->buffers <= buffers)
		return false;
	drop(backlog, from, pop(backlog->parts, from, lane), PV_DROP_RING_FULL);
	backlog->counters.displaced++;
	return true;
}

/*
 * The same where most of a long queue is in its next burst already, which no lane has: it loses the newest of that to a
 * queue that would be shorter. Else receivers that take nothing could have all the room there is.
 */
static bool
displace_chosen(struct pv_backlog *backlog, struct egress *from, const struct egress *to, uint32_t buffers)
{
	if (from == to || from->n_chosen == 0 || from->buffers <= to->buffers + buffers)
		return false;
	drop(backlog, from, from->chosen[--from->n_chosen], PV_DROP_RING_FULL);
	backlog->counters.displaced++;
	return true;
}

/* Room for a frame in a sender's lane, which may not be there yet (NULL). */
static bool
make_room(struct pv_backlog *backlog, struct egress *egress, const struct lane *lane, uint32_t needed)
{
	struct pv_backlog_parts *parts = backlog->parts;
	uint32_t own = lane != NULL ? lane->buffers : 0;

	if (own > 0 && own + needed > part_of_lane(parts, egress->n_lanes))
		return false;
	while (egress->buffers + needed > parts->queue_max)
		if (!displace(backlog, egress, own + needed))
			return false;
	while (parts->buffers + needed > parts->buffers_max) {
		struct egress *longest = longest_queue(parts);

		if (longest == NULL ||
		    (!displace(backlog, longest, own + needed) && !displace_chosen(backlog, longest, egress, needed)))
			return false;
		if (longest != egress)
			end_if_empty(backlog, longest);
	}
	return lane != NULL || !TAILQ_EMPTY(&parts->free_lanes);
}

static struct pv_port *
find_sender(const struct pv_backlog_parts *parts, uint16_t sender)
{
	return sender < PV_PORTS_MAX ? parts->worker->datapath->ports[sender] : NULL;
}

/* Puts a packet behind its sender's others; there is room. */
static void
push(struct pv_backlog *backlog, struct egress *egress, struct rte_mbuf *packet, uint64_t now, uint64_t until)
{
	struct pv_backlog_parts *parts = backlog->parts;
	uint16_t sender = RTE_MIN(packet->port, (uint16_t)PV_PORTS_MAX);
	struct entry *entry = STAILQ_FIRST(&parts->free_entries);
	struct lane *lane = find_lane(parts, egress, sender);

	if (lane == NULL)
		lane = begin_lane(parts, egress, sender);
	if (lane->port == NULL)
		lane->port = find_sender(parts, sender);
	STAILQ_REMOVE_HEAD(&parts->free_entries, link);
	entry->packet = packet;
	entry->until = until;
	entry->bytes = packet->pkt_len;
	entry->buffers = packet->nb_segs;
	entry->sender = sender;
	STAILQ_INSERT_TAIL(&lane->entries, entry, link);
	lane->buffers += entry->buffers;
	egress->buffers += entry->buffers;
	egress->look_at = RTE_MIN(egress->look_at, until);
	parts->buffers += entry->buffers;
	backlog->frames++;
	if (sender < PV_PORTS_MAX)
		backlog->waiting[sender]++;
	tell_sender(parts, egress, lane);
	block_sender(parts, egress, lane, now);
}

static void
keep(struct pv_backlog *backlog, struct egress *egress, struct rte_mbuf *packet, uint64_t now)
{
	struct pv_backlog_parts *parts = backlog->parts;
	struct pv_worker *worker = parts->worker;
	uint16_t sender = RTE_MIN(packet->port, (uint16_t)PV_PORTS_MAX);
	bool own = pv_offload_is_own(packet);
	uint32_t needed = own ? packet->nb_segs : packet->pkt_len / parts->room + 2;

	if (!make_room(backlog, egress, find_lane(parts, egress, sender), needed)) {
		backlog->counters.refused++;
		pv_drop(worker, egress->port->id, PV_DROP_RING_FULL, packet);
		return;
	}
	if (!own && pv_offload_own(packet, worker->datapath->pool) != 0) {
		pv_drop(worker, egress->port->id, PV_DROP_NO_BUFFER, packet);
		return;
	}
	backlog->counters.kept++;
	push(backlog, egress, packet, now, now + parts->hold_cycles);
}

static void
drop_packets(struct pv_worker *worker, uint16_t port, uint16_t reason, struct rte_mbuf **packets, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		pv_drop(worker, port, reason, packets[i]);
}

void
pv_backlog_keep(struct pv_worker *worker, struct pv_port *port, uint16_t queue, struct rte_mbuf **packets,
		uint16_t count)
{
	struct pv_backlog *backlog = worker->backlog;
	struct egress *egress = find_egress(backlog, port->id, queue);
	uint64_t now = rte_rdtsc();

	if (!port->up) {
		drop_packets(worker, port->id, PV_DROP_PORT_DOWN, packets, count);
		return;
	}
	if (egress != NULL && egress->times_up != port->times_up) {
		drop_all(backlog, egress, PV_DROP_PORT_DOWN);
		egress = NULL;
	}
	if (egress == NULL)
		egress = begin_egress(backlog, port, queue);
	if (egress == NULL) {
		backlog->counters.refused += count;
		drop_packets(worker, port->id, PV_DROP_RING_FULL, packets, count);
		return;
	}
	for (uint16_t i = 0; i < count; i++)
		keep(backlog, egress, packets[i], now);
	end_if_empty(backlog, egress);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

/* Bytes of a lane's turn. */
static uint64_t
turn_of(const struct pv_backlog_parts *parts, const struct lane *lane)
{
	uint64_t weight = lane->port != NULL ? lane->port->weight : 1;

	return RTE_MIN(parts->worker->datapath->contexts.quantum, QUANTUM_MAX) * RTE_MAX(weight, 1u);
}

/* Fills the next burst: deficit round robin, by bytes. */
static void
choose(struct pv_backlog_parts *parts, struct egress *egress)
{
	struct lane *lane;

	while (egress->n_chosen < PV_BURST_MAX && (lane = TAILQ_FIRST(&egress->lanes)) != NULL) {
		if (!lane->in_turn)
			lane->deficit += turn_of(parts, lane);
		lane->in_turn = STAILQ_FIRST(&lane->entries)->bytes <= lane->deficit;
		if (!lane->in_turn) {
			TAILQ_REMOVE(&egress->lanes, lane, link);
			TAILQ_INSERT_TAIL(&egress->lanes, lane, link);
			continue;
		}
		lane->deficit -= STAILQ_FIRST(&lane->entries)->bytes;
		egress->chosen[egress->n_chosen++] = pop(parts, egress, lane);
	}
}

/* Gives the port the next burst. Returns how much of it was taken. */
static uint16_t
send_chosen(struct pv_backlog *backlog, struct egress *egress)
{
	struct pv_port *port = egress->port;
	struct pv_port_counters *counters = &backlog->parts->worker->ports[port->id];
	struct rte_mbuf *packets[PV_BURST_MAX];
	uint16_t sent;

	for (uint16_t i = 0; i < egress->n_chosen; i++)
		packets[i] = egress->chosen[i]->packet;
	sent = port->ops->tx_burst(port, egress->queue, packets, egress->n_chosen);
	egress->sent += sent;
	for (uint16_t i = 0; i < sent; i++) {
		counters->tx_packets++;
		counters->tx_bytes += egress->chosen[i]->bytes;
		leave(backlog, egress, egress->chosen[i]);
	}
	egress->n_chosen -= sent;
	memmove(egress->chosen, egress->chosen + sent, egress->n_chosen * sizeof(egress->chosen[0]));
	return sent;
}

/* Sends what there is room for. Returns how many frames. */
static uint32_t
send_some(struct pv_backlog *backlog, struct egress *egress)
{
	uint32_t total = 0;
	uint16_t wanted, sent;

	choose(backlog->parts, egress);
	do {
		wanted = egress->n_chosen;
		sent = wanted > 0 ? send_chosen(backlog, egress) : 0;
		total += sent;
		if (sent > 0)
			choose(backlog->parts, egress); /* lanes become shorter at once */
	} while (sent > 0 && sent == wanted);
	return total;
}

/* The next time is the turn of another such queue, if there is one. */
static void
pause_dear(struct pv_backlog_parts *parts, struct egress *egress, uint64_t start)
{
	uint64_t now = rte_rdtsc(), longest = parts->dear_cycles / DEAR_US * DEAR_PAUSE_US;

	parts->dear_from = now + RTE_MIN((now - start) * DEAR_SHARE, longest);
	TAILQ_REMOVE(&parts->used, egress, link);
	TAILQ_INSERT_TAIL(&parts->used, egress, link);
}

/*
 * Sends what there is room for, in each round: that costs next to nothing while the queue is full. But a guest can have
 * us fill a long row of small buffers before they turn out to be too few for a frame; all such queues together have a
 * small part of the time. Returns how many frames.
 */
static uint32_t
try_to_send(struct pv_backlog *backlog, struct egress *egress)
{
	struct pv_backlog_parts *parts = backlog->parts;
	uint32_t buffers = egress->buffers, sent;
	uint64_t start = rte_rdtsc();

	if (egress->dear == DEAR_TIMES && start < parts->dear_from)
		return 0;
	sent = send_some(backlog, egress);
	if (likely(rte_rdtsc() - start <= parts->dear_cycles * (1 + buffers - egress->buffers)))
		egress->dear = 0;
	else if (egress->dear < DEAR_TIMES)
		egress->dear++;
	if (unlikely(egress->dear == DEAR_TIMES))
		pause_dear(parts, egress, start);
	return sent;
}

static void
drop_expired(struct pv_backlog *backlog, struct egress *egress, struct entry *entry)
{
	backlog->counters.expired++;
	drop(backlog, egress, entry, PV_DROP_RING_FULL);
}

static void
expire_chosen(struct pv_backlog *backlog, struct egress *egress, uint64_t now)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < egress->n_chosen; i++) {
		struct entry *entry = egress->chosen[i];

		if (entry->until <= now) {
			drop_expired(backlog, egress, entry);
			continue;
		}
		egress->chosen[kept++] = entry;
		egress->look_at = RTE_MIN(egress->look_at, entry->until);
	}
	egress->n_chosen = kept;
}

/* A lane has its oldest first. */
static void
expire_lane(struct pv_backlog *backlog, struct egress *egress, struct lane *lane, uint64_t now)
{
	const struct entry *oldest;

	while ((oldest = STAILQ_FIRST(&lane->entries)) != NULL && oldest->until <= now)
		drop_expired(backlog, egress, pop(backlog->parts, egress, lane));
	if (oldest != NULL)
		egress->look_at = RTE_MIN(egress->look_at, oldest->until);
}

/* Drops what has waited for too long. Returns how many frames. */
static uint32_t
expire(struct pv_backlog *backlog, struct egress *egress, uint64_t now)
{
	uint64_t before = backlog->counters.expired;
	struct lane *lane, *next;

	egress->look_at = UINT64_MAX;
	expire_chosen(backlog, egress, now);
	for (lane = TAILQ_FIRST(&egress->lanes); lane != NULL; lane = next) {
		next = TAILQ_NEXT(lane, link);
		expire_lane(backlog, egress, lane, now);
	}
	return (uint32_t)(backlog->counters.expired - before);
}

static uint32_t
retry(struct pv_backlog *backlog, struct egress *egress, uint64_t now)
{
	const struct pv_port *port = egress->port;
	uint32_t left;

	if (!port->up || port->times_up != egress->times_up)
		return drop_all(backlog, egress, PV_DROP_PORT_DOWN);
	if (port->owner[egress->queue] != backlog->parts->worker->id) /* nobody has moved it: it is not ours to use */
		return drop_all(backlog, egress, PV_DROP_RING_FULL);
	left = try_to_send(backlog, egress);
	if (now >= egress->look_at)
		left += expire(backlog, egress, now);
	end_if_empty(backlog, egress);
	return left;
}

uint32_t
pv_backlog_retry(struct pv_worker *worker)
{
	struct pv_backlog *backlog = worker->backlog;
	struct pv_section_counters *section = &worker->counters.section[PV_SECTION_TRANSMIT];
	uint64_t notified = pv_notified.cycles, now = rte_rdtsc();
	struct egress *egress, *next, *last = TAILQ_LAST(&backlog->parts->used, egresses);
	uint32_t left = 0;

	for (egress = TAILQ_FIRST(&backlog->parts->used); egress != NULL; egress = next) {
		next = egress != last ? TAILQ_NEXT(egress, link) : NULL; /* behind it are those that had their turn */
		left += retry(backlog, egress, now);
	}
	section->calls++;
	section->cycles += rte_rdtsc() - now - (pv_notified.cycles - notified);
	return left;
}

/* --- when things change ------------------------------------------------------------------------------------------- */

void
pv_backlog_forget_port(struct pv_worker *worker, uint16_t port)
{
	struct pv_backlog *backlog = worker->backlog;
	struct egress *egress, *next;

	if (pv_backlog_is_empty(worker))
		return;
	for (egress = TAILQ_FIRST(&backlog->parts->used); egress != NULL; egress = next) {
		struct lane *lane = find_lane(backlog->parts, egress, port);

		next = TAILQ_NEXT(egress, link);
		if (lane != NULL)
			forget_sender(lane);
		if (egress->port->id == port)
			drop_all(backlog, egress, PV_DROP_PORT_DOWN);
	}
}

/* Moves one frame, as if it had come from a full queue there. */
static void
move_entry(struct pv_backlog *from, struct egress *source, struct pv_backlog *to, struct egress *target, uint64_t now)
{
	struct entry *entry = take_any(from->parts, source);
	const struct lane *lane = find_lane(to->parts, target, entry->sender);

	if (!make_room(to, target, lane, entry->buffers)) {
		drop(from, source, entry, PV_DROP_RING_FULL);
		return;
	}
	push(to, target, entry->packet, now, entry->until);
	leave(from, source, entry);
}

void
pv_backlog_move(struct pv_worker *from, struct pv_worker *to, struct pv_port *port, uint16_t queue)
{
	struct egress *source = from->backlog != NULL ? find_egress(from->backlog, port->id, queue) : NULL;
	struct egress *target = NULL;
	uint64_t now = rte_rdtsc();

	if (source == NULL || from == to)
		return;
	if (to->backlog != NULL && source->times_up == port->times_up)
		target = begin_egress(to->backlog, port, queue); /* who did not own the queue has nothing for it */
	while (target != NULL && !is_empty(source))
		move_entry(from->backlog, source, to->backlog, target, now);
	drop_all(from->backlog, source, PV_DROP_RING_FULL);
	if (target != NULL)
		end_if_empty(to->backlog, target);
}

/* Takes all packets out, as dropped. */
static void
drop_everything(struct pv_backlog *backlog)
{
	struct egress *egress;

	while ((egress = TAILQ_FIRST(&backlog->parts->used)) != NULL)
		drop_all(backlog, egress, egress->port->up ? PV_DROP_RING_FULL : PV_DROP_PORT_DOWN);
}

void
pv_backlog_free(struct pv_backlog *backlog)
{
	struct egress *egress;

	if (backlog == NULL)
		return;
	while ((egress = TAILQ_FIRST(&backlog->parts->used)) != NULL) {
		while (!is_empty(egress)) {
			struct entry *entry = take_any(backlog->parts, egress);

			rte_pktmbuf_free(entry->packet);
			leave(backlog, egress, entry);
		}
		end_if_empty(backlog, egress);
	}
	free_parts(backlog->parts);
	rte_free(backlog);
}

void
pv_backlog_choose(struct pv_worker *worker)
{
	bool wanted = pv_has_contexts(worker->datapath) && worker->datapath->contexts.hold_us > 0;

	if (!wanted && worker->backlog != NULL) {
		drop_everything(worker->backlog);
		pv_backlog_free(worker->backlog);
		worker->backlog = NULL;
	} else if (worker->backlog != NULL) {
		take_options(worker->backlog);
	} else if (wanted) {
		worker->backlog = make_backlog(worker);
		if (worker->backlog == NULL)
			pv_warning("memory", "worker %u drops what full queues do not take: no memory to keep it",
				   worker->id);
	}
}
