/* SPDX-License-Identifier: BSD-3-Clause */
/* Making a frontend, the handshake, and the end. */
#include "frontend.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "frontend_private.h"

#define DEADLINE_S 20

int
frontend_complain(struct frontend *frontend, const char *format, ...)
{
	va_list arguments;

	if (frontend->complaint[0] == '\0') {
		va_start(arguments, format);
		vsnprintf(frontend->complaint, sizeof(frontend->complaint), format, arguments);
		va_end(arguments);
	}
	return -EPROTO;
}

const char *
frontend_complaint(const struct frontend *frontend)
{
	return frontend->complaint[0] != '\0' ? frontend->complaint : NULL;
}

static void
take_setup(struct frontend *frontend, const struct frontend_setup *setup)
{
	const uint64_t long_header = FRONTEND_BIT(VIRTIO_F_VERSION_1) | FRONTEND_BIT(VIRTIO_NET_F_MRG_RXBUF);

	frontend->setup = *setup;
	frontend->features = setup->features;
	frontend->connection = frontend->listener = frontend->backend = -1;
	frontend->n_rings = (uint16_t)(2 * setup->queue_pairs);
	frontend->header_bytes = (setup->features & long_header) != 0 ? sizeof(struct virtio_net_hdr_mrg_rxbuf) :
									sizeof(struct virtio_net_hdr);
	if (frontend->setup.deadline_s == 0)
		frontend->setup.deadline_s = DEADLINE_S;
	snprintf(frontend->path, sizeof(frontend->path), "%s", setup->socket);
}

struct frontend *
frontend_new(const struct frontend_setup *setup)
{
	struct frontend *frontend = calloc(1, sizeof(*frontend));
	int result;

	if (frontend == NULL)
		return NULL;
	take_setup(frontend, setup);
	result = frontend_map(frontend, frontend_ring_bytes(frontend));
	for (uint16_t i = 0; result == 0 && i < frontend->n_rings; i++)
		result = frontend_ring_make(frontend, i);
	if (result == 0)
		result = frontend_connect(frontend);
	if (result != 0) {
		frontend_free(frontend);
		errno = -result;
		return NULL;
	}
	return frontend;
}

void
frontend_free(struct frontend *frontend)
{
	if (frontend == NULL)
		return;
	frontend_disconnect(frontend);
	for (uint16_t i = 0; i < frontend->n_rings; i++)
		frontend_ring_free(&frontend->rings[i]);
	frontend_unmap(frontend);
	if (frontend->log != NULL)
		munmap(frontend->log, frontend->log_bytes);
	if (frontend->inflight != NULL)
		munmap(frontend->inflight, frontend->inflight_bytes);
	free(frontend->written);
	free(frontend);
}

static int
ask_u64(struct frontend *frontend, uint32_t request, uint64_t *answer)
{
	int result = frontend_ask(frontend, request, NULL, 0, answer, sizeof(*answer), NULL);

	if (result >= 0 && result != sizeof(*answer))
		return frontend_complain(frontend, "the answer to message %u has %d bytes", request, result);
	return result < 0 ? result : 0;
}

static int
tell_u64(struct frontend *frontend, uint32_t request, uint64_t value)
{
	return frontend_tell(frontend, request, &value, sizeof(value), NULL, 0);
}

/* Features of virtio, and of the protocol. What was asked for and is not offered makes it fail. */
static int
negotiate(struct frontend *frontend)
{
	int result = ask_u64(frontend, GET_FEATURES, &frontend->offered);

	if (result == 0 && (frontend->features & FRONTEND_BIT(FRONTEND_F_PROTOCOL)) != 0) {
		result = ask_u64(frontend, GET_PROTOCOL_FEATURES, &frontend->protocol_offered);
		if (result == 0 && frontend_protocol_not_offered(frontend) == 0)
			result = tell_u64(frontend, SET_PROTOCOL_FEATURES, frontend->setup.protocol);
		frontend->protocol = frontend->setup.protocol & frontend->protocol_offered;
	}
	if (result != 0)
		return result;
	return frontend_not_offered(frontend) == 0 && frontend_protocol_not_offered(frontend) == 0 ? 0 : -ENOTSUP;
}

