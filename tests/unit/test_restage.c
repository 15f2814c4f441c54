/* SPDX-License-Identifier: BSD-3-Clause */
/* Stages that are switched on and off under workers, and what becomes of their state, their order and the ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_malloc.h>

#include "core/restage.h"
#include "testbed.h"
#include "vio/buffers.h"
#include "vio/offload.h"

#define PORTS 3
#define REFUSED "nothing was changed: Input/output error: see the log"
#define NO_SUCH_DEVICE "nothing was changed: No such device: see the log"
#define OFFERED(name)                                                                                               \
	name ": what guests are offered would change, and they negotiate that once: list it in the configuration, " \
	     "and start pktvirt with that"
#define MARKS_AT RTE_ETHER_HDR_LEN /* of a frame: here each stage leaves its letter */

/* --- stages that leave a mark ------------------------------------------------------------------------------------- */

static struct {
	uint32_t begun, ended;
	int refuses; /* number of the beginning from now on that is refused, from 1; 0: none */
} life;

struct marks {
	uint32_t packets;
	char letter;
};

static int
begin_marks(struct pv_stage_self *self)
{
	struct marks *marks = self->state;

	if (life.refuses > 0 && --life.refuses == 0)
		return -ENODEV;
	life.begun++;
	marks->letter = self->stage->name[0];
	return 0;
}

static void
end_marks(struct pv_stage_self *self)
{
	life.ended++;
}

static void
leave_mark(struct rte_mbuf *packet, char letter)
{
	char *at = rte_pktmbuf_mtod_offset(packet, char *, MARKS_AT);

	while (*at != '\0')
		at++;
	*at = letter;
}

static void
mark(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	struct marks *marks = self->state;

	marks->packets += count;
	for (uint16_t i = 0; i < count; i++) {
		leave_mark(packets[i], marks->letter);
		pv_emit(run, packets[i]);
	}
}

#define MARKING(text)                                                                                         \
	{                                                                                                     \
		.name = text, .summary = "marks", .source = "test", .hooks = PV_HOOK_BIT(PV_HOOK_FROM_GUEST), \
		.state_size = sizeof(struct marks), .init = begin_marks, .process = mark, .fini = end_marks   \
	}

static const struct pv_stage first = MARKING("a-first");
static const struct pv_stage second = MARKING("b-second");
static const struct pv_stage third = MARKING("c-third");
static const struct pv_stage foreign = MARKING("x-foreign");

/* One with options: it marks so many packets, with that letter. */
struct some_options {
	uint32_t most;
	char *letter;
};

static const struct pv_option some_options[] = {
	PV_OPTION_UINT(struct some_options, most, "most", 1, 100, 10, "packets that are marked"),
	PV_OPTION_STRING(struct some_options, letter, "letter", 1, 1, "s", "the mark"),
	PV_OPTION_END,
};

static void
mark_some(struct pv_stage_self *self, struct pv_run *run, struct rte_mbuf **packets, uint16_t count)
{
	const struct some_options *options = self->options;
	struct marks *marks = self->state;

	for (uint16_t i = 0; i < count; i++) {
		if (marks->packets++ < options->most)
			leave_mark(packets[i], options->letter[0]);
		pv_emit(run, packets[i]);
	}
}

static const struct pv_stage some = {
	.name = "some",
	.summary = "marks some",
	.source = "test",
	.options = some_options,
	.options_size = sizeof(struct some_options),
	.hooks = PV_HOOK_BIT(PV_HOOK_FROM_GUEST),
	.state_size = sizeof(struct marks),
	.init = begin_marks,
	.process = mark_some,
	.fini = end_marks,
};

/* Of use only with a feature of guests. */
#define HUNGRY_FOR (1ULL << VIRTIO_NET_F_GUEST_TSO4)
static const struct pv_stage hungry = { .name = "hungry",
					.summary = "marks",
					.source = "test",
					.hooks = PV_HOOK_BIT(PV_HOOK_FROM_GUEST),
					.state_size = sizeof(struct marks),
					.init = begin_marks,
					.process = mark,
					.fini = end_marks,
					.guest_features = HUNGRY_FOR };

/* Wants what "shared-buffer-rings" decides, too. */
static const char *
bind_copied(const void *options)
{
	return "copy";
}

