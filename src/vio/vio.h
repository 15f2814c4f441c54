/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path "vio": our own virtqueues on rte_vhost's control plane.
 *
 * The library speaks the vhost-user protocol, maps the guest's memory and keeps the state of the rings while they are
 * stopped. While they run they are ours: pv_vio_resume() takes addresses, memory and positions over from the library,
 * pv_vio_pause() waits until no worker and no packet uses them any more, and gives the positions back. Whatever message
 * may change memory or rings is enclosed in the two (vhost_user.c), so nothing is used after it is gone.
 *
 * Ring 2i is what the guest receives with, 2i + 1 what it transmits with; for a guest without a device model one more
 * is its control queue (virtio 1.2, 5.1.2).
 */
#ifndef PV_VIO_VIO_H
#define PV_VIO_VIO_H

#include <jansson.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "vio/control_queue.h"
#include "vio/grant.h"
#include "vio/inflight.h"
#include "vio/io_channel.h"
#include "vio/iotlb.h"
#include "vio/memory.h"
#include "vio/port.h"
#include "vio/protection.h"
#include "vio/remember.h"
#include "vio/vhost_message.h"
#include "vio/virtqueue.h"
#include "vio/window.h"

#define PV_VIO_CONTROL (2 * PV_QUEUES_MAX) /* place of the control queue, whatever number the guest has for it */
#define PV_VIO_HELD_MAX 128		   /* frames */
#define PV_VIO_RINGS ((uint16_t)(PV_VIO_CONTROL + 1))
#define PV_VIO_NO_RING UINT16_MAX

/*
 * A chain of the guest's transmit queue that is out: packets may refer to its buffers. Given back to the guest, in the
 * order in which it came, when the last of them is freed, on whatever thread that is.
 */
struct pv_loan {
	struct rte_mbuf_ext_shared_info shared;
	_Atomic bool done;
	uint16_t id, slots;
};

struct pv_vio_counters {
	uint64_t calls;	   /* notifications of the guest */
	uint64_t frames;   /* to or from the guest */
	uint64_t copied;   /* frames from the guest that were copied, */
	uint64_t shared;   /* and those whose payload stayed where it was */
	uint64_t gathered; /* chains of several buffers or pieces */
	uint64_t misses;   /* addresses that the IOTLB was asked for */
};

struct pv_vio_ring {
	struct pv_virtqueue queue;
	int call_fd; /* -1: the guest polls */
	/* Of a transmit queue whose buffers are shared; else NULL. A ring of its own, oldest at loan_head. */
	struct pv_loan *loans;
	uint32_t n_loans; /* a power of two */
	uint32_t loan_head, loan_tail;
	struct pv_grants *grants; /* of a ring whose packets are mapped one by one; else NULL */
	/*
	 * Of a receive queue: frames that wait until the frontend has said where a buffer is, and until when. A frame
	 * that was taken counts as sent, so they are dropped if it does not say.
	 */
	struct rte_mbuf **held;
	uint16_t n_held;
	bool waits; /* the last burst ended because an address was lacking */
	uint64_t held_until;
	uint64_t may_wait; /* time stamp from which a worker may wait for the end of a pause again */
	uint64_t areas[3]; /* where the frontend says the ring is: I/O virtual addresses, behind an IOMMU */
	uint64_t asked;	   /* I/O virtual address that the frontend was last asked for, plus 1 */
	/* Places of the used ring that were published since the guest was last asked whether it wants a call. */
	uint32_t uncalled;
	struct pv_vio_counters counters;
	struct pv_translator *translator; /* made for `translation`; used by `queue` while it is loaded */
	struct pv_translation translation;
	struct pv_translation_counters translated;
	struct pv_grant_counters granted;
	bool loaded;	    /* from the library, not given back yet */
	_Atomic bool ready; /* the workers may use it while the port runs */
	_Atomic bool busy;  /* its worker is in a burst */
};

