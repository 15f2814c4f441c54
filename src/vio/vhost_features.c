/* SPDX-License-Identifier: BSD-3-Clause */
#include "vio/vhost_features.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include <rte_common.h>
#include <rte_vhost.h>

#include "vio/offload.h"

#define BIT(n) (1ULL << (n))

const char *const pv_frontend_names[] = { "auto", "uml", "qemu", "virtio-user", NULL };

/* What needs somebody who serves the control queue or tells the configuration space. */
#define DEVICE_MODEL                                                                                            \
	(BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_MTU) | \
	 PV_VHOST_OWN_FEATURES)

struct feature {
	uint8_t bit;
	const char *name;
	const char *guest_change; /* what to change when the guest refused it, or NULL */
};

static const struct feature virtio_features[] = {
	{ VIRTIO_NET_F_CSUM, "VIRTIO_NET_F_CSUM", "QEMU: csum=on" },
	{ VIRTIO_NET_F_GUEST_CSUM, "VIRTIO_NET_F_GUEST_CSUM", "QEMU: guest_csum=on" },
	{ VIRTIO_NET_F_MTU, "VIRTIO_NET_F_MTU", "QEMU: host_mtu=N" },
	{ VIRTIO_NET_F_MAC, "VIRTIO_NET_F_MAC", NULL },
	{ VIRTIO_NET_F_GUEST_TSO4, "VIRTIO_NET_F_GUEST_TSO4", "QEMU: guest_tso4=on" },
	{ VIRTIO_NET_F_GUEST_TSO6, "VIRTIO_NET_F_GUEST_TSO6", "QEMU: guest_tso6=on" },
	{ VIRTIO_NET_F_GUEST_ECN, "VIRTIO_NET_F_GUEST_ECN", "QEMU: guest_ecn=on" },
	{ VIRTIO_NET_F_GUEST_UFO, "VIRTIO_NET_F_GUEST_UFO", "QEMU: guest_ufo=on" },
	{ VIRTIO_NET_F_HOST_TSO4, "VIRTIO_NET_F_HOST_TSO4", "QEMU: host_tso4=on" },
	{ VIRTIO_NET_F_HOST_TSO6, "VIRTIO_NET_F_HOST_TSO6", "QEMU: host_tso6=on" },
	{ VIRTIO_NET_F_HOST_ECN, "VIRTIO_NET_F_HOST_ECN", "QEMU: host_ecn=on" },
	{ VIRTIO_NET_F_HOST_UFO, "VIRTIO_NET_F_HOST_UFO", "QEMU: host_ufo=on" },
	{ VIRTIO_NET_F_MRG_RXBUF, "VIRTIO_NET_F_MRG_RXBUF", "QEMU: mrg_rxbuf=on; virtio-user: mrg_rxbuf=1" },
	{ VIRTIO_NET_F_CTRL_VQ, "VIRTIO_NET_F_CTRL_VQ", "QEMU: ctrl_vq=on" },
	{ VIRTIO_NET_F_CTRL_RX, "VIRTIO_NET_F_CTRL_RX", "QEMU: ctrl_rx=on" },
	{ VIRTIO_NET_F_CTRL_VLAN, "VIRTIO_NET_F_CTRL_VLAN", NULL },
	{ VIRTIO_NET_F_CTRL_MAC_ADDR, "VIRTIO_NET_F_CTRL_MAC_ADDR", NULL },
	{ VIRTIO_NET_F_GUEST_ANNOUNCE, "VIRTIO_NET_F_GUEST_ANNOUNCE", "QEMU: guest_announce=on" },
	{ VIRTIO_NET_F_MQ, "VIRTIO_NET_F_MQ",
	  "QEMU: -netdev vhost-user,…,queues=N and -device virtio-net-pci,mq=on,vectors=2N+2; virtio-user: queues=N" },
	{ VHOST_F_LOG_ALL, "VHOST_F_LOG_ALL", "used only while the guest is being migrated" },
	{ VIRTIO_RING_F_INDIRECT_DESC, "VIRTIO_RING_F_INDIRECT_DESC", "QEMU: indirect_desc=on" },
	{ VIRTIO_RING_F_EVENT_IDX, "VIRTIO_RING_F_EVENT_IDX", "QEMU: event_idx=on" },
	{ VIRTIO_F_VERSION_1, "VIRTIO_F_VERSION_1", "QEMU: disable-modern=off" },
	{ VIRTIO_F_ACCESS_PLATFORM, "VIRTIO_F_ACCESS_PLATFORM", "QEMU: iommu_platform=on with a vIOMMU" },
	{ VIRTIO_F_RING_PACKED, "VIRTIO_F_RING_PACKED", "QEMU: packed=on; virtio-user: packed_vq=1" },
	{ VIRTIO_F_IN_ORDER, "VIRTIO_F_IN_ORDER", "the guest's driver; virtio-user: in_order=1" },
	{ VIRTIO_NET_F_RSC_EXT, "VIRTIO_NET_F_RSC_EXT", "the guest's driver; that of Linux does not know it" },
};

