#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Messages that no frontend should send: its sender is cut off, the daemon lives, and two neighbours notice nothing."""

import contextlib
import itertools
import os
import select
import signal
import struct
import subprocess
import sys

from frontend import (
    GET_FEATURES,
    GET_VRING_BASE,
    HEADER,
    MEMORY_AT,
    MEMORY_SIZE,
    NEED_REPLY,
    RING_SIZE,
    SET_FEATURES,
    SET_MEM_TABLE,
    SET_OWNER,
    SET_VRING_ADDR,
    SET_VRING_BASE,
    SET_VRING_CALL,
    SET_VRING_KICK,
    SET_VRING_NUM,
    VERSION,
    VIRTIO_F_VERSION_1,
)
from hostile_frontend import HOSTILE, check_delivery, frontend, is_in_state, switch_for
from support import SOON_S, check, check_equal, is_conserved, ports, run, say, wait_until, workspace

RESET_OWNER = 4
SET_LOG_BASE = 6
SET_VRING_ERR = 14
GET_PROTOCOL_FEATURES = 15
SET_PROTOCOL_FEATURES = 16
GET_QUEUE_NUM = 17
SET_VRING_ENABLE = 18
NET_SET_MTU = 20
SET_BACKEND_REQ_FD = 21
IOTLB_MSG = 22
GET_CONFIG = 24
CREATE_CRYPTO_SESSION = 26
POSTCOPY_ADVISE = 28
POSTCOPY_LISTEN = 29
GET_INFLIGHT_FD = 31
SET_INFLIGHT_FD = 32
ADD_MEM_REG = 37
SET_STATUS = 39

VIRTIO_F_RING_PACKED = 1 << 34

PAGE = 4096
FRAMES = 64           # so many must arrive at the neighbour beside each message
CONNECTIONS = 300     # in a row, each with a bad message
FLOOD = 20000
CHANGES = 20          # of the stages, there and back
FEW_LINES = CONNECTIONS // 2
COMEBACKS = 10        # of a guest that was stopped
FLAPS = 40            # connections that tell of memory whose file changes all the time,
TABLES = 8            # so many times each

EVERYTHING = 2**64 - 1


class Files:
    """Descriptors to send. Used with `with`, they are closed at the end."""

    def __init__(self):
        self._open = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in self._open:
            os.close(fd)

    def keep(self, fd):
        """Close this one, too."""
        self._open.append(fd)
        return fd

    def memory(self, size=MEMORY_SIZE):
        """A file of memory."""
        fd = self.keep(os.memfd_create("hostile"))
        os.ftruncate(fd, size)
        return fd

    def doorbell(self):
        """An eventfd."""
        return self.keep(os.eventfd(0))

    def file(self, path, flags=os.O_RDWR):
        """A file that exists."""
        return self.keep(os.open(path, flags))


def state(ring, number):
    return struct.pack("<II", ring, number)


def u64(number):
    return struct.pack("<Q", number % 2**64)


def region(size=MEMORY_SIZE, guest=0, user=MEMORY_AT, offset=0):
    return struct.pack("<QQQQ", guest, size, user, offset)


def table(*regions, count=None):
    return struct.pack("<II", len(regions) if count is None else count, 0) + b"".join(regions)


def addresses(ring, descriptors, used, available, flags=0):
    places = (MEMORY_AT + place for place in (descriptors, used, available))
    return struct.pack("<IIQQQQ", ring, flags, *(place % 2**64 for place in places), 0)


# Each is what a frontend sends, message by message, after it has attached: (request, payload, descriptors). The last
# one of it must not be served.


def memory_beyond_its_file(files):
    yield SET_MEM_TABLE, table(region(MEMORY_SIZE + PAGE)), [files.memory()]


def memory_whose_file_was_cut_before(files):
    yield SET_MEM_TABLE, table(region()), [files.memory(0)]


