#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs pktvirt-ctl (the first argument) against a small fake daemon and compares its output and exit statuses."""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock

CTL = None  # path of the program, from the command line
TIMEOUT_S = 30

PORTS = {
    "time_ns": 1000000000,
    "ports": [
        {"name": "vm0", "type": "vhost-user", "role": "guest", "state": "up", "mac": "52:54:00:12:34:56", "mtu": 1500,
         "queues": {"configured": 2, "active": 1}, "rx": {"packets": 1234567, "bytes": 98765432},
         "tx": {"packets": 7, "bytes": 420}, "drops": {"ring_full": 1200, "runt": 1},
         "detail": {"socket": "/run/pktvirt/vm0.sock", "connected": True, "attachments": 2, "features": ["x"]},
         "a_key_of_tomorrow": 1},
        {"name": "wire0", "type": "ethdev", "role": "wire", "state": "down", "mac": None, "mtu": 9000,
         "queues": {"configured": 1, "active": 0}, "rx": {"packets": 0, "bytes": 0}, "tx": {"packets": 0, "bytes": 0},
         "drops": {}, "detail": {}},
    ],
}
STAGES = {
    "time_ns": 1, "tsc_hz": 2000000000,
    "primitives": [{"primitive": "host-io", "implementation": "batched", "why": "stage batched-syscalls"}],
    "stages": [
        {"name": "switch", "kind": "core", "calls": 10, "packets": 2000, "packets_per_call": 200.0, "cycles": 90000,
         "cycles_per_packet": 45.0, "share": 0.5, "emitted": 2000, "dropped": 0},
        {"name": "batched-syscalls", "kind": "mechanism", "primitive": "host-io"},
    ],
}
WORKERS = {
    "time_ns": 1, "tsc_hz": 2000000000,
    "workers": [{"id": 0, "cpu": 3, "signals": {"mask_calls_per_packet": 12.0}, "rounds": 1000, "busy_rounds": 10, "busy_cycles": 25, "idle_cycles": 75,
                 "busy_share": 0.25, "packets": 320, "calls": 10, "cycles_per_packet": 50.0, "packets_per_call": 32.0,
                 "queues": ["vm0.0", "wire0.0"], "drops": {"no_port": 2},
                 "path": {"shape": "fused: vhost-user, no stages", "hits": 3000, "misses": 20, "stale": 1,
                          "evicted": 0},
                 "contexts": {"active": 1, "turns": 70, "passed_by": 5, "idled": 3, "kicks": 2,
                              "backlog": {"waiting": 1, "kept": 64, "expired": 4, "displaced": 6, "refused": 8},
                              "interrupts": {"passes": 9, "rings": 9, "calls": 7, "covered": 1500}}}],
}
FDB = {
    "capacity": 8192, "used": 2, "ageing_s": 300, "learned": 12, "moved": 1, "aged": 0, "evicted": 0, "refused": 3000,
    "addresses": [{"mac": "52:54:00:00:00:01", "port": "vm0", "static": True, "claimed": False, "age_s": 0},
                  {"mac": "52:54:00:00:00:02", "port": "wire0", "static": False, "claimed": False, "age_s": 65}],
}
CONFIG = {"config": {"name": "pktvirt", "workers": [0]},
          "bindings": [{"primitive": "host-io", "implementation": "plain", "why": "plain"}]}
