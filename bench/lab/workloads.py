# SPDX-License-Identifier: BSD-3-Clause
"""The workloads: what is run over a link (links.py); each gives numbers, some of them at several x.

    for point in WORKLOADS["tcp-rr"].run(link, Options(seconds=5), print):
        print(point.metric, point.x, point.value)
"""

from .http_load import Http
from .iperf import TcpStream, UdpStream
from .netlat import PacketRate, TcpRr, UdpLatency
from .workload import Options

__all__ = ["WORKLOADS", "Options"]

WORKLOADS = {
    workload.name: workload
    for workload in (UdpLatency(), PacketRate(), UdpStream(), TcpStream(), TcpRr(), Http())
}