def memory_at_an_offset_that_overflows(files):
    yield SET_MEM_TABLE, table(region(PAGE, offset=2**64 - PAGE)), [files.memory()]


def memory_that_overflows_the_guest(files):
    yield SET_MEM_TABLE, table(region(guest=2**64 - PAGE)), [files.memory()]


def memory_of_no_size(files):
    yield SET_MEM_TABLE, table(region(0)), [files.memory()]


def memory_of_all_addresses(files):
    yield SET_MEM_TABLE, table(region(1 << 46)), [files.memory(1 << 46)]


def regions_that_overlap(files):
    both = [files.memory(), files.memory()]
    yield SET_MEM_TABLE, table(region(), region(guest=PAGE, user=MEMORY_AT + MEMORY_SIZE)), both


def regions_that_overlap_in_the_frontend(files):
    both = [files.memory(), files.memory()]
    yield SET_MEM_TABLE, table(region(), region(guest=MEMORY_SIZE, user=MEMORY_AT + PAGE)), both


def no_regions(_):
    yield SET_MEM_TABLE, table(), []


def more_regions_than_there_may_be(files):
    yield SET_MEM_TABLE, table(*[region(PAGE)] * 8, count=9), [files.memory()] * 8


def more_regions_than_were_sent(files):
    yield SET_MEM_TABLE, table(region(), count=8), [files.memory()] * 8


def fewer_descriptors_than_regions(files):
    yield SET_MEM_TABLE, table(region(), region(guest=MEMORY_SIZE, user=2 * MEMORY_AT)), [files.memory()]


def memory_that_is_an_eventfd(files):
    yield SET_MEM_TABLE, table(region()), [files.doorbell()]


def memory_that_is_a_device(files):
    yield SET_MEM_TABLE, table(region()), [files.file("/dev/zero")]


def memory_that_may_only_be_read(files):
    yield SET_MEM_TABLE, table(region()), [files.file(f"/proc/self/fd/{files.memory()}", os.O_RDONLY)]


def memory_that_the_rings_are_not_in(files):
    yield SET_MEM_TABLE, table(region(user=2 * MEMORY_AT)), [files.memory()]


def a_log_at_an_offset(files):
    yield SET_PROTOCOL_FEATURES, u64(0b11111), []
    yield SET_LOG_BASE, struct.pack("<QQ", PAGE, 1 << 30), [files.memory(1 << 31)]


def a_log_beyond_its_file(files):
    yield SET_PROTOCOL_FEATURES, u64(0b11111), []
    yield SET_LOG_BASE, struct.pack("<QQ", 2 * PAGE, 0), [files.memory(PAGE)]


def a_log_of_negative_size(files):
    yield SET_PROTOCOL_FEATURES, u64(0b11111), []
    yield SET_LOG_BASE, struct.pack("<QQ", 2**64 - PAGE, 0), [files.memory()]


def a_log_without_a_descriptor(_):
    yield SET_PROTOCOL_FEATURES, u64(0b11111), []
    yield SET_LOG_BASE, struct.pack("<QQ", PAGE, 0), []


def a_log_that_was_not_negotiated(files):
    yield SET_PROTOCOL_FEATURES, u64(0), []
    yield SET_LOG_BASE, struct.pack("<QQ", PAGE, 0), [files.memory()]


def too_many_queues_in_flight(_):
    yield GET_INFLIGHT_FD, struct.pack("<QQHHI", 0, 0, 65535, 65535, 0), []


def in_flight_memory_beyond_its_file(files):
    yield SET_INFLIGHT_FD, struct.pack("<QQHHI", 1 << 20, 0, 2, 256, 0), [files.memory(PAGE)]


def in_flight_memory_that_is_too_small(files):
    yield SET_INFLIGHT_FD, struct.pack("<QQHHI", PAGE, 0, 2, 32768, 0), [files.memory()]


def in_flight_memory_at_an_offset_that_overflows(files):
    yield SET_INFLIGHT_FD, struct.pack("<QQHHI", PAGE, 2**64 - PAGE, 2, 256, 0), [files.memory()]