CHANGE = {
    "held_us": 1234, "stages": ["batched-syscalls", {"shared-buffer-rings": {"copy-break": 256}}],
    "primitives": [{"primitive": "host-io", "implementation": "per-burst", "why": "stage batched-syscalls"},
                   {"primitive": "buffer-passing", "implementation": "shared", "why": "stage shared-buffer-rings"}],
}
ADDED = {"port": "vm9", "done": "added", "type": "vhost-user", "state": "down", "held_us": 99}
REMOVED = {"port": "vm0", "done": "removed", "type": "tap", "held_us": 1234}
CONTEXTS = {
    "time_ns": 1, "multiplexing": "contexts",
    "contexts": [
        {"name": "vm0", "worker": 0, "state": "active", "address": "52:54:00:00:00:01", "vlan": 7, "weight": 3,
         "rate_limit_mbps": 1000, "turns": 12, "packets": 3456, "bytes": 345600, "kicks": 2, "waiting_packets": 1},
        {"name": "vm1", "worker": 1, "state": "revoked", "address": None, "vlan": 0, "weight": 1,
         "rate_limit_mbps": 0, "turns": 0, "packets": 0, "bytes": 0, "kicks": 0, "waiting_packets": 0},
    ],
}
REVOKED = {"context": "vm0", "done": "revoked", "state": "revoked"}
GRANTED = {"context": "vm0", "done": "granted", "state": "up"}
DOCTOR = {
    "port": "vm0", "state": "up", "summary": ["a guest is attached, with 1 of 2 queue pairs in use"],
    "features": [
        {"name": "MQ", "kind": "virtio", "offered": True, "accepted": False, "refused_by": "guest", "change": "mq=on"},
        {"name": "MRG_RXBUF", "kind": "virtio", "offered": True, "accepted": True, "refused_by": None, "change": None},
        {"name": "PACKED", "kind": "virtio", "offered": False, "accepted": False, "refused_by": "uml", "change": None},
    ],
}


class FakeDaemon:
    """Answers as the daemon would; counters grow by a second's worth from sample to sample."""

    def __init__(self, path):
        self.requests = []
        self.samples = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rw") as lines:
            for line in lines:
                request = json.loads(line)
                self.requests.append(request)
                if request.get("port") == "hang-up":
                    return
                if request.get("port") == "nonsense":
                    lines.write("what?\n")
                else:
                    lines.write(json.dumps(self.answer(request)) + "\n")
                lines.flush()

    def answer(self, request):
        results = {"ports": PORTS, "stages": STAGES, "workers": WORKERS, "fdb": FDB, "config": CONFIG,
                   "contexts": CONTEXTS}
        if request["command"] == "show":
            return {"ok": True, "result": self.grown(results[request["what"]])}
        if request["command"] == "version":
            return {"ok": True, "result": {"pktvirt": "0.1.0", "dpdk": "DPDK 22.11.11"}}
        if request["command"] == "stage":
            return self.change(request["name"])
        if request["command"] == "context" and "vm1" in request.values():
            return {"ok": False, "error": 'context "vm1" is revoked already'}
        if request["command"] == "context":
            return {"ok": True, "result": REVOKED if "revoke" in request else GRANTED}
        if request["command"] == "port":
            return self.change_ports(request)
        if request["port"] != "vm0":
            return {"ok": False, "error": 'no port "%s"; did you mean "vm0"?' % request["port"]}
        if request["command"] == "doctor":
            return {"ok": True, "result": DOCTOR}
        return {"ok": True, "result": {"port": "vm0", "for": request["for"], "text": "the lines\n"}}

    def change(self, name):
        if name == "batched-syscall":
            return {"ok": False, "error": 'unknown stage "batched-syscall"; did you mean "batched-syscalls"?'}
        if name == "last":
            return {"ok": True, "result": {"held_us": 0, "stages": [], "primitives": []}}
        return {"ok": True, "result": CHANGE}

    def change_ports(self, request):
        if request.get("remove") == "vm0":
            return {"ok": True, "result": REMOVED}
        if request.get("add", {}).get("name") == "vm9":
            return {"ok": True, "result": ADDED}
        return {"ok": False, "error": "port.mtu: 1: expected 68 to 9000\nport: no type: expected one of: tap"}

    def grown(self, result):
        result = json.loads(json.dumps(result))
        if "ports" in result:
            self.samples += 1
            result["time_ns"] += self.samples * 10**9
            result["ports"][0]["rx"]["packets"] += self.samples * 1230000
            result["ports"][0]["rx"]["bytes"] += self.samples * 73800000
            result["ports"][0]["drops"]["ring_full"] += self.samples * 50
        if "stages" in result:
            result["stages"][0]["packets"] += self.samples * 1230000
            result["stages"][0]["cycles"] += self.samples * 1230000 * 40
        if "workers" in result:
            result["workers"][0]["busy_cycles"] += self.samples * 900
            result["workers"][0]["idle_cycles"] += self.samples * 100
        return result

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()  # the next one's socket may have the same number
        self.listener.close()


