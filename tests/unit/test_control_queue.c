/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands as a driver puts them into its control queue, right and wrong, in both formats. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "../lib/driver.h"
#include "../lib/testbed.h"
#include "vio/control_queue.h"

#define BIT(n) (1ULL << (n))
#define SIZE 64
#define PAIRS 4
#define MTU 1400
#define READABLE DRIVER_BUFFERS
#define ACK (DRIVER_BUFFERS + 0x10000u)
#define UNTOUCHED 0x77
#define NO_ANSWER (-1)
#define WRITE VRING_DESC_F_WRITE
#define BOTH_FORMATS(packed) for (int packed = 0; packed < 2; packed++)

/* A device and its driver. */
struct pair {
	struct driver *driver;
	struct pv_virtqueue queue;
	struct pv_control control;
	_Atomic uint16_t active;
};

static const struct pv_mac any = { .set = false };
static const struct pv_mac only = { .set = true, .bytes = { 0x52, 0x54, 0, 0, 0, 7 } };

static struct pair *
new_pair_with(bool packed, const struct pv_mac *mac)
{
	uint64_t features = BIT(VIRTIO_RING_F_INDIRECT_DESC) | (packed ? BIT(VIRTIO_F_RING_PACKED) : 0);
	struct pair *pair = calloc(1, sizeof(*pair));
	struct pv_virtqueue_setup setup;

	assert_non_null(pair);
	pair->driver = driver_new(packed, SIZE);
	setup = driver_setup(pair->driver, features);
	assert_int_equal(pv_virtqueue_init(&pair->queue, &setup, &pair->driver->memory), 0);
	pair->active = 1;
	pv_control_init(&pair->control, PAIRS, MTU, mac, &pair->active);
	pair->control.multiqueue = true;
	return pair;
}

static struct pair *
new_pair(bool packed)
{
	return new_pair_with(packed, &any);
}

static void
free_pair(struct pair *pair)
{
	pv_virtqueue_fini(&pair->queue);
	driver_free(pair->driver);
	free(pair);
}

/* What the driver finds after the device has looked at the one chain that is there. */
static int
answer(struct pair *pair)
{
	uint32_t id, length;

	assert_int_equal(pv_control_serve(&pair->control, &pair->queue), 1);
	assert_true(driver_take(pair->driver, &id, &length));
	assert_false(driver_take(pair->driver, &id, &length));
	assert_in_range(length, 0, 1);
	return length == 1 ? *driver_at(pair->driver, ACK) : NO_ANSWER;
}

/* Puts a command into memory. */
static uint32_t
write_command(struct pair *pair, uint8_t class, uint8_t code, const void *data, uint32_t length)
{
	uint8_t *at = driver_at(pair->driver, READABLE);

	at[0] = class;
	at[1] = code;
	if (length > 0)
		memcpy(at + 2, data, length);
	*driver_at(pair->driver, ACK) = UNTOUCHED;
	return length + 2;
}

/* As Linux does it: a buffer for the header, one for the data, one for the answer. */
static int
ask(struct pair *pair, uint8_t class, uint8_t code, const void *data, uint32_t length)
{
	const struct driver_buffer buffers[] = { { READABLE, 2, 0 }, { READABLE + 2, length, 0 }, { ACK, 1, WRITE } };
	const struct driver_buffer without_data[] = { { READABLE, 2, 0 }, { ACK, 1, WRITE } };

	write_command(pair, class, code, data, length);
	if (length > 0)
		driver_offer(pair->driver, buffers, 3);
	else
		driver_offer(pair->driver, without_data, 2);
	return answer(pair);
}

static int
ask_byte(struct pair *pair, uint8_t class, uint8_t code, uint8_t value)
{
	return ask(pair, class, code, &value, sizeof(value));
}

static int
ask_pairs(struct pair *pair, uint16_t pairs)
{
	return ask(pair, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs, sizeof(pairs));
}