struct pv_vio {
	_Atomic bool running;	  /* workers may use the rings */
	_Atomic bool paused;	  /* they will be able to again in a moment */
	_Atomic uint32_t faulted; /* the guest's memory is not all there: PV_FAULT_… (fault.h) */
	_Atomic bool stopped;	  /* the guest broke the rules: not used again until it attaches anew */
	_Atomic uint32_t waits;	  /* that calling guests of the port has cost, since they were last shut out for that */
	bool packed;
	uint8_t header_size;		   /* of the virtio-net header in the guest's buffers: 10 or 12 */
	bool mergeable;			   /* VIRTIO_NET_F_MRG_RXBUF was negotiated */
	bool tells_segments;		   /* and VIRTIO_NET_F_RSC_EXT, by a guest without a device model */
	uint32_t copy_break;		   /* bytes, see buffers.h; with */
	struct pv_translation translation; /* the next, taken over by the rings when they are loaded, */
	struct pv_io_channel io_channel;   /* as is how their pages are reached */
	enum pv_protection protection;	   /* of the memory, from the next time on that rings are loaded */
	uint32_t room;			   /* bytes of a frame in an mbuf of the pool */
	uint32_t frame_limit;		   /* bytes of the longest frame that the guest may send */
	uint64_t features;		   /* negotiated */
	struct rte_mempool *pool;
	struct pv_port *port;
	struct pv_memory memory;
	uint16_t control_ring;	 /* number of the control queue, or PV_VIO_NO_RING */
	uint16_t control_rounds; /* bursts of queue 0 that had something since it was last looked at */
	struct pv_control control;

	int vid;	       /* of the library, while attached */
	_Atomic bool announce; /* `announced` wants to be known where it is: it was migrated to us */
	struct rte_ether_addr announced;

	/* The message thread's. */
	bool attached;		       /* between attach and detach */
	bool memory_known;	       /* the library has a memory table */
	struct pv_grant_files files;   /* what `memory` is mapped from */
	struct pv_window window;       /* what it lies in while a guest is attached, if that is the protection */
	const char *_Atomic no_window; /* why it does not, although it should, or NULL */
	int backend_fd;		       /* channel for requests of ours, or -1 */
	struct pv_inflight inflight;
	int inflight_fd;		  /* of regions that we made, or -1 */
	struct pv_remembered *remembered; /* of the guest that is attached, or NULL */
	uint64_t begun;			  /* bit per ring: loaded since the guest attached */
	void *log_mapping;
	size_t log_mapping_size;
	_Atomic bool enabled[PV_VIO_RINGS];
	struct pv_iotlb *iotlb;
	char why[160];		   /* it was stopped; good when `stopped` is set */
	struct pv_log_limit limit; /* for the workers' line about it */
	struct pv_vio_ring rings[PV_VIO_RINGS];
};

/* Makes the data path's half of a port, with what `env` says. NULL without memory. */
struct pv_vio *pv_vio_new(struct pv_port *port, const struct pv_port_env *env);
void pv_vio_free(struct pv_vio *vio);

/*
 * A guest is there, as device `vid` of the library, and what is remembered of it (or NULL; the caller's, until the next
 * attach or connection); or not any more. After detach nothing of ours refers to its memory.
 */
void pv_vio_attach(struct pv_vio *vio, int vid, struct pv_remembered *remembered);
void pv_vio_detach(struct pv_vio *vio, int vid);

/* Goes over to what `env` says, between pause and resume. */
void pv_vio_rebind(struct pv_vio *vio, const struct pv_port_env *env);

/* What a port reports of its rings; the caller owns it. */
json_t *pv_vio_report(const struct pv_vio *vio);

/* --- messages of the frontend, on the message thread -------------------------------------------------------------- */

/* A connection begins: nothing is known of the one before. */
void pv_vio_connected(struct pv_vio *vio);

/* The library has a new memory table, or is about to take the one it has away. */
void pv_vio_take_memory(struct pv_vio *vio, int vid);
void pv_vio_drop_memory(struct pv_vio *vio);

/* Maps the log of written pages: `size` bytes at `offset` of the file. 0 or -errno. Takes a copy of the descriptor. */
int pv_vio_set_log(struct pv_vio *vio, int fd, uint64_t size, uint64_t offset);

/*
 * Regions for in-flight tracking: GET_INFLIGHT_FD makes them, and the message the answer; SET_INFLIGHT_FD has us use
 * them. The descriptors of the message stay the caller's. 0 or -errno.
 */
int pv_vio_make_inflight(struct pv_vio *vio, int vid, struct pv_vhost_message *message);
int pv_vio_set_inflight(struct pv_vio *vio, int vid, const struct pv_vhost_message *message);

/* The frontend is about to be told the base of a ring, and will give it back when the ring starts again. */
void pv_vio_tell_base(struct pv_vio *vio, uint32_t ring);

/* The channel for requests of ours; the descriptor is copied. Not while the rings are used. */
void pv_vio_set_backend_channel(struct pv_vio *vio, int fd);

void pv_vio_iotlb_message(struct pv_vio *vio, const struct pv_vhost_message *message);