def run(*arguments, socket_path=None, stdout=subprocess.PIPE, given=""):
    environment = {key: value for key, value in os.environ.items() if key != "PKTVIRT_SOCKET"}
    if socket_path is not None:
        environment["PKTVIRT_SOCKET"] = socket_path
    return subprocess.run([CTL, *arguments], env=environment, input=given, stdout=stdout,
                          stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False)


class Base(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="pktvirt-ctl-")
        self.addCleanup(self.directory.cleanup)
        self.path = str(pathlib.Path(self.directory.name) / "d.ctl")
        self.daemon = FakeDaemon(self.path)
        self.addCleanup(self.daemon.close)

    def assert_prints(self, arguments, expected):
        result = run(*arguments, socket_path=self.path)
        self.assertEqual((result.stdout, result.stderr, result.returncode), (expected, "", 0))

    def assert_fails(self, arguments, expected, socket_path=None):
        result = run(*arguments, socket_path=socket_path or self.path)
        self.assertEqual((result.stdout, result.stderr, result.returncode), ("", "pktvirt-ctl: %s\n" % expected, 1))


class Results(Base):
    def test_show_ports(self):
        self.daemon.grown = lambda result: result
        self.assert_prints(["show", "ports"], """\
port   type        role   state  mac                 mtu  queues  rx packets    rx bytes  tx packets  tx bytes  dropped
vm0    vhost-user  guest  up     52:54:00:12:34:56  1500     1/2   1,234,567  98,765,432           7       420    1,201
wire0  ethdev      wire   down   -                  9000     0/1           0           0           0         0        0

port  drop reason  packets
vm0   ring_full      1,200
vm0   runt               1

port  detail
vm0   socket=/run/pktvirt/vm0.sock connected=true attachments=2
""")

    def test_show_stages(self):
        self.assert_prints(["show", "stages"], """\
stage             kind       calls  packets  packets/call  cycles/packet  share  emitted  dropped  held
switch            core          10    2,000         200.0           45.0  50.0%    2,000        0
batched-syscalls  mechanism

primitive  bound    why
host-io    batched  stage batched-syscalls
""")

    def test_show_workers(self):
        self.assert_prints(["show", "workers"], """\
worker  cpu   busy  rounds  busy rounds  packets  packets/call  cycles/packet  mask calls/packet  queues
     0    3  25.0%   1,000           10      320          32.0           50.0               12.0  vm0.0 wire0.0

worker  drop reason  packets
0       no_port            2

worker  path                           hits  misses  stale  evicted
0       fused: vhost-user, no stages  3,000      20      1        0

worker  turns  passed by  kicks  waiting  waited  expired  displaced  refused  given back  guest calls
0          70          5      2        1      64        4          6        8       1,500            7
""")

    def test_show_fdb(self):
        self.assert_prints(["show", "fdb"], """\
2 of 8,192 addresses used; they age after 5m 00s
learned 12, moved 1, aged 0, evicted 0, refused 3,000

address            port   kind        age
52:54:00:00:00:01  vm0    static        -
52:54:00:00:00:02  wire0  learned  1m 05s
""")

    def test_show_config(self):
        self.assert_prints(["show", "config"], """\
{
  "name": "pktvirt",
  "workers": [
    0
  ]
}

primitive  bound  why
host-io    plain  plain
""")

    def test_attach(self):
        self.assert_prints(["attach", "vm0", "--for", "virtio-user"], "the lines\n")
        self.assertEqual(self.daemon.requests, [{"command": "attach", "port": "vm0", "for": "virtio-user"}])

    def test_doctor(self):
        self.assert_prints(["doctor", "vm0"], """\
vm0 is up
  a guest is attached, with 1 of 2 queue pairs in use

feature    kind    state                  refused by  to change it
MQ         virtio  offered, not accepted  guest       mq=on
MRG_RXBUF  virtio  in use
PACKED     virtio  not offered            uml
""")

    def test_version(self):
        self.assert_prints(["version"], "pktvirt 0.1.0, DPDK 22.11.11\n")

    def test_stage_set(self):
        self.assert_prints(["stage", "set", "batched-syscalls", "on"], """\
stages: batched-syscalls, shared-buffer-rings; packets waited for 1234 us

primitive       bound      why
host-io         per-burst  stage batched-syscalls
buffer-passing  shared     stage shared-buffer-rings
""")

    def test_stage_set_of_the_last_one(self):
        self.assert_prints(["stage", "set", "last", "off"], "stages: none; packets waited for 0 us\n")

    def test_stage_set_asks_for_what_is_given(self):
        wanted = {
            ("on",): True,
            ("off",): False,
            ("copy-break=300",): {"copy-break": 300},
            ("a=-1", "b=0", "c=1.5", "d=1e3"): {"a": -1, "b": 0, "c": 1.5, "d": 1000.0},
            ("a=true", "b=false"): {"a": True, "b": False},
            ("mode=poll",): {"mode": "poll"},
            ("a=", "b=on", "c=off", "d=null"): {"a": "", "b": "on", "c": "off", "d": "null"},
            ("a=b=c", "d==", "e= 1 x"): {"a": "b=c", "d": "=", "e": " 1 x"},
            ('a="5"', 'b={"c":1}', "d=[1]", "e=12abc", "f=0x10", "g=NaN"):
                {"a": '"5"', "b": '{"c":1}', "d": "[1]", "e": "12abc", "f": "0x10", "g": "NaN"},
            ("a=1", "a=2"): {"a": 2},
            ("größe=grün",): {"größe": "grün"},
        }
        for words, value in wanted.items():
            with self.subTest(words=words):
                self.daemon.requests.clear()
                result = run("stage", "set", "batched-syscalls", *words, socket_path=self.path)
                self.assertEqual((result.stderr, result.returncode), ("", 0))
                self.assertEqual(self.daemon.requests, [{"command": "stage", "name": "batched-syscalls", "set": value}])
                for name, one in (value if isinstance(value, dict) else {}).items():
                    self.assertIs(type(self.daemon.requests[0]["set"][name]), type(one))

    def test_port_add(self):
        port = {"name": "vm9", "vhost-user": {"socket": "/run/vm9.sock"}}
        file = pathlib.Path(self.directory.name) / "port.json"
        file.write_text(json.dumps(port, indent=2), encoding="utf-8")
        for word, given in ((json.dumps(port), ""), ("@%s" % file, ""), ("-", json.dumps(port))):
            with self.subTest(word=word):
                self.daemon.requests.clear()
                result = run("port", "add", word, socket_path=self.path, given=given)
                self.assertEqual((result.stdout, result.stderr, result.returncode),
                                 ("port vm9 was added (vhost-user); packets waited for 99 us\n", "", 0))
                self.assertEqual(self.daemon.requests, [{"command": "port", "add": port}])

    def test_port_remove(self):
        self.assert_prints(["port", "remove", "vm0"], "port vm0 was removed (tap); packets waited for 1234 us\n")
        self.assertEqual(self.daemon.requests, [{"command": "port", "remove": "vm0"}])

    def test_show_contexts(self):
        self.assert_prints(["show", "contexts"], """\
multiplexing: contexts

context  worker  state    address            vlan  weight  limit Mb/s  turns  packets    bytes  kicks  waiting
vm0           0  active   52:54:00:00:00:01     7       3       1,000     12    3,456  345,600      2        1
vm1           1  revoked  -                     -       1           -      0        0        0      0        0
""")

    def test_show_contexts_where_guests_have_none(self):
        with unittest.mock.patch.dict(CONTEXTS, {"multiplexing": "bridge", "contexts": []}):
            self.assert_prints(["show", "contexts"], """\
multiplexing: bridge
guests have no contexts: see pktvirt-ctl stage set multi-context-demux on
""")

    def test_context(self):
        self.assert_prints(["context", "revoke", "vm0"], "context vm0 was revoked; its guest is shut out until: pktvirt-ctl context grant vm0\n")
        self.assert_prints(["context", "grant", "vm0"], "context vm0 was granted; its port is up\n")
        self.assertEqual(self.daemon.requests,
                         [{"command": "context", "revoke": "vm0"}, {"command": "context", "grant": "vm0"}])

    def test_top_once_compares_two_samples(self):
        self.assert_prints(["top", "--once", "--interval", "0.1"], """\
worker  cpu   busy  packets/s  packets/call  cycles/packet
     0    3  90.0%          0           0.0            0.0

stage   kind  packets/s  cycles/packet   share  drops/s
switch  core      1.23M           40.0  100.0%        0

port   state  in pkt/s  in bit/s  out pkt/s  out bit/s  drops/s  why
vm0    up        1.23M      590M          0          0     50.0  ring_full 50.0
wire0  down          0         0          0          0        0
""")

    def test_every_command_prints_json(self):
        expected = {("show", "stages"): STAGES, ("show", "workers"): WORKERS, ("show", "fdb"): FDB,
                    ("show", "config"): CONFIG, ("doctor", "vm0"): DOCTOR,
                    ("attach", "vm0", "--for", "uml"): {"port": "vm0", "for": "uml", "text": "the lines\n"},
                    ("stage", "set", "batched-syscalls", "on"): CHANGE,
                    ("port", "add", '{"name": "vm9"}'): ADDED, ("port", "remove", "vm0"): REMOVED,
                    ("context", "revoke", "vm0"): REVOKED, ("context", "grant", "vm0"): GRANTED,
                    ("show", "contexts"): CONTEXTS,
                    ("version",): {"pktvirt": "0.1.0", "dpdk": "DPDK 22.11.11"}}
        for arguments, value in expected.items():
            with self.subTest(arguments=arguments):
                result = run(*arguments, "--json", socket_path=self.path)
                self.assertEqual(result.returncode, 0)
                self.assertEqual(json.loads(result.stdout), value)

    def test_top_prints_json(self):
        result = run("top", "--json", "--interval", "0.1", socket_path=self.path)
        rates = json.loads(result.stdout)
        self.assertEqual(rates["interval_s"], 1)
        self.assertEqual(rates["ports"][0]["rx"], {"packets_per_s": 1230000, "bits_per_s": 8 * 73800000})
        self.assertEqual(rates["ports"][0]["drops_per_s"], {"ring_full": 50})

    def test_the_socket_option_wins_over_the_environment(self):
        result = run("version", "--socket", self.path, socket_path="/nowhere")
        self.assertEqual(result.returncode, 0)


