# SPDX-License-Identifier: BSD-3-Clause
"""Stations at a switch that speak and listen in the test itself: guests, which are frontends, and wires: taps.

What a station is given comes in the order in which it was sent, by one sender: so when a broadcast has come, all that
its sender had sent before has come, or never will. That is how a test sees that nothing has come, without a clock.
"""

import contextlib
import itertools
import os
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from frontend import RING_SIZE, SCRATCH, Frontend
from support import ALL_TYPES, EXPERIMENTAL, GUEST_CPU, check_equal, frame, is_conserved, wait_until
from lab.daemon import find_program
from lab.netns import host

BROADCAST = "ff:ff:ff:ff:ff:ff"
IGNORE_OUTGOING = 23  # PACKET_IGNORE_OUTGOING
SOL_PACKET = 263
RCVBUFFORCE = 33  # SO_RCVBUFFORCE
WIRE_BYTES = 8 << 20  # that the kernel may keep for a wire
HEAD = 14
PLAY_S = 300
LOOKS_IN_VAIN = 200  # after which one more frame is sent, which tells what was lost
BUSILY = 64  # looks at once
_numbers = itertools.count(1)


def station_address(number):
    """The address of a station."""
    return f"52:54:00:00:01:{number:02x}"


def letter(destination, source):
    """A frame that no other is like."""
    return (frame(destination, source, HEAD) + struct.pack("<Q", next(_numbers))).ljust(60, b"\0")


def is_of_the_test(content):
    """Whether the kernel has not sent this by itself."""
    return content[12:14] == EXPERIMENTAL.to_bytes(2, "big")


def wait_busily(what, condition):
    """As wait_until(), for a condition that does something each time: most of the time it is busy with that."""
    wait_until(what, lambda: any(condition() for _ in range(BUSILY)))


class Guest:
    """A guest at the port of its name."""

    def __init__(self, directory, name, address, **options):
        self.name, self.address = name, address
        self.frontend = wait_until(f"{name} attaches", lambda: self._attach(directory / f"{name}.sock", options))

    @staticmethod
    def _attach(path, options):
        """None: the port refuses a guest until it has noticed that the one before is gone."""
        frontend = Frontend(path, **options)
        try:
            return frontend.attach()
        except ConnectionError:
            frontend.close()
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """The guest ends, if it has not."""
        if self.frontend:
            self.frontend.close()
        self.frontend = None

    def room(self):
        """How many frames it may send now."""
        ring = self.frontend.transmitting
        return RING_SIZE - ((ring.offered - ring.used_index()) & 0xFFFF)

    def send(self, frames):
        """No more than there is room for."""
        self.frontend.send(frames)

    def receive(self):
        """What has come since the last call."""
        return [content for content in self.frontend.receive() if is_of_the_test(content)]


class Wire:
    """The kernel's end of a tap."""

    def __init__(self, name, interface, address):
        self.name, self.address = name, address
        Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
        host("ip", "link", "set", interface, "up")
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, WIRE_BYTES)
        self._socket.bind((interface, ALL_TYPES))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, frames):
        for content in frames:
            self._socket.send(content)

    def receive(self):
        """What has come since the last call, RING_SIZE at most: in a storm there is no end."""
        frames = []
        with contextlib.suppress(BlockingIOError):
            while len(frames) < RING_SIZE:
                frames.append(self._socket.recv(65536, socket.MSG_DONTWAIT))
        return [content for content in frames if is_of_the_test(content)]


class Stations:
    """All that listen at a switch, by their names."""

    def __init__(self, *stations):
        self._stations = {station.name: station for station in stations}

    def __getitem__(self, name):
        return self._stations[name]

    def add(self, station):
        self._stations[station.name] = station
        return station

    def remove(self, name):
        """It is gone already, or is closed by others."""
        return self._stations.pop(name)

    def exchange(self, sender, frames):
        """One sends these frames, and then a broadcast; what came of them before that, of those to whom some came."""
        came = self._send(sender, frames)
        check_equal(self._stations[sender].receive(), [], f"nothing has come back to {sender}")
        return came

    def _send(self, sender, frames):
        others = [station for station in self._stations.values() if station.name != sender]
        end = letter(BROADCAST, self._stations[sender].address)
        came = {station.name: [] for station in others}
        self._stations[sender].send([*frames, end])

        def is_over():
            for station in others:
                came[station.name] += station.receive()
            return all(end in frames for frames in came.values())

        wait_busily(f"{sender} has sent {len(frames)} frames, and what comes after them has come", is_over)
        return {name: frames[: frames.index(end)] for name, frames in came.items() if frames[0] != end}

    def settle(self, switch):
        """Take all that rings were filled with and that waits for them or is under way, and forget it."""
        for name in self._stations:
            self._send(name, [])  # so what it had sent before is counted

        def is_over():
            self._forget()
            return is_conserved(switch)

        wait_busily("nothing waits any more", is_over)
        self._forget()
        self.speak()

    def _forget(self):
        for station in self._stations.values():
            station.receive()

    def speak(self):
        """Everybody says something, to nobody in particular; so everybody's address is known."""
        for name in self._stations:
            self.exchange(name, [])