static int
ask_address(struct pair *pair, const uint8_t address[6])
{
	return ask(pair, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, address, 6);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static void
a_receive_mode_is_turned_on_and_off(void **state)
{
	(void)state;
	BOTH_FORMATS(packed)
	{
		struct pair *pair = new_pair(packed);

		for (uint8_t mode = VIRTIO_NET_CTRL_RX_PROMISC; mode <= VIRTIO_NET_CTRL_RX_NOBCAST; mode++) {
			assert_int_equal(ask_byte(pair, VIRTIO_NET_CTRL_RX, mode, 1), VIRTIO_NET_OK);
			assert_int_equal(pair->control.modes, 1u << mode);
			assert_int_equal(ask_byte(pair, VIRTIO_NET_CTRL_RX, mode, 0), VIRTIO_NET_OK);
			assert_int_equal(pair->control.modes, 0);
		}
		free_pair(pair);
	}
}

static void
the_guest_chooses_its_address(void **state)
{
	static const uint8_t address[] = { 0x52, 0x54, 0, 1, 2, 3 };
	uint8_t found[6];

	(void)state;
	BOTH_FORMATS(packed)
	{
		struct pair *pair = new_pair(packed);

		assert_int_equal(ask_address(pair, address), VIRTIO_NET_OK);
		pv_control_read_config(&pair->control, offsetof(struct virtio_net_config, mac), found, sizeof(found));
		assert_memory_equal(found, address, sizeof(address));
		free_pair(pair);
	}
}

static void
an_address_that_nobody_can_have_is_refused(void **state)
{
	static const uint8_t zero[6], group[] = { 0x53, 0, 0, 0, 0, 1 }, all[] = { 255, 255, 255, 255, 255, 255 };
	struct pair *pair = new_pair(false);

	(void)state;
	assert_int_equal(ask_address(pair, zero), VIRTIO_NET_ERR);
	assert_int_equal(ask_address(pair, group), VIRTIO_NET_ERR);
	assert_int_equal(ask_address(pair, all), VIRTIO_NET_ERR);
	free_pair(pair);
}

static void
a_port_with_one_address_grants_no_other(void **state)
{
	static const uint8_t other[] = { 0x52, 0x54, 0, 0, 0, 8 };
	struct pair *pair = new_pair_with(false, &only);
	uint8_t found[6];

	(void)state;
	assert_int_equal(ask_address(pair, other), VIRTIO_NET_ERR);
	assert_int_equal(ask_address(pair, only.bytes), VIRTIO_NET_OK);
	pv_control_read_config(&pair->control, 0, found, sizeof(found));
	assert_memory_equal(found, only.bytes, sizeof(found));
	free_pair(pair);
}

/* Two tables, each the number of its entries and the entries; returns the length. */
static uint32_t
make_tables(uint8_t *to, uint32_t unicast, uint32_t multicast)
{
	uint32_t length = 0;

	memcpy(to, &unicast, sizeof(unicast));
	length += sizeof(unicast) + 6 * unicast;
	memcpy(to + length, &multicast, sizeof(multicast));
	return length + (uint32_t)sizeof(multicast) + 6 * multicast;
}

static void
address_tables_of_any_length_are_granted(void **state)
{
	static uint8_t tables[8 + 6 * 2000];

	(void)state;
	BOTH_FORMATS(packed)
	{
		struct pair *pair = new_pair(packed);

		for (uint32_t n = 0; n <= 1000; n += 100)
			assert_int_equal(ask(pair, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables,
					     make_tables(tables, n, 1000 - n)),
					 VIRTIO_NET_OK);
		free_pair(pair);
	}
}

static void
address_tables_that_do_not_fill_their_command_are_refused(void **state)
{
	static const uint32_t wrong[] = { 3, 5, 0x2aaaaaab, 0x80000000, UINT32_MAX, UINT32_MAX - 1 };
	uint8_t tables[8 + 6 * 6] = { 0 };
	struct pair *pair = new_pair(false);

	(void)state;
	for (uint32_t cut = 0; cut < make_tables(tables, 4, 2); cut++)
		assert_int_equal(ask(pair, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables, cut),
				 VIRTIO_NET_ERR);
	for (size_t i = 0; i < RTE_DIM(wrong); i++) {
		uint32_t length = make_tables(tables, 4, 2);

		memcpy(tables, &wrong[i], sizeof(wrong[i]));
		assert_int_equal(ask(pair, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables, length),
				 VIRTIO_NET_ERR);
		make_tables(tables, 4, 2);
		memcpy(tables + 4 + 4 * 6, &wrong[i], sizeof(wrong[i]));
		assert_int_equal(ask(pair, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables, length),
				 VIRTIO_NET_ERR);
	}
	free_pair(pair);
}

static void
vlans_that_exist_are_granted(void **state)
{
	struct pair *pair = new_pair(false);
	uint16_t vlan;

	(void)state;
	for (uint8_t code = VIRTIO_NET_CTRL_VLAN_ADD; code <= VIRTIO_NET_CTRL_VLAN_DEL; code++) {
		vlan = 4095;
		assert_int_equal(ask(pair, VIRTIO_NET_CTRL_VLAN, code, &vlan, 2), VIRTIO_NET_OK);
		vlan = 4096;
		assert_int_equal(ask(pair, VIRTIO_NET_CTRL_VLAN, code, &vlan, 2), VIRTIO_NET_ERR);
	}
	free_pair(pair);
}

static void
queue_pairs_are_in_effect_when_the_answer_is_there(void **state)
{
	(void)state;
	BOTH_FORMATS(packed)
	{
		struct pair *pair = new_pair(packed);

		for (uint16_t pairs = 1; pairs <= PAIRS; pairs++) {
			assert_int_equal(ask_pairs(pair, pairs), VIRTIO_NET_OK);
			assert_int_equal(pair->active, pairs);
			assert_int_equal(pair->control.pairs, pairs);
		}
		assert_int_equal(ask_pairs(pair, 1), VIRTIO_NET_OK);
		assert_int_equal(pair->active, 1);
		free_pair(pair);
	}
}

static void
queue_pairs_that_the_port_has_not_are_refused(void **state)
{
	struct pair *pair = new_pair(false);

	(void)state;
	assert_int_equal(ask_pairs(pair, 2), VIRTIO_NET_OK);
	assert_int_equal(ask_pairs(pair, 0), VIRTIO_NET_ERR);
	assert_int_equal(ask_pairs(pair, PAIRS + 1), VIRTIO_NET_ERR);
	assert_int_equal(ask_pairs(pair, UINT16_MAX), VIRTIO_NET_ERR);
	assert_int_equal(pair->active, 2);
	pair->control.multiqueue = false;
	assert_int_equal(ask_pairs(pair, 1), VIRTIO_NET_ERR);
	free_pair(pair);
}

static void
an_announcement_is_acknowledged(void **state)
{
	struct pair *pair = new_pair(false);

	(void)state;
	assert_int_equal(ask(pair, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0), VIRTIO_NET_OK);
	assert_int_equal(ask_byte(pair, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, 0), VIRTIO_NET_ERR);
	free_pair(pair);
}

/* The length that a command's data has to have; -1: there is no such command. */
static int
length_of(uint8_t class, uint8_t code)
{
	switch (class) {
	case VIRTIO_NET_CTRL_RX:
		return code <= VIRTIO_NET_CTRL_RX_NOBCAST ? 1 : -1;
	case VIRTIO_NET_CTRL_MAC:
		return code == VIRTIO_NET_CTRL_MAC_ADDR_SET ? 6 : code == VIRTIO_NET_CTRL_MAC_TABLE_SET ? 8 : -1;
	case VIRTIO_NET_CTRL_VLAN:
		return code <= VIRTIO_NET_CTRL_VLAN_DEL ? 2 : -1;
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return code == VIRTIO_NET_CTRL_ANNOUNCE_ACK ? 0 : -1;
	case VIRTIO_NET_CTRL_MQ:
		return code == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ? 2 : -1;
	default:
		return -1;
	}
}

static void
every_class_and_code_is_answered_whatever_its_length(void **state)
{
	static const uint8_t address[] = { 2, 0, 0, 0, 0, 1, 0, 0, 0 }, zeros[9], one[9] = { 1 };
	struct pair *pair = new_pair(false);

	(void)state;
	for (unsigned int class = 0; class < 256; class ++)
		for (unsigned int code = 0; code < 256; code += class < 8 ? 1 : 51)
			for (uint32_t length = 0; length <= sizeof(zeros); length++) {
				bool is_address = class == VIRTIO_NET_CTRL_MAC && code == VIRTIO_NET_CTRL_MAC_ADDR_SET;
				const uint8_t *data = is_address ? address : class == VIRTIO_NET_CTRL_MQ ? one : zeros;
				bool good = (int)length == length_of((uint8_t) class, (uint8_t)code);

				assert_int_equal(ask(pair, (uint8_t) class, (uint8_t)code, data, length),
						 good ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
			}
	free_pair(pair);
}

/* --- chains ------------------------------------------------------------------------------------------------------- */

static void
a_command_may_lie_in_buffers_of_any_layout(void **state)
{
	const uint16_t pairs = 3;

	(void)state;
	BOTH_FORMATS(packed)
	{
		/* bit i: a buffer ends behind byte i of the four; with and without a table of its own */
		for (unsigned int cuts = 0; cuts < 16; cuts++) {
			struct pair *pair = new_pair(packed);
			struct driver_buffer buffers[5];
			uint32_t length = write_command(pair, VIRTIO_NET_CTRL_MQ, 0, &pairs, sizeof(pairs)), from = 0;
			uint16_t n = 0;

			for (uint32_t end = 1; end <= length; end++)
				if (end == length || (cuts & 1u << (end - 1)) != 0) {
					buffers[n++] = (struct driver_buffer){ READABLE + from, end - from, 0 };
					from = end;
				}
			buffers[n++] = (struct driver_buffer){ ACK, 1, WRITE };
			if ((cuts & 8) != 0)
				driver_offer_table(pair->driver, buffers, n);
			else
				driver_offer(pair->driver, buffers, n);
			assert_int_equal(answer(pair), VIRTIO_NET_OK);
			assert_int_equal(pair->active, pairs);
			free_pair(pair);
		}
	}
}

static void
the_answer_is_the_first_byte_that_may_be_written(void **state)
{
	const struct driver_buffer buffers[] = { { READABLE, 3, 0 }, { ACK, 2, WRITE }, { ACK + 2, 5, WRITE } };

	(void)state;
	BOTH_FORMATS(packed)
	{
		struct pair *pair = new_pair(packed);

		write_command(pair, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "\1", 1);
		memset(driver_at(pair->driver, ACK), UNTOUCHED, 7);
		driver_offer(pair->driver, buffers, 3);
		assert_int_equal(answer(pair), VIRTIO_NET_OK);
		for (int i = 1; i < 7; i++)
			assert_int_equal(driver_at(pair->driver, ACK)[i], UNTOUCHED);
		free_pair(pair);
	}
}

/* Offers a chain of no use and sees it come back without effect, and the queue go on. */
static void
expect_nothing(bool packed, const struct driver_buffer *buffers, uint16_t n)
{
	struct pair *pair = new_pair(packed);

	write_command(pair, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "\1", 1);
	driver_offer(pair->driver, buffers, n);
	assert_int_equal(answer(pair), NO_ANSWER);
	assert_int_equal(*driver_at(pair->driver, ACK), UNTOUCHED);
	assert_int_equal(pair->control.modes, 0);
	assert_int_equal(pair->control.refused, 1);
	assert_int_equal(ask_pairs(pair, 2), VIRTIO_NET_OK);
	assert_null(pair->queue.stopped);
	free_pair(pair);
}

static void
what_cannot_be_answered_is_not_executed(void **state)
{
	const struct driver_buffer no_answer[] = { { READABLE, 3, 0 } },
				   empty[] = { { READABLE, 3, 0 }, { ACK, 0, WRITE } };
	const struct driver_buffer answer_first[] = { { ACK, 1, WRITE }, { READABLE, 3, 0 } };

	(void)state;
	BOTH_FORMATS(packed)
	{
		expect_nothing(packed, no_answer, 1);
		expect_nothing(packed, empty, 2);
		expect_nothing(packed, answer_first, 2);
	}
}

static void
a_chain_without_a_whole_header_is_refused(void **state)
{
	const struct driver_buffer nothing[] = { { ACK, 1, WRITE } },
				   half[] = { { READABLE, 1, 0 }, { ACK, 1, WRITE } };

	(void)state;
	BOTH_FORMATS(packed)
	{
		struct pair *pair = new_pair(packed);

		write_command(pair, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0);
		driver_offer(pair->driver, nothing, 1);
		assert_int_equal(answer(pair), VIRTIO_NET_ERR);
		driver_offer(pair->driver, half, 2);
		assert_int_equal(answer(pair), VIRTIO_NET_ERR);
		free_pair(pair);
	}
}

static void
a_buffer_outside_of_memory_stops_the_queue(void **state)
{
	const struct driver_buffer data[] = { { READABLE, 2, 0 }, { DRIVER_END - 1, 2, 0 }, { ACK, 1, WRITE } };
	const struct driver_buffer ack[] = { { READABLE, 3, 0 }, { DRIVER_END, 1, WRITE } };
	const struct driver_buffer *const chains[] = { data, ack };

	(void)state;
	BOTH_FORMATS(packed)
	{
		for (uint16_t i = 0; i < 2; i++) {
			struct pair *pair = new_pair(packed);
			uint32_t id, length;

			write_command(pair, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "\1", 1);
			driver_offer(pair->driver, chains[i], i == 0 ? 3 : 2);
			assert_int_equal(pv_control_serve(&pair->control, &pair->queue), 0);
			assert_non_null(pair->queue.stopped);
			assert_false(driver_take(pair->driver, &id, &length));
			assert_int_equal(pair->control.modes, 0);
			free_pair(pair);
		}
	}
}

static void
a_call_answers_a_few_commands_in_their_order(void **state)
{
	const uint32_t n = 10;

	(void)state;
	BOTH_FORMATS(packed)
	{
		struct pair *pair = new_pair(packed);
		uint32_t id, length, taken = 0;
		uint16_t ids[10];
		int answered;

		write_command(pair, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0);
		for (uint32_t i = 0; i < n; i++) {
			const struct driver_buffer buffers[] = { { READABLE, 2, 0 }, { ACK + i, 1, WRITE } };

			ids[i] = driver_offer(pair->driver, buffers, 2);
		}
		while ((answered = pv_control_serve(&pair->control, &pair->queue)) > 0) {
			assert_in_range(answered, 1, 4);
			for (int i = 0; i < answered; i++, taken++) {
				assert_true(driver_take(pair->driver, &id, &length));
				assert_int_equal(id, ids[taken]);
			}
		}
		assert_int_equal(answered, 0);
		assert_int_equal(taken, n);
		assert_int_equal(pair->control.commands, n);
		free_pair(pair);
	}
}

/* --- the device --------------------------------------------------------------------------------------------------- */

static void
the_configuration_space_tells_pairs_mtu_and_address(void **state)
{
	struct pair *pair = new_pair_with(false, &only);
	struct virtio_net_config config;

	(void)state;
	pv_control_read_config(&pair->control, 0, &config, sizeof(config));
	assert_memory_equal(config.mac, only.bytes, sizeof(config.mac));
	assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(config.max_virtqueue_pairs, PAIRS);
	assert_int_equal(config.mtu, MTU);
	free_pair(pair);
}

static void
the_configuration_space_is_zero_where_it_ends(void **state)
{
	static const uint8_t zeros[64];
	struct pair *pair = new_pair_with(false, &only);
	uint8_t found[64];
	uint16_t mtu;

	(void)state;
	memset(found, UNTOUCHED, sizeof(found));
	pv_control_read_config(&pair->control, offsetof(struct virtio_net_config, mtu), found, sizeof(found));
	memcpy(&mtu, found, sizeof(mtu));
	assert_int_equal(mtu, MTU);
	assert_memory_equal(found + 20, zeros, sizeof(found) - 20);
	pv_control_read_config(&pair->control, UINT32_MAX, found, sizeof(found));
	assert_memory_equal(found, zeros, sizeof(found));
	free_pair(pair);
}

static void
another_guest_finds_nothing_of_the_one_before(void **state)
{
	static const uint8_t address[] = { 0x52, 0x54, 0, 1, 2, 3 }, zeros[6];
	struct pair *pair = new_pair(false);
	uint8_t found[6];

	(void)state;
	ask_address(pair, address);
	ask_byte(pair, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, 1);
	ask_pairs(pair, 3);
	pv_control_reset(&pair->control);
	pv_control_read_config(&pair->control, 0, found, sizeof(found));
	assert_memory_equal(found, zeros, sizeof(found));
	assert_int_equal(pair->control.modes, 0);
	assert_int_equal(pair->control.pairs, 1);
	assert_false(pair->control.multiqueue);
	free_pair(pair);
}

static void
its_ring_comes_after_those_of_all_pairs_or_of_the_one(void **state)
{
	(void)state;
	assert_int_equal(pv_control_ring(1, false), 2);
	assert_int_equal(pv_control_ring(4, false), 2);
	assert_int_equal(pv_control_ring(4, true), 8);
}

static int
start(void **state)
{
	(void)state;
	testbed_start_eal();
	return 0;
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_receive_mode_is_turned_on_and_off),
		cmocka_unit_test(the_guest_chooses_its_address),
		cmocka_unit_test(an_address_that_nobody_can_have_is_refused),
		cmocka_unit_test(a_port_with_one_address_grants_no_other),
		cmocka_unit_test(address_tables_of_any_length_are_granted),
		cmocka_unit_test(address_tables_that_do_not_fill_their_command_are_refused),
		cmocka_unit_test(vlans_that_exist_are_granted),
		cmocka_unit_test(queue_pairs_are_in_effect_when_the_answer_is_there),
		cmocka_unit_test(queue_pairs_that_the_port_has_not_are_refused),
		cmocka_unit_test(an_announcement_is_acknowledged),
		cmocka_unit_test(every_class_and_code_is_answered_whatever_its_length),
		cmocka_unit_test(a_command_may_lie_in_buffers_of_any_layout),
		cmocka_unit_test(the_answer_is_the_first_byte_that_may_be_written),
		cmocka_unit_test(what_cannot_be_answered_is_not_executed),
		cmocka_unit_test(a_chain_without_a_whole_header_is_refused),
		cmocka_unit_test(a_buffer_outside_of_memory_stops_the_queue),
		cmocka_unit_test(a_call_answers_a_few_commands_in_their_order),
		cmocka_unit_test(the_configuration_space_tells_pairs_mtu_and_address),
		cmocka_unit_test(the_configuration_space_is_zero_where_it_ends),
		cmocka_unit_test(another_guest_finds_nothing_of_the_one_before),
		cmocka_unit_test(its_ring_comes_after_those_of_all_pairs_or_of_the_one),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
