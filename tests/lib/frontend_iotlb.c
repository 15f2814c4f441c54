/* SPDX-License-Identifier: BSD-3-Clause */
/* VIRTIO_F_ACCESS_PLATFORM: the device knows addresses of an I/O space only, and asks for each page. */
#include "frontend_private.h"

#define PERMIT_ALL 3 /* VHOST_ACCESS_RW */

static bool
translates(const struct frontend *frontend)
{
	return (frontend->features & FRONTEND_BIT(VIRTIO_F_ACCESS_PLATFORM)) != 0;
}

uint64_t
frontend_device_address(const struct frontend *frontend, uint64_t guest)
{
	return guest + (translates(frontend) ? IOVA_SHIFT : 0);
}

int
frontend_answer_miss(struct frontend *frontend, const struct vhost_iotlb_msg *miss)
{
	uint64_t page = miss->iova / PAGE * PAGE;
	struct vhost_iotlb_msg update = { .iova = page, .size = PAGE, .perm = PERMIT_ALL, .type = VHOST_IOTLB_UPDATE };

	if (miss->type != VHOST_IOTLB_MISS)
		return frontend_complain(frontend, "an IOTLB message of the device has type %u", miss->type);
	if (page >= IOVA_SHIFT)
		update.uaddr = frontend_user_address(frontend, page - IOVA_SHIFT);
	if (update.uaddr == 0)
		return frontend_complain(frontend, "a miss of %#llx, which is no address", miss->iova);
	frontend->misses++;
	/* Whoever waits for another answer now would read one to this. */
	return frontend_tell_only(frontend, IOTLB_MSG, &update, sizeof(update));
}

int
frontend_invalidate_all(struct frontend *frontend)
{
	int result = 0;

	for (uint16_t i = 0; result == 0 && i < frontend->n_regions; i++) {
		const struct vhost_iotlb_msg gone = { .iova = IOVA_SHIFT + frontend->regions[i].guest,
						      .size = frontend->regions[i].size,
						      .type = VHOST_IOTLB_INVALIDATE };

		result = frontend_tell(frontend, IOTLB_MSG, &gone, sizeof(gone), NULL, 0);
	}
	return result;
}

uint64_t
frontend_misses(const struct frontend *frontend)
{
	return frontend->misses;
}