def in_flight_memory_of_rings_that_are_not_there(files):
    yield SET_INFLIGHT_FD, struct.pack("<QQHHI", MEMORY_SIZE, 0, 200, 256, 0), [files.memory()]


def a_ring_that_grows_while_in_use(_):
    yield SET_VRING_NUM, state(0, 32768), []


def a_ring_of_no_size(_):
    yield GET_VRING_BASE, state(0, 0), []
    yield SET_VRING_NUM, state(0, 0), []


def a_ring_of_an_odd_size(_):
    yield GET_VRING_BASE, state(0, 0), []
    yield SET_VRING_NUM, state(0, 255), []


def a_ring_that_is_too_long(_):
    yield GET_VRING_BASE, state(0, 0), []
    yield SET_VRING_NUM, state(0, 2**31), []


def a_ring_that_is_started_without_a_size(files):
    yield GET_VRING_BASE, state(0, 0), []
    yield SET_VRING_ADDR, addresses(0, 0x10000, 0x18000, 0x14000), []
    yield SET_VRING_KICK, u64(0), [files.doorbell()]


def a_ring_that_ends_behind_the_memory(_):
    yield SET_VRING_ADDR, addresses(1, MEMORY_SIZE - 16, 0x28000, 0x24000), []


def a_ring_that_is_nowhere(_):
    yield SET_VRING_ADDR, addresses(1, 2**62, 2**62, 2**62), []


def a_ring_that_is_used_nowhere(_):
    yield SET_VRING_ADDR, addresses(1, 0x20000, MEMORY_SIZE - 4, 0x24000), []


def a_ring_that_is_not_aligned(_):
    yield SET_VRING_ADDR, addresses(1, 0x20001, 0x28002, 0x24001), []


def a_ring_with_unknown_flags(_):
    yield SET_VRING_ADDR, addresses(1, 0x20000, 0x28000, 0x24000, 0xFFFFFFFF), []


def a_packed_ring_that_starts_behind_its_end(_):
    yield GET_VRING_BASE, state(0, 0), []
    yield GET_VRING_BASE, state(1, 0), []
    yield SET_FEATURES, u64(VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED), []
    yield SET_VRING_NUM, state(0, RING_SIZE), []
    yield SET_VRING_BASE, state(0, 0xFFFF), []


def a_sized_ring_that_becomes_packed(_):
    yield GET_VRING_BASE, state(0, 0), []
    yield GET_VRING_BASE, state(1, 0), []
    yield SET_VRING_NUM, state(0, RING_SIZE), []
    yield SET_FEATURES, u64(VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED), []


def features_that_change_while_in_use(_):
    yield SET_FEATURES, u64(0), []


def features_that_are_not_offered(_):
    yield SET_FEATURES, u64(EVERYTHING), []


def a_feature_of_the_protocol_that_is_not_offered(_):
    yield SET_PROTOCOL_FEATURES, u64(EVERYTHING), []


def a_reset_while_in_use(_):
    yield RESET_OWNER, b"", []


def the_size_of_a_ring_that_is_not_there(_):
    yield SET_VRING_NUM, state(3, 256), []  # after the first pair and a control queue


def the_size_of_a_ring_beyond_all(_):
    yield SET_VRING_NUM, state(2**32 - 1, 256), []


def the_address_of_a_ring_that_is_not_there(_):
    yield SET_VRING_ADDR, addresses(200, 0x20000, 0x28000, 0x24000), []


def the_base_of_a_ring_that_is_not_there(_):
    yield SET_VRING_BASE, state(255, 0), []


def stopping_a_ring_that_is_not_there(_):
    yield GET_VRING_BASE, state(255, 0), []


def a_kick_of_a_ring_that_is_not_there(files):
    yield SET_VRING_KICK, u64(255), [files.doorbell()]