static const struct feature protocol_features[] = {
	{ VHOST_USER_PROTOCOL_F_MQ, "VHOST_USER_PROTOCOL_F_MQ", NULL },
	{ VHOST_USER_PROTOCOL_F_LOG_SHMFD, "VHOST_USER_PROTOCOL_F_LOG_SHMFD", NULL },
	{ VHOST_USER_PROTOCOL_F_RARP, "VHOST_USER_PROTOCOL_F_RARP", NULL },
	{ VHOST_USER_PROTOCOL_F_REPLY_ACK, "VHOST_USER_PROTOCOL_F_REPLY_ACK", NULL },
	{ VHOST_USER_PROTOCOL_F_NET_MTU, "VHOST_USER_PROTOCOL_F_NET_MTU", NULL },
	{ VHOST_USER_PROTOCOL_F_SLAVE_REQ, "VHOST_USER_PROTOCOL_F_BACKEND_REQ", NULL },
	{ VHOST_USER_PROTOCOL_F_CONFIG, "VHOST_USER_PROTOCOL_F_CONFIG", NULL },
	{ VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD, "VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD", NULL },
};

uint64_t
pv_vhost_own_features(bool has_mac)
{
	return BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_RSC_EXT) |
	       (has_mac ? BIT(VIRTIO_NET_F_MAC) : 0);
}

uint64_t
pv_vhost_offered(enum pv_frontend frontend, uint64_t able, uint16_t queues, uint64_t wanted)
{
	uint64_t offered = able & ~(PV_FEATURES_OFFLOAD & ~wanted);

	if (frontend != PV_FRONTEND_UML)
		return offered & ~PV_VHOST_OWN_FEATURES;
	/* An announcement would follow a migration, and it does not migrate. It has no DMA addresses but physical ones.
	 */
	offered &= ~(BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_F_ACCESS_PLATFORM));
	if ((able & PV_VHOST_OWN_FEATURES) == 0)
		offered &= ~DEVICE_MODEL;
	if (queues == 1)
		offered &= ~BIT(VIRTIO_NET_F_MQ);
	/* It is about large packets, and needs that the guest may send some (virtio 1.2, 5.1.3.1). */
	if ((wanted & BIT(VIRTIO_NET_F_GUEST_TSO4)) == 0 || (wanted & BIT(VIRTIO_NET_F_HOST_TSO4)) == 0)
		offered &= ~BIT(VIRTIO_NET_F_RSC_EXT);
	return offered;
}

