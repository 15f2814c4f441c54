# SPDX-License-Identifier: BSD-3-Clause
"""The papers whose figures and tables our numbers are compared with."""


def koh(what):
    """A figure or table of "Efficient Packet Processing in User-Level OSes: A Study of UML"."""
    return f"{what} of Koh et al. (LCN 2006)"


def menon(what):
    """A figure or table of the thesis on network virtualization of which chapter 3 is about aggregating packets."""
    return f"{what} of Menon (thesis, EPFL 2009)"