def a_call_of_a_ring_that_is_not_there(files):
    yield SET_VRING_CALL, u64(77), [files.doorbell()]


def enabling_a_ring_that_is_not_there(_):
    yield SET_VRING_ENABLE, state(99, 1), []


def a_call_to_a_device(files):
    yield SET_VRING_CALL, u64(0), [files.file("/dev/zero")]


def a_call_to_a_file(files):
    yield SET_VRING_CALL, u64(0), [files.memory()]


def a_kick_by_a_directory(files):
    yield SET_VRING_KICK, u64(0), [files.file("/tmp", os.O_RDONLY)]


def a_call_with_too_many_descriptors(files):
    yield SET_VRING_CALL, u64(0), [files.doorbell() for _ in range(8)]


def an_error_without_a_descriptor(_):
    yield SET_VRING_ERR, u64(0), []


def a_question_with_descriptors(files):
    yield GET_FEATURES, b"", [files.doorbell() for _ in range(8)]


def half_a_payload(_):
    yield SET_FEATURES, b"\0\0\0\0", []


def no_payload(_):
    yield SET_VRING_ADDR, b"", []


def a_payload_that_is_longer_than_any(_):
    yield SET_FEATURES, bytes(633), []


def an_iotlb_without_an_iommu(_):
    yield IOTLB_MSG, struct.pack("<QQQBB6x", 0, PAGE, MEMORY_AT, 3, 2), []


def a_channel_that_is_a_file(files):
    yield SET_PROTOCOL_FEATURES, u64(1 << 5), []
    yield SET_BACKEND_REQ_FD, b"", [files.memory()]


def an_mtu_that_is_too_large(_):
    yield SET_PROTOCOL_FEATURES, u64(1 << 4), []
    yield NET_SET_MTU, u64(2**40), []


def a_status_of_more_than_8_bits(_):
    yield SET_PROTOCOL_FEATURES, u64(1 << 16), []
    yield SET_STATUS, u64(EVERYTHING), []


def a_configuration(_):
    yield GET_CONFIG, struct.pack("<III256x", 0, 2**32 - 1, 0), []


def a_crypto_session(_):
    yield CREATE_CRYPTO_SESSION, bytes(632), []


def postcopy(_):
    yield POSTCOPY_ADVISE, b"", []


def postcopy_that_listens(_):
    yield POSTCOPY_LISTEN, b"", []


def a_region_more(files):
    yield ADD_MEM_REG, u64(0) + region(), [files.memory()]


MESSAGES = (
    memory_beyond_its_file,
    memory_whose_file_was_cut_before,
    memory_at_an_offset_that_overflows,
    memory_that_overflows_the_guest,
    memory_of_no_size,
    memory_of_all_addresses,
    regions_that_overlap,
    regions_that_overlap_in_the_frontend,
    no_regions,
    more_regions_than_there_may_be,
    more_regions_than_were_sent,
    fewer_descriptors_than_regions,
    memory_that_is_an_eventfd,
    memory_that_is_a_device,
    memory_that_may_only_be_read,
    memory_that_the_rings_are_not_in,
    a_log_at_an_offset,
    a_log_beyond_its_file,
    a_log_of_negative_size,
    a_log_without_a_descriptor,
    a_log_that_was_not_negotiated,
    too_many_queues_in_flight,
    in_flight_memory_beyond_its_file,
    in_flight_memory_that_is_too_small,
    in_flight_memory_at_an_offset_that_overflows,
    in_flight_memory_of_rings_that_are_not_there,
    a_ring_that_grows_while_in_use,
    a_ring_of_no_size,
    a_ring_of_an_odd_size,
    a_ring_that_is_too_long,
    a_ring_that_is_started_without_a_size,
    a_ring_that_ends_behind_the_memory,
    a_ring_that_is_nowhere,
    a_ring_that_is_used_nowhere,
    a_ring_that_is_not_aligned,
    a_ring_with_unknown_flags,
    a_packed_ring_that_starts_behind_its_end,
    a_sized_ring_that_becomes_packed,
    features_that_change_while_in_use,
    features_that_are_not_offered,
    a_feature_of_the_protocol_that_is_not_offered,
    a_reset_while_in_use,
    the_size_of_a_ring_that_is_not_there,
    the_size_of_a_ring_beyond_all,
    the_address_of_a_ring_that_is_not_there,
    the_base_of_a_ring_that_is_not_there,
    stopping_a_ring_that_is_not_there,
    a_kick_of_a_ring_that_is_not_there,
    a_call_of_a_ring_that_is_not_there,
    enabling_a_ring_that_is_not_there,
    a_call_to_a_device,
    a_call_to_a_file,
    a_kick_by_a_directory,
    a_call_with_too_many_descriptors,
    an_error_without_a_descriptor,
    a_question_with_descriptors,
    half_a_payload,
    no_payload,
    a_payload_that_is_longer_than_any,
    an_iotlb_without_an_iommu,
    a_channel_that_is_a_file,
    an_mtu_that_is_too_large,
    a_status_of_more_than_8_bits,
    a_configuration,
    a_crypto_session,
    postcopy,
    postcopy_that_listens,
    a_region_more,
)