static const struct pv_stage rival = { .name = "rival",
				       .summary = "copies",
				       .source = "test",
				       .primitive = PV_PRIMITIVE_BUFFER_PASSING,
				       .bind = bind_copied };

/* --- ports that go over, or refuse to ----------------------------------------------------------------------------- */

static struct {
	struct pv_port_env env; /* as last given */
	uint32_t times;
	uint32_t begun, ended; /* before and after the workers were held */
} gone_over[PORTS];
static int refusing = -1; /* port that does */

static uint16_t
no_packets(struct pv_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return 0;
}

static const struct pv_port_ops stubborn_ops = { .rx_burst = no_packets, .tx_burst = no_packets };

static int
open_stubborn(struct pv_port *port, const void *options, const struct pv_port_env *env)
{
	port->ops = &stubborn_ops;
	gone_over[port->id].env = *env;
	gone_over[port->id].times = 0;
	gone_over[port->id].begun = gone_over[port->id].ended = 0;
	return 0;
}

static void
close_stubborn(struct pv_port *port)
{
}

static bool
are_held(const struct pv_port *port)
{
	return ((const struct pv_datapath *)port->framework)->hold.wanted;
}

static void
begin_going_over(struct pv_port *port)
{
	assert_false(are_held(port));
	gone_over[port->id].begun++;
}

static void
end_going_over(struct pv_port *port)
{
	assert_false(are_held(port));
	gone_over[port->id].ended++;
}

static int
go_over(struct pv_port *port, const struct pv_port_env *env)
{
	for (uint16_t i = 0; i < PORTS; i++)
		assert_int_equal(gone_over[i].begun, gone_over[i].ended + 1);
	assert_int_equal(are_held(port), ((const struct pv_datapath *)port->framework)->running);
	if (port->id == refusing)
		return -EBUSY;
	gone_over[port->id].env = *env;
	gone_over[port->id].times++;
	return 0;
}

static const struct pv_port_type stubborn = { .name = "stubborn",
					      .summary = "goes over or not",
					      .open = open_stubborn,
					      .close = close_stubborn,
					      .rebind = go_over,
					      .begin_rebind = begin_going_over,
					      .end_rebind = end_going_over };

/* --- helpers ------------------------------------------------------------------------------------------------------ */

static json_t *
ask(struct testbed *testbed, const char *name, json_t *wanted, char error[256])
{
	json_t *answer = pv_restage(testbed_datapath(testbed), name, wanted, error, 256);

	json_decref(wanted);
	return answer;
}

static void
set(struct testbed *testbed, const char *name, json_t *wanted)
{
	char error[256] = "";
	json_t *answer = ask(testbed, name, wanted, error);

	if (answer == NULL)
		fail_msg("%s: %s", name, error);
	json_decref(answer);
}

static void
assert_refused(struct testbed *testbed, const char *name, json_t *wanted, const char *message)
{
	const struct pv_config *before = testbed_datapath(testbed)->config;
	json_t *then = pv_config_dump(before), *now;
	char error[256] = "";

	assert_null(ask(testbed, name, wanted, error));
	assert_string_equal(error, message);
	assert_ptr_equal(testbed_datapath(testbed)->config, before);
	now = pv_config_dump(before);
	assert_true(json_equal(then, now));
	json_decref(then);
	json_decref(now);
}

static struct testbed *
begin(const struct testbed_setup *setup)
{
	struct testbed *testbed;

	memset(&life, 0, sizeof(life));
	refusing = -1;
	testbed = testbed_new(setup);
	assert_non_null(testbed);
	return testbed;
}

/* Sends a frame on queue 0 and compares the marks that it comes out with. */
static void
assert_marks(struct testbed *testbed, const char *expected)
{
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 0xa, 8 };

	testbed_clear(testbed);
	testbed_inject_bytes(testbed, 0, 0, frame, sizeof(frame), 1);
	testbed_run(testbed, 2);
	assert_int_equal(testbed_sent(testbed, 1), 1);
	assert_string_equal(rte_pktmbuf_mtod_offset(testbed_packet(testbed, 1, 0), const char *, MARKS_AT), expected);
}

static const struct pv_stage_self *
find_self(struct testbed *testbed, uint16_t worker, const struct pv_stage *stage)
{
	const struct pv_worker_stages *set = &testbed_datapath(testbed)->workers[worker]->packet_stages;

	for (uint16_t i = 0; i < set->n; i++)
		if (set->stages[i].stage == stage)
			return &set->stages[i];
	return NULL;
}

