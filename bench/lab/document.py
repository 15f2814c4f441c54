# SPDX-License-Identifier: BSD-3-Clause
"""Results in a document: what stands between the two markers of an experiment is replaced by its tables and plots.

    <!-- measured: transmit -->
    <!-- end of transmit -->

Plots are written into the folder beside the document that has its name without the suffix.
"""

import re
from pathlib import Path

from .process import LabError


class DocumentError(LabError):
    """A document cannot be read, or has no place for results."""


def check(path, names):
    """DocumentError if a document has no markers of one of some experiments: before anything is measured."""
    content = read(path)
    missing = [name for name in names if not place(name).search(content)]
    if missing:
        markers = f"{begin(missing[0])} and {end(missing[0])}"
        raise DocumentError(f"{path}: no markers of {', '.join(missing)}: expected {markers}")


def write(path, name, text, drawings):
    """Put tables, as text, and drawings, name of a file -> SVG, between the markers of an experiment."""
    folder = Path(path).with_suffix("")
    if drawings:
        folder.mkdir(exist_ok=True)
    for file, drawing in drawings.items():
        (folder / file).write_text(drawing, encoding="utf-8")
    plots = [f"![{Path(file).stem}]({folder.name}/{file})" for file in drawings]
    lines = [begin(name), "", "```", text.strip(), "```", "", *plots, *([""] if plots else []), end(name)]
    content = place(name).sub(lambda _match: "\n".join(lines), read(path), count=1)
    Path(path).write_text(content, encoding="utf-8")


def read(path):
    """The document."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror}") from None


def begin(name):
    """The first marker."""
    return f"<!-- measured: {name} -->"


def end(name):
    """The last one."""
    return f"<!-- end of {name} -->"


def place(name):
    """What finds both, and what is between them."""
    return re.compile(re.escape(begin(name)) + ".*?" + re.escape(end(name)), re.DOTALL)