# Sending them


def title(function):
    return function.__name__.replace("_", " ")


def is_closed(hostile):
    """Read what the daemon says; tells whether it has ended the connection."""
    try:
        while select.select([hostile.connection], [], [], 0)[0]:
            if not hostile.connection.recv(65536):
                return True
    except ConnectionResetError:
        return True
    return False


def attach_as_qemu(hostile):
    """As Frontend.attach(), but beginning like QEMU, which is offered the most."""
    hostile.ask(GET_FEATURES)
    hostile.ask(GET_PROTOCOL_FEATURES)
    return hostile.attach()


def send_all(hostile, messages, flags):
    """Send messages, the last one with flags. The daemon may end the connection before it is told all."""
    messages = list(messages)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for number, (request, payload, files) in enumerate(messages, 1):
            hostile.tell(request, payload, files, flags if number == len(messages) else 0)


def is_refused(directory, pair, message, flags):
    """One message, beside the pair; it must cut its sender off."""
    with Files() as files, frontend(directory, "vm0") as hostile:
        attach_as_qemu(hostile)
        send_all(hostile, message(files), flags)
        asked = ", with a reply asked for" if flags else ""
        check_delivery(f"beside {title(message)}{asked}", *pair, FRAMES, lambda: is_closed(hostile), first_pause_s=SOON_S)


def descriptors(switch):
    """How many the daemon has open."""
    return len(os.listdir(f"/proc/{switch.child.pid}/fd"))


def mappings(switch):
    """How many mappings of guests' files the daemon has."""
    with open(f"/proc/{switch.child.pid}/maps", encoding="ascii", errors="replace") as maps:
        return sum("memfd:" in line for line in maps)


@contextlib.contextmanager
def neighbours(directory):
    """A daemon, and two ports of it whose frontends behave."""
    with switch_for(directory, "vm0", "vm1", "vm2") as switch, \
         frontend(directory, "vm1").attach() as vm1, frontend(directory, "vm2").attach() as vm2:
        yield switch, (vm1, vm2)


@contextlib.contextmanager
def attached(switch, directory):
    """A frontend that is attached to the first port; in the end the port is free for the next one."""
    with frontend(directory, "vm0").attach() as hostile:
        yield hostile
    wait_quietly(lambda: not ports(switch)["vm0"]["detail"]["connected"])