/* Blocks that are allocated now. */
static unsigned int
count_blocks(void)
{
	struct rte_malloc_socket_stats stats;

	assert_int_equal(rte_malloc_get_socket_stats(0, &stats), 0);
	return stats.alloc_count;
}

/* --- packet stages ------------------------------------------------------------------------------------------------ */

static void
a_stage_is_switched_on_and_off(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2, .workers = 2 });

	for (uint32_t turn = 1; turn <= 3; turn++) {
		assert_marks(testbed, "");
		set(testbed, "a-first", json_true());
		assert_marks(testbed, "a");
		set(testbed, "a-first", json_true()); /* again: nothing new */
		assert_marks(testbed, "a");
		assert_int_equal(life.begun, 2 * turn);
		set(testbed, "a-first", json_false());
		set(testbed, "a-first", json_false());
		assert_int_equal(life.ended, 2 * turn);
		assert_int_equal(testbed_datapath(testbed)->config->n_stages, 0);
	}
	testbed_free(testbed);
}

static void
what_is_switched_on_and_off_leaves_nothing_behind(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2, .stages = { &first, &some } });
	unsigned int before;

	set(testbed, "a-first", json_true());
	before = count_blocks();
	for (uint32_t turn = 0; turn < 10; turn++) {
		set(testbed, "b-second", json_true());
		set(testbed, "some", json_pack("{s:s}", "letter", "t"));
		set(testbed, "some", json_false());
		set(testbed, "b-second", json_false());
		set(testbed, "some", json_true());
	}
	assert_int_equal(count_blocks(), before);
	assert_marks(testbed, "as");
	testbed_free(testbed);
	assert_int_equal(life.begun, life.ended);
}

static void
a_stage_that_stays_keeps_its_state_and_its_counters(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2, .workers = 2, .stages = { &second } });
	const void *states[2];

	for (uint16_t worker = 0; worker < 2; worker++)
		states[worker] = find_self(testbed, worker, &second)->state;
	for (uint32_t turn = 0; turn < 5; turn++) {
		assert_marks(testbed, "b");
		set(testbed, "a-first", json_true());
		assert_marks(testbed, "ba");
		set(testbed, "some", json_true());
		set(testbed, "a-first", json_false());
		assert_marks(testbed, "bs");
		set(testbed, "some", json_false());
	}
	for (uint16_t worker = 0; worker < 2; worker++) {
		const struct pv_stage_self *self = find_self(testbed, worker, &second);
		const struct marks *marks = self->state;

		assert_ptr_equal(self->state, states[worker]);
		assert_int_equal(self->counters.packets, worker == 0 ? 15 : 0);
		assert_int_equal(self->counters.emitted, self->counters.packets);
		assert_int_equal(marks->packets, self->counters.packets);
	}
	assert_int_equal(life.begun - life.ended, 2);
	testbed_free(testbed);
	assert_int_equal(life.begun, life.ended);
}

static void
other_options_make_a_stage_anew_and_the_same_do_not(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2, .stages = { &some } });
	const void *before = find_self(testbed, 0, &some)->state;

	assert_marks(testbed, "s");
	set(testbed, "some", json_pack("{s:i}", "most", 10));
	set(testbed, "some", json_object());
	assert_int_equal(life.begun, 1);
	assert_ptr_equal(find_self(testbed, 0, &some)->state, before);
	assert_int_equal(find_self(testbed, 0, &some)->counters.packets, 1);
	set(testbed, "some", json_pack("{s:i}", "most", 1));
	assert_int_equal(life.begun, 2);
	assert_int_equal(life.ended, 1);
	assert_int_equal(find_self(testbed, 0, &some)->counters.packets, 0);
	assert_marks(testbed, "s");
	assert_marks(testbed, "");
	set(testbed, "some", json_pack("{s:s}", "letter", "t")); /* and "most" stays */
	assert_marks(testbed, "t");
	assert_marks(testbed, "");
	testbed_free(testbed);
}