uint64_t
frontend_not_offered(const struct frontend *frontend)
{
	return frontend->features & ~frontend->offered;
}

uint64_t
frontend_protocol_not_offered(const struct frontend *frontend)
{
	return frontend->setup.protocol & ~frontend->protocol_offered;
}

static int
check_queue_number(struct frontend *frontend)
{
	uint64_t pairs = 0;
	int result = ask_u64(frontend, GET_QUEUE_NUM, &pairs);

	if (result == 0 && pairs < frontend->setup.queue_pairs)
		return frontend_complain(frontend, "the device has %llu queue pairs", (unsigned long long)pairs);
	return result;
}

/* What the features of the protocol need. */
static int
set_up_protocol(struct frontend *frontend)
{
	int result = 0;

	if ((frontend->protocol & FRONTEND_BIT(FRONTEND_PROTOCOL_MQ)) != 0)
		result = check_queue_number(frontend);
	if (result == 0 && (frontend->protocol & FRONTEND_BIT(FRONTEND_PROTOCOL_BACKEND_REQ)) != 0)
		result = frontend_open_backend_channel(frontend);
	return result;
}

/* The device handles messages one after the other: after an answer it has handled all that came before. */
static int
wait_until_seen(struct frontend *frontend)
{
	uint64_t features;

	return ask_u64(frontend, GET_FEATURES, &features);
}

int
frontend_enable_pair(struct frontend *frontend, uint16_t pair, bool enable)
{
	int result = 0;

	for (uint16_t i = 0; result == 0 && i < 2; i++) {
		const struct vhost_vring_state state = { .index = 2u * pair + i, .num = enable };

		result = frontend_tell(frontend, SET_VRING_ENABLE, &state, sizeof(state), NULL, 0);
	}
	return result != 0 ? result : wait_until_seen(frontend);
}

int
frontend_start_rings(struct frontend *frontend)
{
	int result = 0;

	for (uint16_t i = 0; result == 0 && i < frontend->n_rings; i++) {
		if (frontend->rings[i].receives)
			frontend_ring_fill(&frontend->rings[i]);
		result = frontend_ring_start(&frontend->rings[i]);
	}
	/* Without features of the protocol a ring is enabled from its start. */
	if ((frontend->features & FRONTEND_BIT(FRONTEND_F_PROTOCOL)) != 0)
		for (uint16_t pair = 0; result == 0 && pair < frontend->setup.queue_pairs; pair++)
			result = frontend_enable_pair(frontend, pair, true);
	return result != 0 ? result : wait_until_seen(frontend);
}

int
frontend_stop_rings(struct frontend *frontend)
{
	int result = 0;

	for (uint16_t i = 0; result == 0 && i < frontend->n_rings; i++)
		result = frontend_ring_stop(&frontend->rings[i]);
	return result;
}

int
frontend_attach(struct frontend *frontend)
{
	int result = 0;

	if (frontend->setup.owner_first)
		result = frontend_tell(frontend, SET_OWNER, NULL, 0, NULL, 0);
	result = result != 0 ? result : negotiate(frontend);
	if (result == 0 && !frontend->setup.owner_first)
		result = frontend_tell(frontend, SET_OWNER, NULL, 0, NULL, 0);
	result = result != 0 ? result : set_up_protocol(frontend);
	result = result != 0 ? result : tell_u64(frontend, SET_FEATURES, frontend->features);
	if (result == 0 && (frontend->protocol & FRONTEND_BIT(FRONTEND_PROTOCOL_INFLIGHT_SHMFD)) != 0)
		result = frontend_share_inflight(frontend);
	result = result != 0 ? result : frontend_tell_memory(frontend);
	result = result != 0 ? result : frontend_start_rings(frontend);
	frontend->attached = result == 0;
	return result;
}

int
frontend_detach(struct frontend *frontend)
{
	int result = frontend->attached ? frontend_stop_rings(frontend) : 0;

	frontend->attached = false;
	frontend_disconnect(frontend);
	return result;
}