def bad_messages_cut_their_sender_off(directory):
    with neighbours(directory) as (switch, pair):
        open_before, mapped_before = descriptors(switch), mappings(switch)
        for message, flags in itertools.product(MESSAGES, (0, NEED_REPLY)):
            is_refused(directory, pair, message, flags)
        wait_until("no descriptor is left of all this", lambda: descriptors(switch) == open_before)
        wait_until("and no memory", lambda: mappings(switch) == mapped_before)
        with frontend(directory, "vm0").attach() as vm0:
            check_delivery("the port serves the next one", vm0, pair[0], source=HOSTILE)
        wait_until("every frame is accounted for", lambda: is_conserved(switch))


def many_bad_connections_put_little_in_the_log(directory):
    with neighbours(directory) as (switch, pair):
        before = len(switch.log.read_text().splitlines())
        for number in range(CONNECTIONS):
            with Files() as files, frontend(directory, "vm0") as hostile:
                attach_as_qemu(hostile)
                send_all(hostile, MESSAGES[number % len(MESSAGES)](files), 0)
                wait_quietly(lambda hostile=hostile: is_closed(hostile))
        check_delivery(f"after {CONNECTIONS} bad connections", *pair, FRAMES)
        lines = len(switch.log.read_text().splitlines()) - before
        check(0 < lines < FEW_LINES, f"they have put fewer than {FEW_LINES} lines in the log", lines)


def wait_quietly(condition):
    """As wait_until(), for what happens too often to be told."""
    with contextlib.redirect_stdout(None):
        wait_until("", condition, first_pause_s=SOON_S)


# Messages that are no messages


def unknown_requests(hostile):
    with Files() as files:
        for request in (0, 23, 33, 36, 41, 255, 2**31, 2**32 - 1):
            hostile.tell(request, bytes(40), [files.doorbell() for _ in range(8)], NEED_REPLY)


def versions_that_are_not_there(hostile):
    for flags in (0, 2, 3):
        hostile.connection.sendall(HEADER.pack(GET_FEATURES, flags, 0))


def a_reply_to_nothing(hostile):
    hostile.connection.sendall(HEADER.pack(GET_FEATURES, VERSION | 4, 0))


def half_a_header(hostile):
    hostile.connection.sendall(HEADER.pack(GET_FEATURES, VERSION, 0)[:5])


def a_payload_that_does_not_come(hostile):
    hostile.connection.sendall(HEADER.pack(SET_FEATURES, VERSION, 8) + b"\0\0\0\0")


def a_size_of_4_gib(hostile):
    hostile.connection.sendall(HEADER.pack(SET_FEATURES, VERSION, 2**32 - 1) + bytes(1000))


def random_bytes(hostile):
    hostile.connection.sendall(os.urandom(100000))


def more_descriptors_than_there_is_room_for(hostile):
    with Files() as files:
        hostile.tell(SET_VRING_CALL, u64(0), [files.doorbell() for _ in range(200)])


NONSENSE = (versions_that_are_not_there, a_reply_to_nothing, half_a_header, a_payload_that_does_not_come,
            a_size_of_4_gib, random_bytes, more_descriptors_than_there_is_room_for)


def nonsense_cuts_its_sender_off(directory):
    with neighbours(directory) as (switch, pair):
        before = descriptors(switch)
        for nonsense in NONSENSE:
            with frontend(directory, "vm0") as hostile:
                hostile.attach()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    nonsense(hostile)
                check_delivery(f"beside {title(nonsense)}", *pair, FRAMES, lambda: is_closed(hostile))
        with attached(switch, directory) as hostile:
            unknown_requests(hostile)
            check_delivery("beside requests that are unknown", *pair, FRAMES)
        wait_until("no descriptor is left of all this", lambda: descriptors(switch) == before)
        wait_until("every frame is accounted for", lambda: is_conserved(switch))