/* Its options are those of the list that it is in now: those it began with are freed. */
static void
a_stage_that_stays_has_options_that_are_there(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2 });

	set(testbed, "some", json_pack("{s:s, s:i}", "letter", "t", "most", 100));
	for (uint32_t turn = 0; turn < 5; turn++) {
		set(testbed, "a-first", turn % 2 == 0 ? json_true() : json_false());
		assert_marks(testbed, turn % 2 == 0 ? "ta" : "t");
		assert_ptr_equal(find_self(testbed, 0, &some)->options,
				 testbed_datapath(testbed)->config->stages[0].options);
	}
	testbed_free(testbed);
}

static void
stages_run_in_the_order_of_the_configuration_that_was_given(void **state)
{
	static const struct {
		const char *name;
		bool on;
		const char *marks;
	} turns[] = {
		{ "a-first", false, "bc" },   { "b-second", false, "c" },  { "a-first", true, "ac" },
		{ "b-second", true, "abc" },  { "c-third", false, "ab" },  { "x-foreign", true, "abx" },
		{ "c-third", true, "abxc" },  { "a-first", false, "bxc" }, { "b-second", false, "xc" },
		{ "c-third", false, "x" },    { "b-second", true, "xb" },  { "a-first", true, "xab" },
		{ "x-foreign", false, "ab" }, { "c-third", true, "abc" },
	};
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2, .stages = { &first, &second, &third } });

	assert_marks(testbed, "abc");
	for (size_t i = 0; i < RTE_DIM(turns); i++) {
		set(testbed, turns[i].name, turns[i].on ? json_true() : json_false());
		assert_marks(testbed, turns[i].marks);
	}
	testbed_free(testbed);
}

static void
a_stage_comes_back_with_the_options_that_the_configuration_gives_it(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2, .stages = { &some } });

	set(testbed, "some", json_pack("{s:s}", "letter", "t"));
	set(testbed, "some", json_false());
	set(testbed, "some", json_true());
	assert_marks(testbed, "s");
	testbed_free(testbed);
}

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

static void
a_stage_that_does_not_start_changes_nothing(void **state)
{
	for (int refuses = 1; refuses <= 4;
	     refuses++) { /* the first worker's or the second's; new, or with other options */
		struct testbed *testbed = begin(
			&(struct testbed_setup){ .ports = 2, .workers = 2, .stages = { &first, &second, &some } });
		const struct pv_stage_self *before;
		unsigned int blocks;
		uint32_t begun, ended;

		set(testbed, "b-second", json_false());
		before = find_self(testbed, 0, &first);
		blocks = count_blocks();
		begun = life.begun;
		ended = life.ended;
		life.refuses = 1 + refuses % 2;
		if (refuses <= 2)
			assert_refused(testbed, "b-second", json_true(), NO_SUCH_DEVICE);
		else
			assert_refused(testbed, "some", json_pack("{s:i}", "most", 5), NO_SUCH_DEVICE);
		assert_int_equal(life.begun - begun, refuses % 2);
		assert_int_equal(life.ended - ended, life.begun - begun);
		assert_int_equal(count_blocks(), blocks);
		assert_ptr_equal(find_self(testbed, 0, &first), before);
		assert_marks(testbed, "as");
		set(testbed, "b-second", json_true());
		assert_marks(testbed, "abs");
		testbed_free(testbed);
		assert_int_equal(life.begun, life.ended);
	}
}

static void
mistakes_are_named_and_change_nothing(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2, .stages = { &first, &some } });

	assert_refused(testbed, "a-frist", json_true(), "unknown stage \"a-frist\"; did you mean \"a-first\"?");
	assert_refused(testbed, "a-frist", json_false(), "unknown stage \"a-frist\"; did you mean \"a-first\"?");
	assert_refused(testbed, "some", json_pack("{s:i}", "msot", 5),
		       "some: unknown option \"msot\"; did you mean \"most\"?");
	assert_refused(testbed, "some", json_pack("{s:i}", "most", 101), "some.most: 101: expected 1 to 100");
	assert_refused(testbed, "some", json_pack("{s:s}", "most", "5"),
		       "some.most: \"5\" (string): expected 1 to 100");
	assert_refused(testbed, "a-first", json_pack("{s:i}", "most", 5),
		       "a-first: unknown option \"most\"; accepted: none");
	assert_marks(testbed, "as");
	testbed_free(testbed);
}