class Flow:
    """Frames from one station to another, as many at once as its ring has room for; they must come in order.

    What is lost is counted: frames are numbered, and none overtakes another.
    """

    def __init__(self, sender, receiver, window=64):
        self._sender, self._receiver, self._window = sender, receiver, window
        self.sent = self.arrived = self.lost = 0
        self.others = 0  # frames that came to the receiver from others
        self._under_way = []
        self._looks = 0  # in a row that found nothing
        self._looked = time.monotonic()
        self.longest_s = 0  # between two looks

    def pump(self, window=None):
        """Take what has come and send what there is room for."""
        self._collect()
        in_vain = self._looks >= LOOKS_IN_VAIN
        self._looks = 0 if in_vain else self._looks + 1
        window = self._window if window is None else window
        self._send(1 if in_vain else max(0, window - len(self._under_way)))

    def _send(self, count):
        new = [letter(self._receiver.address, self._sender.address) for _ in range(count)]
        self._sender.send(new)
        self._under_way += new
        self.sent += len(new)

    def _collect(self):
        before, self._looked = self._looked, time.monotonic()
        self.longest_s = max(self.longest_s, self._looked - before)
        for content in self._receiver.receive():
            if content in self._under_way:
                self.lost += self._under_way.index(content)
                self.arrived += 1
                self._looks = 0
                del self._under_way[: self._under_way.index(content) + 1]
            else:
                self.others += 1

    def end(self):
        """Wait until nothing is under way."""
        end_flows([self])

    def end_with_a_frame(self):
        """When that has come, nothing is under way."""
        self._send(1)

    def is_over(self):
        """Take what has come; whether nothing is under way."""
        self.pump(0)
        return not self._under_way

    def __str__(self):
        return f"{self.sent} frames from {self._sender.name} to {self._receiver.name}"


def end_flows(flows, meanwhile=lambda: True):
    """Wait until nothing of these is under way, and `meanwhile`, which is called again and again, gives something true.

    All receivers take what comes all the time: one that did not would have frames dropped that wait for it.
    """
    for flow in flows:
        flow.end_with_a_frame()
    wait_busily(f"all of the {', '.join(map(str, flows))} have come, or are lost",
                lambda: all([meanwhile(), *[flow.is_over() for flow in flows]]))


class Storm:
    """A guest that sends one frame again and again, as fast as it is taken. Until its end it sends nothing else.

    With `with`, a process does that, which shares the guest's memory.
    """

    def __init__(self, guest, destination):
        self._frontend, self._ring = guest.frontend, guest.frontend.transmitting
        self._used = self._seen = self._ring.used_index()
        self._taken = 0
        self._child = 0
        data = bytes(12) + letter(destination, guest.address)
        self._frontend.memory[SCRATCH : SCRATCH + len(data)] = data
        for number in range(RING_SIZE):
            self._ring.describe(number, SCRATCH, len(data))
            self._ring.put_available(number, number)

    def go_on(self):
        """Fill the ring again."""
        self._used += (self._ring.used_index() - self._used) & 0xFFFF
        self._ring.set_available_index(self._used + RING_SIZE)

    def __enter__(self):
        self._child = os.fork()
        while self._child == 0:
            self.go_on()
        return self

    def __exit__(self, *_):
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)

    def taken(self):
        """How many frames the switch has taken, at least."""
        seen = self._ring.used_index()
        self._taken += (seen - self._seen) & 0xFFFF
        self._seen = seen
        return self._taken

    def is_over(self):
        """Whether the switch has taken all of it; then the guest may send other frames again."""
        end = self._ring.available_index()
        self._ring.offered = end
        return self._ring.used_index() == end


def play_many_guests(directory, count, **how):
    """Runs the program many_guests at the ports vm0, vm1 and so on, and returns how many frames have gone and come.

    batches, batch_max, pause_us, seed   as it says
    """
    numbers = [count, how["batches"], how["batch_max"], how.get("pause_us", 0), how.get("seed", 1)]
    argv = [find_program("MANY_GUESTS", "build/tests/integration/many_guests"), str(directory), *map(str, numbers)]
    done = subprocess.run(["taskset", "-c", str(GUEST_CPU), *argv], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PLAY_S, check=False)
    check_equal((done.returncode, done.stderr), (0, ""), f"{count} guests: all that they have sent has come")
    return int(re.match(r"(\d+) frames\n", done.stdout)[1])