def a_flood_of_messages_stops_nobody(directory):
    with neighbours(directory) as (switch, pair), frontend(directory, "vm0").attach() as hostile:
        before = len(switch.log.read_text().splitlines())
        left = FLOOD

        def flood():
            nonlocal left
            for _ in range(min(left, 100)):
                hostile.tell(SET_VRING_CALL, u64(0), [hostile.receiving.call])
                left -= 1
            return left == 0

        check_delivery(f"beside {FLOOD} messages", *pair, FRAMES, flood)
        hostile.ask(GET_FEATURES)
        hostile.receive()  # what the others have sent to everybody
        check_delivery("and their sender is served", hostile, pair[0], source=HOSTILE)
        lines = len(switch.log.read_text().splitlines()) - before
        check(lines < 10, "the log says little of it", lines)


@contextlib.contextmanager
def endless_flood(hostile):
    """A process that sends messages, and is not answered, all the time."""
    child = os.fork()
    if child == 0:
        try:
            while True:
                hostile.tell(SET_VRING_CALL, u64(0), [hostile.receiving.call])
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def stages_are_switched_beside_a_flood_of_messages(directory):
    """What is held for it are the workers; what it waits for, before, are the ports' own threads."""
    held = []
    with neighbours(directory) as (switch, pair), frontend(directory, "vm0").attach() as hostile:
        with endless_flood(hostile):
            for change in ("on", "off") * CHANGES:
                held.append(switch.ctl("stage", "set", "shared-buffer-rings", change)["held_us"])
            say(f"the workers were held for at most {max(held)} us")
            check_delivery("beside the flood, after that", *pair, FRAMES)


# What is allowed, but rude


def rings_may_be_moved_while_in_use(directory):
    with neighbours(directory) as (switch, pair), frontend(directory, "vm0").attach() as hostile:
        places = itertools.cycle((0x40000, 0x80000, 0x20000))
        moved = 0

        def move():
            nonlocal moved
            at = next(places)
            hostile.tell(SET_VRING_ADDR, addresses(1, at, at + 0x8000, at + 0x4000))
            hostile.ask(GET_FEATURES)
            moved += 1
            return moved > 300

        check_delivery("beside rings that move", *pair, FRAMES, move)
        hostile.stop_rings()
        hostile.start_rings()
        is_in_state(switch, "vm0", "up")


def the_number_of_queues_is_the_ports(directory):
    with neighbours(directory), frontend(directory, "vm0") as hostile:
        queues, = struct.unpack("<Q", hostile.ask(GET_QUEUE_NUM))
        check_equal(queues, 1, "the daemon says how many queue pairs the port has")
        hostile.tell(SET_OWNER, flags=NEED_REPLY)
        failed, = struct.unpack("<Q", hostile._read(HEADER.size + 8)[HEADER.size:])  # pylint: disable=protected-access
        check_equal(failed, 0, "and answers when it is asked to")


def a_ring_may_be_stopped_before_there_is_a_guest(directory):
    """What was kept for the guest before is gone by then."""
    with neighbours(directory) as (switch, pair):
        with frontend(directory, "vm0") as hostile:
            attach_as_qemu(hostile)
            is_in_state(switch, "vm0", "up")
        wait_quietly(lambda: not ports(switch)["vm0"]["detail"]["connected"])
        with frontend(directory, "vm0") as hostile:
            hostile.ask(GET_FEATURES)
            hostile.tell(SET_OWNER)
            for ring in (0, 1):
                hostile.ask(GET_VRING_BASE, state(ring, 0))
            is_alive(switch)
        check_delivery("after that", *pair)


def a_stopped_guest_may_come_back_at_once(directory):
    """The daemon sees the new connection before the end of the old one."""
    with neighbours(directory) as (switch, pair):
        hostile = frontend(directory, "vm0").attach()
        for _ in range(COMEBACKS):
            is_in_state(switch, "vm0", "up")
            hostile.transmitting.set_available_index(2 * RING_SIZE)
            is_in_state(switch, "vm0", "down")
            hostile.connection.close()
            again = frontend(directory, "vm0")
            hostile.close()
            hostile = again.attach()
        hostile.close()
        check_delivery("beside a guest that breaks the rules and comes back", *pair)
        is_alive(switch)


# Memory that goes


