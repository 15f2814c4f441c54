# SPDX-License-Identifier: BSD-3-Clause
"""nginx at the near end, under the load of wrk and httperf at the far one, as in section 5.4 of Koh et al. (LCN 2006).

There, clients are machines of their own. httperf looks at its connections without a pause, so where guest and client
have one CPU between them, as on a machine with two, it takes up to half of that from the guest, whatever system that is
on.
"""

import contextlib
import math
import re

from .cite import koh
from .process import RunDir
from .workload import GRACE_S, Metric, Point, WorkloadError, cost, cost_metrics, serving, switch_counters

PORT = 8080
DOCUMENT_BYTES = 32 * 1024
CONNECTIONS = 8  # at a time, to find out how much it can serve
# After which a client gives a request up. Longer than the server takes for all that httperf can have open (1022), or
# what it serves under overload is what nobody waits for any more.
TIMEOUT_S = 5
DRAIN_S = 1  # about how long a rate takes longer than it was asked to
NEEDS = {"a": ("nginx",), "b": ("wrk", "httperf")}
OFFERED = {"x_label": "offered, requests/s"}

# Offered rates are of one geometric series, so that systems have them in common: around the power of two (times the
# first rate) that is next to the most that can be served, from an eighth of that to twice as much.
FIRST_RATE, STEPS_OF_TWO = 10, 2
STEPS = range(-3 * STEPS_OF_TWO, STEPS_OF_TWO + 1)
QUICK_STEPS = (-2 * STEPS_OF_TWO, 0, STEPS_OF_TWO)

# With its folder as prefix, which all paths are relative to.
NGINX_CONF = """
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 8192;
error_log stderr;
pid nginx.pid;
events { worker_connections 4096; }
http {
    access_log off;
    sendfile on;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server { listen PORT; root .; }
}
""".replace("PORT", str(PORT))


class Http:
    """How many requests per second are completed, and how long a reply takes, over the rate at which they are sent."""

    name = "http"
    summary = "nginx and documents of 32 KiB: most requests per second, and rising rates of them"
    metrics = {
        "most": Metric(f"served to {CONNECTIONS} clients that ask again at once", "requests/s", "higher"),
        "completed": Metric("completed", "requests/s", "higher", **OFFERED, figure=koh("Figure 5-5")),
        "reply_time": Metric("reply time", "s", "lower", **OFFERED, figure=koh("Figure 5-6")),
        **cost_metrics(),
    }

    def __init__(self):
        self._most = {}  # name of a link -> the most that one of this name has served

    def estimate_s(self, options):
        """About how long it takes."""
        return options.seconds + len(steps(options)) * (options.seconds + DRAIN_S) + 3

    def run(self, link, options, say):
        """wrk, then httperf with each rate."""
        check_programs(link)
        with nginx(link):
            say("as many as can be served")
            before = switch_counters(link)
            most = wrk(link, options.seconds)
            points = [Point("most", most), *cost(link, before)]
            # As for the fastest of those that are compared, which have a link of the same name.
            fastest = self._most[link.name] = max(most, self._most.get(link.name, 0))
            for rate in rates(fastest, options):
                say(f"{rate} requests per second")
                points += httperf(link, rate, options.seconds)
        return points


def steps(options):
    """How far the offered rates are from the most that can be served, in steps of the series."""
    return QUICK_STEPS if options.quick else STEPS


def rates(most, options):
    """The offered rates for a system that serves no more than `most`; of two digits."""
    middle = STEPS_OF_TWO * round(math.log2(most / FIRST_RATE))
    exact = [FIRST_RATE * 2 ** ((middle + step) / STEPS_OF_TWO) for step in steps(options)]
    return [max(1, round(float(f"{rate:.2g}"))) for rate in exact]


def check_programs(link):
    """WorkloadError if an end lacks what it is to run."""
    for name, programs in NEEDS.items():
        for program in programs:
            if getattr(link, name).run(f"command -v {program}", check=False).status:
                raise WorkloadError(
                    f"{program} is missing; install it with: scripts/deps bench (or apt-get install nginx wrk "
                    "httperf); guests take it along when they are started next"
                )


@contextlib.contextmanager
def nginx(link):
    """Has the near end serve a document, in a folder that has the same name in a guest and on the host."""
    folder = RunDir()
    try:
        path = folder.path
        link.a.run(
            f"mkdir -p {path} && head -c {DOCUMENT_BYTES} /dev/urandom >{path}/document && "
            f"cat >{path}/nginx.conf <<END\n{NGINX_CONF}\nEND"
        )
        probe = f"{httperf_command(link, 1, 1)} | grep -q 2xx=1"
        with serving(link.a, f"nginx -e stderr -p {path} -c nginx.conf", link.b, probe):
            link.b.run("echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse")  # or ports run out: each request takes one
            yield
    finally:
        folder.remove()


def wrk(link, seconds):
    """Requests per second that a few clients get which ask again when they have got one; a connection for each."""
    command = (
        f"wrk --threads 1 --connections {CONNECTIONS} --duration {math.ceil(seconds)}s --timeout {TIMEOUT_S} "
        f'--header "Connection: close" http://{link.a.ip}:{PORT}/document'
    )
    said = link.b.run(command, timeout=seconds + GRACE_S).text
    most = wrk_rate(said)
    if not most:
        raise WorkloadError(f"{command}: nothing was served: {said.strip()!r}")
    return most


def wrk_rate(said):
    """Documents per second, of what wrk prints; 0 if it got none, or something else."""
    rate = re.search(r"^Requests/sec: +([\d.]+)$", said, re.M)
    return float(rate[1]) if rate and "Non-2xx" not in said else 0


def httperf(link, rate, seconds):
    """Points of a constant rate."""
    command = httperf_command(link, rate, max(10, round(rate * seconds)))
    said = link.b.run(command, timeout=seconds + TIMEOUT_S + GRACE_S).text
    result = httperf_result(said)
    if result is None:
        raise WorkloadError(f"{command}: no result: {said.strip()[-500:]!r}")
    completed, reply_time = result
    return [Point("completed", completed, rate), *([Point("reply_time", reply_time, rate)] if completed else [])]


def httperf_command(link, rate, requests):
    """The command that sends so many requests, at a rate per second, each with a connection of its own."""
    return (
        f"httperf --hog --server {link.a.ip} --port {PORT} --uri /document --timeout {TIMEOUT_S} "
        f"--rate {rate} --num-conns {requests}"
    )


def httperf_result(said):
    """(documents per second, seconds from a request until its reply is there), of what httperf prints, or None."""
    found = [
        re.search(pattern, said, re.M)
        for pattern in (
            r"^Total: .* test-duration ([\d.]+) s$",
            r"^Reply status: .* 2xx=(\d+) ",
            r"^Reply time \[ms\]: response ([\d.]+) transfer ([\d.]+)$",
        )
    ]
    if None in found:
        return None
    duration, replies, times = found
    return int(replies[1]) / float(duration[1]), (float(times[1]) + float(times[2])) / 1000
