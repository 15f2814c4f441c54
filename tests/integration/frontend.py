# SPDX-License-Identifier: BSD-3-Clause
"""A vhost-user frontend in plain Python, which behaves well until a test makes it do something else.

Frontend and guest are one here: it speaks the protocol ("Vhost-user Protocol", QEMU's documentation) and writes the
rings (virtio 1.2, 2.7 and 2.8) into memory that it shares. It has one queue pair, and needs no driver and no kernel.
The switch is kicked for all that is made available: it may wait to be told. Stores become visible in their order, as
x86 has it.
"""

import array
import mmap
import os
import socket
import struct

GET_FEATURES = 1
SET_FEATURES = 2
SET_OWNER = 3
SET_MEM_TABLE = 5
SET_VRING_NUM = 8
SET_VRING_ADDR = 9
SET_VRING_BASE = 10
GET_VRING_BASE = 11
SET_VRING_KICK = 12
SET_VRING_CALL = 13

HEADER = struct.Struct("<III")  # request, flags, bytes that follow
VERSION = 1
NEED_REPLY = 1 << 3
VIRTIO_F_VERSION_1 = 1 << 32
VIRTIO_F_RING_PACKED = 1 << 34

NEXT, WRITE, INDIRECT = 1, 2, 4  # flags of a descriptor
RING_SIZE = 256
NET_HEADER = bytes(12)  # of virtio 1: nothing to say about the frame

MIB = 1 << 20
MEMORY_SIZE = 16 * MIB
MEMORY_AT = 0x10000000  # where the memory is in the frontend's address space, as it tells; for the guest it is at 0
BUFFER_SIZE = 4096
SCRATCH = 3 * MIB  # here the memory begins that neither rings nor their buffers use
TIMEOUT_S = 60