/*
 * Features were negotiated with a guest whose control queue we serve; 0 for any other guest. Not while the rings are
 * used.
 */
void pv_vio_choose_control(struct pv_vio *vio, uint64_t features);

/* The frontend says where a ring is. */
void pv_vio_place_ring(struct pv_vio *vio, const struct pv_vhost_vring_addr *at);

/* Has the guest's address announced to the others (SEND_RARP). */
void pv_vio_announce(struct pv_vio *vio, const uint8_t mac[RTE_ETHER_ADDR_LEN]);

/* The library says that the ring of a place is complete and enabled, or not. */
void pv_vio_enable_ring(struct pv_vio *vio, uint16_t ring, bool enabled);

/*
 * Before and after something that may change memory or rings of `vid`. Nothing when no guest is attached. A port whose
 * guest is shut out (struct pv_port: revoked) is not resumed.
 */
void pv_vio_pause(struct pv_vio *vio, int vid);
void pv_vio_resume(struct pv_vio *vio, int vid);

/* --- on the workers ----------------------------------------------------------------------------------------------- */

/* The data path's bursts (struct pv_port_ops); `queue` is a queue pair. */
uint16_t pv_vio_receive(struct pv_vio *vio, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
uint16_t pv_vio_transmit(struct pv_vio *vio, uint16_t queue, struct rte_mbuf **packets, uint16_t count);

/*
 * Takes a ring into use for a burst; false when it may not be used now. The message thread that pauses the port first
 * takes `running` away and then waits for `busy`; the fence between the two that this side needs too is the message
 * thread's membarrier(2), so that a burst does not pay for it.
 */
static inline bool
pv_vio_enter(const struct pv_vio *vio, struct pv_vio_ring *ring)
{
	atomic_store_explicit(&ring->busy, true, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (likely(atomic_load_explicit(&vio->running, memory_order_acquire) && ring->ready && !vio->faulted))
		return true;
	atomic_store_explicit(&ring->busy, false, memory_order_release);
	return false;
}

static inline void
pv_vio_leave(struct pv_vio_ring *ring)
{
	atomic_store_explicit(&ring->busy, false, memory_order_release);
}

/* As struct pv_port_ops has it: kicks of the guest about what it transmits, and about its control queue. */
bool pv_vio_listen(struct pv_vio *vio, uint16_t queue, bool wanted);

/* Tries again to deliver the frames that a queue pair holds back; drops those that have waited for too long. */
void pv_vio_retry_held(struct pv_vio *vio, uint16_t queue);

/* Drops them. On the worker, or when it does not use the ring any more. */
void pv_vio_drop_held(struct pv_vio *vio, uint16_t queue);

/* Takes the port out of use because the guest broke the rules of a ring, and says why, once. */
void pv_vio_stop(struct pv_vio *vio, const struct pv_vio_ring *ring);

/*
 * Waits for a pause to end, so that a frontend's message costs no frame; never long, and no more than a small part of
 * the time. Whether the ring was taken into use then.
 */
bool pv_vio_wait(struct pv_vio *vio, struct pv_vio_ring *ring);

/* Asks the frontend for the address that the ring's IOTLB lacks, unless it was asked already. */
void pv_vio_ask_iotlb(struct pv_vio *vio, struct pv_vio_ring *ring);

/* Answers commands of the control queue, if there is one, on the worker of queue 0. */
void pv_vio_serve_control(struct pv_vio *vio);

/* Asks the frontend for rings that lie behind an IOMMU, and whose place is not known. */
void pv_vio_seek_rings(struct pv_vio *vio, uint16_t queue);

/*
 * Calls the guest: at most one system call. Its descriptor does not wait, but the frontend shares it and can have it
 * wait after all; the watchdog of the workers then interrupts the call (core/watchdog.h), and the port is stopped. Each
 * time has cost all others of the worker a second or two: with the third one the port's guests are shut out
 * (port->revoked), however often they attach, until somebody grants them their context again.
 */
void pv_vio_call(struct pv_vio *vio, struct pv_vio_ring *ring);

/* The same on the message thread, which nobody interrupts: not when the guest has not taken the calls before. */
void pv_vio_call_unless_full(struct pv_vio_ring *ring);

/* --- loans (vio_receive.c) ---------------------------------------------------------------------------------------- */

/* Prepares the loans of a ring, whose memory is there. */
void pv_vio_init_loans(struct pv_vio_ring *ring);

/* Gives back what can be given back. Whether nothing is on loan. */
bool pv_vio_settle(struct pv_vio_ring *ring);

#endif