static void
two_stages_may_not_decide_the_same(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2 });

	set(testbed, "shared-buffer-rings", json_true());
	assert_refused(testbed, "rival", json_true(),
		       "\"rival\": decides buffer-passing, as \"shared-buffer-rings\" does: "
		       "expected one of them");
	set(testbed, "shared-buffer-rings", json_false());
	set(testbed, "rival", json_true());
	testbed_free(testbed);
}

/* --- primitives and ports ----------------------------------------------------------------------------------------- */

static struct testbed *
begin_with_stubborn_ports(void)
{
	return begin(&(struct testbed_setup){ .ports = PORTS, .type = &stubborn });
}

static void
assert_all_have(uint32_t copy_break, uint32_t times)
{
	for (uint16_t i = 0; i < PORTS; i++) {
		assert_int_equal(gone_over[i].env.copy_break, copy_break);
		assert_int_equal(gone_over[i].times, times);
	}
}

static const struct pv_binding *
find_binding(struct testbed *testbed, const char *primitive)
{
	const struct pv_datapath *datapath = testbed_datapath(testbed);

	for (size_t i = 0; i < datapath->n_bindings; i++)
		if (strcmp(datapath->bindings[i].primitive, primitive) == 0)
			return &datapath->bindings[i];
	return NULL;
}

static void
ports_go_over_to_what_is_bound(void **state)
{
	struct testbed *testbed = begin_with_stubborn_ports();
	const struct pv_host_io *plain = gone_over[0].env.host_io;

	assert_all_have(PV_COPY_ALL, 0);
	set(testbed, "shared-buffer-rings", json_pack("{s:i}", "copy-break", 1000));
	assert_all_have(1000, 1);
	set(testbed, "shared-buffer-rings", json_pack("{s:i}", "copy-break", 2000));
	assert_all_have(2000, 2);
	set(testbed, "batched-syscalls", json_true());
	assert_all_have(2000, 3);
	assert_string_equal(find_binding(testbed, "host-io")->why, "stage batched-syscalls");
	assert_ptr_equal(gone_over[0].env.host_io, find_binding(testbed, "host-io")->implementation->ops);
	set(testbed, "shared-buffer-rings", json_false());
	set(testbed, "batched-syscalls", json_false());
	assert_all_have(PV_COPY_ALL, 5);
	assert_string_equal(find_binding(testbed, PV_PRIMITIVE_BUFFER_PASSING)->why, "plain");
	for (uint16_t i = 0; i < PORTS; i++) {
		assert_ptr_equal(gone_over[i].env.host_io, plain);
		assert_ptr_equal(gone_over[i].env.pool, testbed_datapath(testbed)->pool);
	}
	testbed_free(testbed);
}

/* Two stages ask for the same of a port, as the header channel is made of what passes buffers. */
static void
ports_copy_up_to_the_smaller_of_what_two_stages_ask_for(void **state)
{
	struct testbed *testbed = begin_with_stubborn_ports();

	set(testbed, "io-channel", json_pack("{s:i}", "copy-break", 700));
	assert_all_have(700, 1);
	set(testbed, "shared-buffer-rings", json_pack("{s:i}", "copy-break", 1000));
	assert_all_have(700, 2);
	set(testbed, "io-channel", json_pack("{s:i}", "copy-break", 1400));
	assert_all_have(1000, 3);
	set(testbed, "shared-buffer-rings", json_false());
	assert_all_have(1400, 4);
	set(testbed, "io-channel", json_false());
	assert_all_have(PV_COPY_ALL, 5);
	assert_int_equal(gone_over[0].env.io_channel.way, PV_CHANNEL_PERSISTENT);
	testbed_free(testbed);
}

static void
a_port_that_refuses_has_the_others_go_back(void **state)
{
	for (int port = 0; port < PORTS; port++) {
		struct testbed *testbed = begin_with_stubborn_ports();

		set(testbed, "shared-buffer-rings", json_pack("{s:i}", "copy-break", 1000));
		refusing = port;
		assert_refused(testbed, "shared-buffer-rings", json_false(), REFUSED);
		for (int i = 0; i < PORTS; i++) {
			assert_int_equal(gone_over[i].env.copy_break, 1000);
			assert_int_equal(gone_over[i].times, i < port ? 3 : 1);
		}
		assert_string_equal(find_binding(testbed, PV_PRIMITIVE_BUFFER_PASSING)->why,
				    "stage shared-buffer-rings");
		refusing = -1;
		set(testbed, "shared-buffer-rings", json_false());
		for (int i = 0; i < PORTS; i++)
			assert_int_equal(gone_over[i].env.copy_break, PV_COPY_ALL);
		testbed_free(testbed);
	}
}