class Ring:
    """A split ring in shared memory; ring 0 is what the guest receives with, ring 1 what it transmits with."""

    BASE = 0  # where it begins, as SET_VRING_BASE has it

    def __init__(self, memory, index):
        self._bytes = memory
        self._words = memory.cast("H")  # to load and store an index in one piece
        self.index = index
        self.descriptors = (1 + index) * 0x10000
        self.available = self.descriptors + 0x4000
        self.used = self.descriptors + 0x8000
        self.buffers = (1 + index) * MIB
        self.kick, self.call = os.eventfd(0), os.eventfd(0)
        self.clear()

    def clear(self):
        """Make it a ring that nobody has used yet. Not while the other side works on it."""
        self._bytes[self.descriptors : self.descriptors + 0x10000] = bytes(0x10000)
        self.offered = 0  # descriptor chains, in all
        self.taken = 0    # used elements that take_used() has returned, in all

    def close(self):
        """Let go of the memory and the descriptors of files."""
        self._words.release()
        os.close(self.kick)
        os.close(self.call)

    def buffer(self, number):
        """Address of the buffer of a descriptor."""
        return self.buffers + number * BUFFER_SIZE

    def describe(self, number, address, length, flags=0, following=0):
        """Write a descriptor."""
        struct.pack_into("<QIHH", self._bytes, self.descriptors + 16 * number, address, length, flags, following)

    def kick_switch(self):
        """Tell that there is something in the ring."""
        os.eventfd_write(self.kick, 1)

    def offer(self, head):
        """Make the chain that begins with the descriptor `head` available."""
        self.put_available(self.offered, head)
        self.offered += 1
        self.set_available_index(self.offered)

    def put_available(self, slot, head):
        """Write an entry of the available ring, without telling."""
        self._words[self.available // 2 + 2 + slot % RING_SIZE] = head

    def set_available_index(self, index):
        """Tell how many chains were made available, in all."""
        self._words[self.available // 2 + 1] = index & 0xFFFF
        self.kick_switch()

    def available_index(self):
        """How many chains were made available, in all, modulo 65536."""
        return self._words[self.available // 2 + 1]

    def used_index(self):
        """How many chains the other side has used, in all, modulo 65536."""
        return self._words[self.used // 2 + 1]

    def take_used(self):
        """The (descriptor, bytes written) of the chains that were used since the last call."""
        elements = []
        while self.taken & 0xFFFF != self.used_index():
            elements.append(struct.unpack_from("<II", self._bytes, self.used + 4 + 8 * (self.taken % RING_SIZE)))
            self.taken += 1
        return elements


class PackedRing(Ring):
    """A packed ring, of which each chain is one descriptor. What is described is written when it is offered."""

    AVAIL, USED = 1 << 7, 1 << 15
    BASE = 1 << 15

    def clear(self):
        super().clear()
        self._described = {}

    def describe(self, number, address, length, flags=0, following=0):
        self._described[number] = address, length, flags

    def write(self, place, address, length, number, flags):
        """Write a descriptor as it is."""
        at = self.descriptors + 16 * place
        struct.pack_into("<QIH", self._bytes, at, address, length, number)
        self._words[at // 2 + 7] = flags
        self.kick_switch()

    def flags_now(self):
        """The flags of a descriptor that is made available now."""
        return self.USED if self.offered // RING_SIZE % 2 else self.AVAIL

    def offer(self, head):
        address, length, flags = self._described[head]
        self.write(self.offered % RING_SIZE, address, length, head, flags | self.flags_now())
        self.offered += 1

    def take_used(self):
        elements = []
        while True:
            _, length, number, flags = struct.unpack_from("<QIHH", self._bytes,
                                                          self.descriptors + 16 * (self.taken % RING_SIZE))
            both = self.AVAIL | self.USED
            if self.taken == self.offered or flags & both != (0 if self.taken // RING_SIZE % 2 else both):
                return elements
            elements.append((number, length))
            self.taken += 1


class Frontend:
    """A connection to the switch over the Unix socket `path`. Used with `with`, it is closed at the end.

    connection   the socket, for messages that no frontend should send
    memory       the guest's memory, by guest addresses
    receiving, transmitting
                 the rings
    features     what it accepts of virtio; packed rings if VIRTIO_F_RING_PACKED is one of them
    """

    def __init__(self, path, features=VIRTIO_F_VERSION_1):
        self.features = features
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(TIMEOUT_S)
        self.connection.connect(str(path))
        self._file = os.memfd_create("guest")
        os.ftruncate(self._file, MEMORY_SIZE)
        self._map = mmap.mmap(self._file, MEMORY_SIZE)
        self.memory = memoryview(self._map)
        ring = PackedRing if features & VIRTIO_F_RING_PACKED else Ring
        self.rings = self.receiving, self.transmitting = ring(self.memory, 0), ring(self.memory, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the connection, as a guest that ends."""
        self.connection.close()
        for ring in self.rings:
            ring.close()
        self.memory.release()
        self._map.close()
        os.close(self._file)

    # Messages

    def tell(self, request, payload=b"", files=(), flags=0):
        """Send a message."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        self.connection.sendmsg([HEADER.pack(request, VERSION | flags, len(payload)) + payload], rights)

    def ask(self, request, payload=b""):
        """Send a message that has an answer; returns the answer's payload."""
        self.tell(request, payload)
        _, _, length = HEADER.unpack(self._read(HEADER.size))
        return self._read(length)

    def _read(self, length):
        data = self.connection.recv(length, socket.MSG_WAITALL)
        if len(data) < length:
            raise ConnectionResetError("the switch has closed the connection")
        return data

    def attach(self):
        """Do what a frontend does until its guest has a network; returns self. Afterwards the switch has seen all."""
        self.tell(SET_OWNER)
        self.ask(GET_FEATURES)
        self.tell(SET_FEATURES, struct.pack("<Q", self.features))
        regions = struct.pack("<IIQQQQ", 1, 0, 0, MEMORY_SIZE, MEMORY_AT, 0)
        self.tell(SET_MEM_TABLE, regions, [self._file])
        self.start_rings()
        self.ask(GET_FEATURES)
        return self

    def start_rings(self):
        """Start the rings from their beginning, the receiving one with all of its buffers."""
        for ring in self.rings:
            ring.clear()
        for number in range(RING_SIZE):
            self.receiving.describe(number, self.receiving.buffer(number), BUFFER_SIZE, WRITE)
            self.receiving.offer(number)
        for ring in self.rings:
            places = (MEMORY_AT + place for place in (ring.descriptors, ring.used, ring.available))
            self.tell(SET_VRING_NUM, struct.pack("<II", ring.index, RING_SIZE))
            self.tell(SET_VRING_BASE, struct.pack("<II", ring.index, ring.BASE))
            self.tell(SET_VRING_ADDR, struct.pack("<IIQQQQ", ring.index, 0, *places, 0))
            self.tell(SET_VRING_KICK, struct.pack("<Q", ring.index), [ring.kick])
            self.tell(SET_VRING_CALL, struct.pack("<Q", ring.index), [ring.call])

    def stop_rings(self):
        """Take the rings back from the switch."""
        for ring in self.rings:
            self.ask(GET_VRING_BASE, struct.pack("<II", ring.index, 0))

    # Frames

    def send(self, frames):
        """Make frames available to the switch: at most RING_SIZE that it has not used."""
        ring = self.transmitting
        for frame in frames:
            number = ring.offered % RING_SIZE
            address, data = ring.buffer(number), NET_HEADER + frame
            self.memory[address : address + len(data)] = data
            ring.describe(number, address, len(data))
            ring.offer(number)

    def all_is_taken(self):
        """Whether the switch has given back all that was sent."""
        ring = self.transmitting
        ring.take_used()
        return (ring.offered - ring.taken) & 0xFFFF == 0

    def receive(self):
        """The frames that have come since the last call; their buffers are offered again."""
        frames = []
        for number, length in self.receiving.take_used():
            address = self.receiving.buffer(number)
            frames.append(bytes(self.memory[address + len(NET_HEADER) : address + length]))
            self.receiving.offer(number)
        return frames
