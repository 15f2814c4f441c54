# SPDX-License-Identifier: BSD-3-Clause
"""The workloads: what is run over a link (links.py); each gives numbers, some of them at several x.

    for point in WORKLOADS["tcp-rr"].run(link, Options(seconds=5), print):
        print(point.metric, point.x, point.value)
"""

from .cite import menon
from .http_load import Http
from .iperf import TcpStream, UdpStream
from .netlat import PacketRate, TcpRr, UdpLatency
from .streams import TcpReceive, TcpReceiveBytes, TcpSend
from .workload import Options

__all__ = ["USUAL", "WORKLOADS", "Options"]

SENDFILE = TcpSend(
    "tcp-sendfile",
    "a TCP stream from the guest with sendfile(), which copies nothing; cycles by component",
    "-Z",
    menon("Figure 3.2, Figure 3.3, Figure 3.5"),
)
WRITE = TcpSend(
    "tcp-write", "a TCP stream from the guest with writes, which copy; cycles by component", "", menon("Figure 3.6")
)
RECEIVE = TcpReceive("tcp-receive", "a TCP stream to the guest; cycles per packet of the wire, by component")
PLAIN = TcpReceive("tcp-receive-plain", "the same into a guest that merges nothing by itself (GRO off)", gro=False)
BYTES = TcpReceiveBytes(
    "tcp-receive-bytes", "the same, and what of the cycles grows with the bytes of a packet", gro=False
)
COMMON = (UdpLatency(), PacketRate(), UdpStream(), TcpStream(), TcpRr(), Http())
WORKLOADS = {one.name: one for one in (*COMMON, SENDFILE, WRITE, RECEIVE, PLAIN, BYTES)}
USUAL = [one.name for one in COMMON]  # what is measured where nothing is asked for