def cut(hostile, size=0):
    """Make the file of a frontend's memory shorter. Nobody may touch the memory in this process from now on."""
    os.ftruncate(hostile._file, size)  # pylint: disable=protected-access


def memory_that_is_cut_while_in_use_stops_nobody(directory):
    with neighbours(directory) as (switch, pair):
        for size in (0, PAGE, 0x11000, 0x20000, 1 << 20, (1 << 20) + (3 << 19)):
            with attached(switch, directory) as hostile:
                check_delivery("before", *pair, FRAMES)
                cut(hostile, size)
                check_delivery(f"beside memory of which {size} bytes are left", *pair)
                is_alive(switch)
        with frontend(directory, "vm0").attach() as vm0:
            check_delivery("the port serves the next one", vm0, pair[0], source=HOSTILE)
        wait_until("every frame is accounted for", lambda: is_conserved(switch))


def is_alive(switch):
    check("vm0" in ports(switch), "the daemon lives")


def memory_that_is_cut_before_the_rings_start_stops_nobody(directory):
    """The library looks into the rings itself, on its own thread."""
    with neighbours(directory) as (switch, pair):
        for request in (SET_VRING_KICK, SET_VRING_ADDR, GET_VRING_BASE):
            with Files() as files, attached(switch, directory) as hostile:
                for ring in (0, 1):
                    hostile.ask(GET_VRING_BASE, state(ring, 0))
                cut(hostile)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    for ring in (0, 1):
                        at = 0x10000 * (1 + ring)
                        hostile.tell(SET_VRING_NUM, state(ring, RING_SIZE))
                        hostile.tell(SET_VRING_ADDR, addresses(ring, at, at + 0x8000, at + 0x4000))
                        hostile.tell(SET_VRING_KICK, u64(ring), [files.doorbell()])
                        hostile.tell(SET_VRING_CALL, u64(ring), [files.doorbell()])
                    hostile.tell(request, addresses(0, 0x10000, 0x18000, 0x14000), [])
                check_delivery("beside rings in memory that is gone", *pair)
                is_alive(switch)


FLAP = """
import os, sys
while True:
    os.ftruncate(int(sys.argv[1]), 0)
    os.ftruncate(int(sys.argv[1]), int(sys.argv[2]))
"""


@contextlib.contextmanager
def flapping(fd):
    """A process that makes the file shorter and longer all the time."""
    child = subprocess.Popen([sys.executable, "-c", FLAP, str(fd), str(MEMORY_SIZE)], pass_fds=[fd])
    try:
        yield
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def memory_that_flaps_while_it_is_told_stops_nobody(directory):
    """Between the look at the file's size and its use there is always time to change it."""
    with neighbours(directory) as (switch, pair):
        for _ in range(FLAPS):
            with Files() as files, attached(switch, directory) as hostile:
                memory = files.memory()
                with flapping(memory), contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    for number in range(TABLES):
                        size = MEMORY_SIZE - PAGE * (number % 2)
                        hostile.tell(SET_MEM_TABLE, table(region(size)), [memory])
                    hostile.ask(GET_FEATURES)
        check_delivery("after memory that flaps", *pair)
        is_alive(switch)


def main():
    with workspace() as directory:
        for part in (the_number_of_queues_is_the_ports, bad_messages_cut_their_sender_off,
                     many_bad_connections_put_little_in_the_log, nonsense_cuts_its_sender_off,
                     a_flood_of_messages_stops_nobody, stages_are_switched_beside_a_flood_of_messages,
                     rings_may_be_moved_while_in_use, a_ring_may_be_stopped_before_there_is_a_guest,
                     a_stopped_guest_may_come_back_at_once, memory_that_is_cut_while_in_use_stops_nobody,
                     memory_that_is_cut_before_the_rings_start_stops_nobody,
                     memory_that_flaps_while_it_is_told_stops_nobody):
            say(title(part))
            part(directory)


if __name__ == "__main__":
    run(main)