/* What would have a User-mode Linux guest offered a feature of a device model. */
static const char *
refusal_of_model(uint64_t able, uint64_t bit, const char **change)
{
	if ((able & PV_VHOST_OWN_FEATURES) == 0)
		*change = "\"data-path\": \"vio\"; for another frontend: \"guest\": \"qemu\" or \"virtio-user\"";
	else if (bit == BIT(VIRTIO_NET_F_MQ))
		*change = "the port's \"queues\": 2 or more";
	else if (bit == BIT(VIRTIO_NET_F_RSC_EXT))
		*change = "list the stages \"offload\" and \"receive-aggregation\"";
	else
		*change = "the port's \"mac\"";
	return "pktvirt, for a User-mode Linux guest";
}

/* Why we do not offer a virtio feature, and what would change that. */
static const char *
own_refusal(enum pv_frontend frontend, uint64_t able, uint64_t bit, const char **change)
{
	if ((bit & able & PV_FEATURES_OFFLOAD) != 0) {
		*change = "list the stage \"offload\", with \"direction\": \"both\"; on \"data-path\": \"rte_vhost\" "
			  "there are no offloads";
		return "pktvirt";
	}
	if (frontend == PV_FRONTEND_UML && (bit & DEVICE_MODEL) != 0)
		return refusal_of_model(able, bit, change);
	if ((bit & PV_VHOST_OWN_FEATURES) != 0) {
		*change = "nothing: QEMU and virtio-user do it themselves";
		return "pktvirt";
	}
	if (frontend == PV_FRONTEND_UML && (able & bit) != 0) {
		*change = "for another frontend: \"guest\": \"qemu\" or \"virtio-user\"";
		return "pktvirt, for a User-mode Linux guest";
	}
	*change = "nothing: the data path does not have it";
	return "pktvirt";
}

static json_t *
answer(const struct feature *feature, const char *kind, bool offered, bool accepted, const char *refused_by,
       const char *change)
{
	return json_pack("{s:s, s:s, s:b, s:b, s:s?, s:s?}", "name", feature->name, "kind", kind, "offered", offered,
			 "accepted", accepted, "refused_by", refused_by, "change", change);
}

static json_t *
virtio_answer(const struct feature *feature, enum pv_frontend frontend, uint64_t able, uint64_t offered,
	      uint64_t accepted, bool attached)
{
	uint64_t bit = BIT(feature->bit);
	const char *change = NULL, *refused_by = NULL;

	if ((offered & bit) == 0)
		refused_by = own_refusal(frontend, able, bit, &change);
	else if (attached && (accepted & bit) == 0) {
		refused_by = "the guest or its device model";
		change = feature->guest_change;
	}
	return answer(feature, "virtio", (offered & bit) != 0, attached && (accepted & bit) != 0, refused_by, change);
}

static json_t *
protocol_answer(const struct feature *feature, uint64_t offered, uint64_t accepted, bool attached)
{
	uint64_t bit = BIT(feature->bit);
	const char *refused_by = NULL;

	if ((offered & bit) == 0)
		refused_by = "pktvirt";
	else if (attached && (accepted & bit) == 0)
		refused_by = "the frontend";
	return answer(feature, "vhost-user", (offered & bit) != 0, attached && (accepted & bit) != 0, refused_by, NULL);
}

json_t *
pv_vhost_doctor(enum pv_frontend frontend, uint64_t able, uint64_t offered, uint64_t accepted,
		uint64_t offered_protocol, uint64_t accepted_protocol, bool attached)
{
	json_t *answers = json_array();

	for (size_t i = 0; i < RTE_DIM(virtio_features); i++)
		json_array_append_new(answers,
				      virtio_answer(&virtio_features[i], frontend, able, offered, accepted, attached));
	for (size_t i = 0; i < RTE_DIM(protocol_features); i++)
		json_array_append_new(
			answers, protocol_answer(&protocol_features[i], offered_protocol, accepted_protocol, attached));
	return answers;
}

json_t *
pv_vhost_feature_names(uint64_t features)
{
	json_t *names = json_array();

	for (size_t i = 0; i < RTE_DIM(virtio_features); i++)
		if ((features & BIT(virtio_features[i].bit)) != 0)
			json_array_append_new(names, json_string(virtio_features[i].name));
	return names;
}