class Failures(Base):
    def test_no_daemon(self):
        for path in ("/nowhere/d.ctl", self.directory.name + "/stale"):
            with self.subTest(path=path):
                self.assert_fails(["version"], path + ": no daemon is listening there; "
                                  "start one with: pktvirt --config FILE", socket_path=path)

    def test_a_stale_socket_is_no_daemon(self):
        path = self.directory.name + "/stale.ctl"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        self.assert_fails(["version"], path + ": no daemon is listening there; start one with: pktvirt --config FILE",
                          socket_path=path)

    def test_a_name_that_is_not_running(self):
        self.assert_fails(["version", "--name", "no-such-daemon"], "/run/pktvirt/no-such-daemon.ctl: no daemon is "
                          "listening there; start one with: pktvirt --config FILE")

    def test_a_path_that_is_too_long(self):
        self.assert_fails(["version"], "x" * 200 + ": File name too long", socket_path="x" * 200)

    def test_top_once_without_a_daemon(self):
        self.assert_fails(["top", "--once"], "/nowhere: no daemon is listening there; "
                          "start one with: pktvirt --config FILE", socket_path="/nowhere")

    def test_top_without_a_terminal(self):
        self.assert_fails(["top"], "top needs a terminal; without one use: pktvirt-ctl top --once")

    def test_the_daemons_error_is_shown(self):
        self.assert_fails(["doctor", "vm1"], 'no port "vm1"; did you mean "vm0"?')

    def test_a_stage_that_the_daemon_refuses(self):
        self.assert_fails(["stage", "set", "batched-syscall", "on"],
                          'unknown stage "batched-syscall"; did you mean "batched-syscalls"?')

    def test_a_port_that_the_daemon_refuses(self):
        self.assert_fails(["port", "add", '{"name": "vm8", "mtu": 1}'],
                          "port.mtu: 1: expected 68 to 9000\nport: no type: expected one of: tap")

    def test_a_context_that_is_revoked_already(self):
        self.assert_fails(["context", "revoke", "vm1"], 'context "vm1" is revoked already')

    def test_a_port_that_cannot_be_read(self):
        path = self.directory.name + "/port.json"
        self.assert_fails(["port", "add", "@" + path], "%s: No such file or directory" % path)
        self.assert_fails(["port", "add", "@" + self.directory.name], "%s: Is a directory" % self.directory.name)
        pathlib.Path(path).write_text('{\n"name": }', encoding="utf-8")
        self.assert_fails(["port", "add", "@" + path], path + ":2: unexpected token near '}'")
        self.assert_fails(["port", "add", "-"], "standard input:1: '[' or '{' expected near end of file")

    def test_a_daemon_that_hangs_up(self):
        self.assert_fails(["doctor", "hang-up"], "the daemon closed the connection")

    def test_an_answer_that_is_not_understood(self):
        self.assert_fails(["doctor", "nonsense"], "the daemon's answer is not understood")

    def test_a_full_disk(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            result = run("show", "ports", socket_path=self.path, stdout=full)
        self.assertEqual((result.stderr, result.returncode),
                         ("pktvirt-ctl: cannot write: No space left on device\n", 1))


class Usage(unittest.TestCase):
    MISTAKES = {
        (): "a command is missing",
        ("shwo", "ports"): 'unknown command "shwo"; did you mean "show"?',
        ("frobnicate",): 'unknown command "frobnicate": expected one of: show, top, attach, doctor, stage, '
                         'port, context, version',
        ("show",): "show needs one of: ports, stages, workers, contexts, fdb, config",
        ("show", "prots"): 'unknown object of show "prots"; did you mean "ports"?',
        ("show", "everything"): 'unknown object of show "everything": expected one of: '
                                "ports, stages, workers, contexts, fdb, config",
        ("show", "ports", "vm0"): 'show: unexpected argument "vm0"',
        ("version", "now"): 'version: unexpected argument "now"',
        ("attach",): "attach needs a port",
        ("attach", "vm0"): "attach needs --for qemu|libvirt|uml|virtio-user",
        ("attach", "vm0", "--for", "qemo"): 'unknown kind of guest "qemo"; did you mean "qemu"?',
        ("doctor",): "doctor needs a port",
        ("stage",): "stage needs a verb: set NAME on|off|KEY=VALUE...",
        ("stage", "st"): 'unknown verb of stage "st"; did you mean "set"?',
        ("stage", "frobnicate", "a"): 'unknown verb of stage "frobnicate": expected one of: set',
        ("stage", "set"): "stage set needs the name of a stage, and on, off or KEY=VALUE...",
        ("stage", "set", "a"): "stage set needs the name of a stage, and on, off or KEY=VALUE...",
        ("stage", "set", "a", "ON"): 'stage set: "ON": expected on, off or KEY=VALUE',
        ("stage", "set", "a", ""): 'stage set: "": expected on, off or KEY=VALUE',
        ("stage", "set", "a", "=1"): 'stage set: "=1": expected on, off or KEY=VALUE',
        ("stage", "set", "a", "on", "off"): 'stage set: unexpected argument "off"',
        ("stage", "set", "a", "off", "b=1"): 'stage set: unexpected argument "b=1"',
        ("stage", "set", "a", "b=1", "on"): 'stage set: "on": expected on, off or KEY=VALUE',
        ("stage", "set", "a", "b=1", "--for", "qemu"): "--for belongs to attach, not to stage",
        ("stage", "set", "a", "b=\udcff"): "argument 4 is no UTF-8",
        ("stage", "set", "a", "\udcff=1"): "argument 4 is no UTF-8",
        ("port",): "port needs a verb: add JSON|@FILE|-, remove NAME",
        ("port", "ad", "{}"): 'unknown verb of port "ad"; did you mean "add"?',
        ("port", "frobnicate", "a"): 'unknown verb of port "frobnicate": expected one of: add, remove',
        ("port", "add"): "port add needs the port, as JSON, or @FILE, or - for standard input",
        ("port", "remove"): "port remove needs the name of a port",
        ("port", "remove", "a", "b"): 'port remove: unexpected argument "b"',
        ("port", "add", "{}", "{}"): 'port add: unexpected argument "{}"',
        ("port", "add", "name=vm9"): 'port add: "name=vm9": expected an object as in "ports", @FILE, or - for standard input',
        ("port", "add", "[1]"): 'port add: "[1]": expected an object as in "ports", @FILE, or - for standard input',
        ("port", "add", ""): 'port add: "": expected an object as in "ports", @FILE, or - for standard input',
        ("port", "add", '{"a":1,"a":2}'): "port add: the port is not JSON: duplicate object key near '\"a\"'",
        ("context",): "context needs a verb: revoke NAME, grant NAME",
        ("context", "revok", "a"): 'unknown verb of context "revok"; did you mean "revoke"?',
        ("context", "grant"): "context grant needs the name of a port with a guest",
        ("context", "revoke", "a", "b"): 'context revoke: unexpected argument "b"',
        ("doctor", "\udcff"): "argument 2 is no UTF-8",
        ("version", "--sokcet", "x"): 'unknown option "--sokcet"; did you mean "--socket"?',
        ("version", "--frobnicate"): 'unknown option "--frobnicate"',
        ("version", "-x"): 'unknown option "-x"',
        ("version", "--socket"): 'option "--socket" needs a value',
        ("version", "--json=yes"): '"--json=yes": the option takes no value',
        ("version", "--socket", "a", "--name", "b"): "give either --socket or --name",
        ("version", "--for", "qemu"): "--for belongs to attach, not to version",
        ("version", "--once"): "--once belongs to top, not to version",
        ("version", "--interval", "1"): "--interval belongs to top, not to version",
        ("top", "--interval", "0"): '--interval: "0": expected 0.1 to 3600 seconds',
        ("top", "--interval", "1s"): '--interval: "1s": expected 0.1 to 3600 seconds',
        ("top", "--interval", "nan"): '--interval: "nan": expected 0.1 to 3600 seconds',
        ("top", "--interval", ""): '--interval: "": expected 0.1 to 3600 seconds',
    }

    def test_every_mistake_is_named_and_exits_with_2(self):
        for arguments, message in self.MISTAKES.items():
            with self.subTest(arguments=arguments):
                result = run(*arguments)
                self.assertEqual((result.stdout, result.stderr, result.returncode),
                                 ("", "pktvirt-ctl: %s\nSee pktvirt-ctl --help.\n" % message, 2))

    def test_help_and_version_need_no_daemon(self):
        self.assertTrue(run("--help").stdout.startswith("Usage: pktvirt-ctl"))
        self.assertRegex(run("--version").stdout, r"^pktvirt-ctl \d+\.\d+\.\d+\n$")

    def test_help_fits_a_terminal(self):
        self.assertLessEqual(max(map(len, run("--help").stdout.splitlines())), 80)


if __name__ == "__main__":
    CTL = os.path.abspath(sys.argv.pop(1))
    unittest.main()