/* What was begun for it is ended; what stays is not. */
static void
a_port_that_refuses_ends_the_stages_that_came_with_it(void **state)
{
	struct testbed *testbed =
		begin(&(struct testbed_setup){ .ports = PORTS, .type = &stubborn, .stages = { &first } });

	refusing = PORTS - 1;
	assert_refused(testbed, "b-second", json_true(), REFUSED);
	assert_int_equal(life.begun, 2);
	assert_int_equal(life.ended, 1);
	assert_non_null(find_self(testbed, 0, &first));
	assert_null(find_self(testbed, 0, &second));
	testbed_free(testbed);
	assert_int_equal(life.ended, 2);
}

static void
workers_are_told_by_signals_or_not(void **state)
{
	struct testbed *testbed = begin_with_stubborn_ports();
	const struct pv_datapath *datapath = testbed_datapath(testbed);

	set(testbed, "signal-free-sync", json_true());
	assert_int_equal(datapath->critical, PV_CRITICAL_MASK);
	set(testbed, "signal-free-sync", json_pack("{s:s}", "mode", "poll"));
	assert_int_equal(datapath->critical, PV_CRITICAL_POLL);
	set(testbed, "signal-free-sync", json_pack("{s:s}", "mode", "mask"));
	assert_int_equal(datapath->critical, PV_CRITICAL_MASK);
	refusing = 1;
	assert_refused(testbed, "signal-free-sync", json_false(), REFUSED);
	assert_int_equal(datapath->critical, PV_CRITICAL_MASK);
	refusing = -1;
	set(testbed, "signal-free-sync", json_false());
	assert_int_equal(datapath->critical, PV_CRITICAL_POLL);
	testbed_free(testbed);
}

/* --- what guests are offered -------------------------------------------------------------------------------------- */

static void
the_interface_of_guests_cannot_be_switched(void **state)
{
	const struct pv_stage *offload = pv_stage_find("offload");
	struct testbed *testbed =
		begin(&(struct testbed_setup){ .ports = PORTS, .type = &stubborn, .stages = { offload } });

	assert_int_equal(gone_over[0].env.guest_features, PV_FEATURES_OFFLOAD);
	assert_refused(testbed, "offload", json_false(), OFFERED("offload"));
	assert_refused(testbed, "offload", json_pack("{s:s}", "direction", "to-guest"), OFFERED("offload"));
	assert_int_equal(gone_over[0].times, 0);
	set(testbed, "offload", json_true());
	testbed_free(testbed);
	testbed = begin_with_stubborn_ports();
	assert_int_equal(gone_over[0].env.guest_features, 0);
	assert_int_equal(gone_over[0].env.wire_offloads, 0);
	assert_refused(testbed, "offload", json_true(), OFFERED("offload"));
	set(testbed, "offload", json_false());
	testbed_free(testbed);
}

static void
which_offloads_of_wires_are_used_can_be_switched(void **state)
{
	static const struct {
		const char *wire;
		uint32_t offloads;
	} steps[] = { { "none", 0 }, { "checksum", PV_OFFLOAD_CSUM }, { "all", PV_OFFLOAD_ALL }, { "none", 0 } };
	const struct pv_stage *offload = pv_stage_find("offload");
	struct testbed *testbed =
		begin(&(struct testbed_setup){ .ports = PORTS, .type = &stubborn, .stages = { offload } });

	assert_int_equal(gone_over[0].env.wire_offloads, PV_OFFLOAD_ALL);
	for (size_t i = 0; i < RTE_DIM(steps); i++) {
		set(testbed, "offload", json_pack("{s:s}", "wire", steps[i].wire));
		for (uint16_t port = 0; port < PORTS; port++) {
			assert_int_equal(gone_over[port].env.wire_offloads, steps[i].offloads);
			assert_int_equal(gone_over[port].env.guest_features, PV_FEATURES_OFFLOAD);
		}
	}
	testbed_free(testbed);
}

/* Its packets are just not made meanwhile. */
static void
a_stage_that_guests_were_offered_something_for_comes_and_goes(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2, .stages = { &hungry } });
	const struct pv_datapath *datapath = testbed_datapath(testbed);

	for (int turn = 0; turn < 3; turn++) {
		assert_marks(testbed, "h");
		set(testbed, "hungry", json_false());
		assert_marks(testbed, "");
		assert_int_equal(datapath->guest_features, HUNGRY_FOR);
		set(testbed, "hungry", json_true());
	}
	testbed_free(testbed);
}

static void
a_stage_that_guests_were_offered_nothing_for_is_refused(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2 });

	assert_refused(testbed, "hungry", json_true(), OFFERED("hungry"));
	assert_marks(testbed, "");
	testbed_free(testbed);
	/* What the interface offers is enough. */
	testbed = begin(&(struct testbed_setup){ .ports = 2, .stages = { pv_stage_find("offload") } });
	set(testbed, "hungry", json_true());
	assert_marks(testbed, "h");
	testbed_free(testbed);
}

static void
the_answer_says_what_there_is_now(void **state)
{
	struct testbed *testbed = begin(&(struct testbed_setup){ .ports = 2, .stages = { &first } });
	char error[256] = "";
	json_t *answer = ask(testbed, "shared-buffer-rings", json_true(), error);
	json_t *expected = json_pack("[s, {s:{s:i}}]", "a-first", "shared-buffer-rings", "copy-break", 256);
	json_t *primitive, *found = NULL;
	size_t i;

	assert_non_null(answer);
	assert_true(json_equal(json_object_get(answer, "stages"), expected));
	assert_true(json_is_integer(json_object_get(answer, "held_us")));
	json_array_foreach(json_object_get(answer, "primitives"), i, primitive)
		if (strcmp(json_string_value(json_object_get(primitive, "primitive")), PV_PRIMITIVE_BUFFER_PASSING) ==
		    0)
			found = primitive;
	assert_non_null(found);
	assert_string_equal(json_string_value(json_object_get(found, "implementation")), "shared");
	assert_string_equal(json_string_value(json_object_get(found, "why")), "stage shared-buffer-rings");
	json_decref(expected);
	json_decref(answer);
	testbed_free(testbed);
}

static int
start(void **state)
{
	static const struct pv_stage *const stages[] = { &first, &second, &third, &foreign, &some, &rival, &hungry };

	testbed_start_eal();
	for (size_t i = 0; i < RTE_DIM(stages); i++)
		assert_int_equal(pv_stage_register(stages[i]), 0);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stage_is_switched_on_and_off),
		cmocka_unit_test(what_is_switched_on_and_off_leaves_nothing_behind),
		cmocka_unit_test(a_stage_that_stays_keeps_its_state_and_its_counters),
		cmocka_unit_test(other_options_make_a_stage_anew_and_the_same_do_not),
		cmocka_unit_test(a_stage_that_stays_has_options_that_are_there),
		cmocka_unit_test(stages_run_in_the_order_of_the_configuration_that_was_given),
		cmocka_unit_test(a_stage_comes_back_with_the_options_that_the_configuration_gives_it),
		cmocka_unit_test(a_stage_that_does_not_start_changes_nothing),
		cmocka_unit_test(mistakes_are_named_and_change_nothing),
		cmocka_unit_test(two_stages_may_not_decide_the_same),
		cmocka_unit_test(ports_go_over_to_what_is_bound),
		cmocka_unit_test(ports_copy_up_to_the_smaller_of_what_two_stages_ask_for),
		cmocka_unit_test(a_port_that_refuses_has_the_others_go_back),
		cmocka_unit_test(a_port_that_refuses_ends_the_stages_that_came_with_it),
		cmocka_unit_test(workers_are_told_by_signals_or_not),
		cmocka_unit_test(the_interface_of_guests_cannot_be_switched),
		cmocka_unit_test(which_offloads_of_wires_are_used_can_be_switched),
		cmocka_unit_test(a_stage_that_guests_were_offered_something_for_comes_and_goes),
		cmocka_unit_test(a_stage_that_guests_were_offered_nothing_for_is_refused),
		cmocka_unit_test(the_answer_says_what_there_is_now),
	};

	return cmocka_run_group_tests_name("restage", tests, start, NULL);
}
