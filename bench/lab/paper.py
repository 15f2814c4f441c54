# SPDX-License-Identifier: BSD-3-Clause
"""A program that measures what a paper has measured, and prints its numbers beside ours: bench/eul, bench/aggregation,
bench/contexts.

    sys.exit(main(Paper("bench/eul", __doc__, EXPERIMENTS, eul.text, eul.drawings, others=OTHERS), sys.argv[1:]))

What is said in --help, measured, printed and written is the same for all of them; a paper has experiments, and knows
which tables and drawings it makes of the results of each.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import document
from .experiment import measure
from .measure import count, duration, folder, run_program, writable
from .medians import ENOUGH
from .process import LabError
from .report import machine_text, method_text, text_report
from .report_html import write_report
from .reproduction import prepared
from .systems import Place
from .table import Progress, paragraph, time_text

QUICK_RUNS, QUICK_SECONDS = 2, 1


@dataclass(frozen=True)
class Plan:
    """One experiment.

    systems    that take turns; the first is a configuration of pktvirt
    workloads  that each is measured with
    how        configurations are exchanged, in words
    place      where all of it is; None: without a switch
    times      how often it is run for each run that was asked for: more where a small difference is to be told
    """

    systems: list
    workloads: list
    how: str
    place: Place | None
    times: int = 1


@dataclass(frozen=True)
class Paper:
    """What is measured.

    program      what it is called
    description  for --help
    experiments  name -> function that is called with the arguments and returns the Plan
    tables       called with the name of an experiment and its Results, returns lines of text
    drawings     the same, returns name of a file -> SVG
    others       systems that can be left out
    seconds      that a measurement takes unless told otherwise
    """

    program: str
    description: str
    experiments: dict
    tables: Callable
    drawings: Callable
    others: tuple
    seconds: float


def main(paper, argv):
    """Do what the arguments say; returns the exit status."""
    arguments = parse(paper, argv)
    progress = Progress(sys.stderr)
    return run_program(paper.program, lambda: run(paper, arguments, progress), progress)


def parse(paper, argv):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=paper.program, description=paper.description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    names = list(paper.experiments)
    add("--only", nargs="+", choices=names, default=names, help="which of the experiments")
    if paper.others:
        add("--without", nargs="+", choices=list(paper.others), default=[], help="systems that are left out")
    add("--runs", type=count, metavar="N", help=f"default: {ENOUGH}; with fewer there are no 95 %% intervals")
    add("--seconds", type=duration, metavar="S", help=f"of a measurement (default: {paper.seconds:g})")
    add("--quick", action="store_true", help=f"{QUICK_RUNS} runs, {QUICK_SECONDS} s each: whether it works at all")
    add("--report", type=folder, metavar="DIR", help="write tables, plots and every number there")
    add("--document", type=writable, metavar="FILE", help="put tables and plots between its markers")
    args = parser.parse_args(argv)
    args.runs = args.runs or (QUICK_RUNS if args.quick else ENOUGH)
    args.seconds = args.seconds or (QUICK_SECONDS if args.quick else paper.seconds)
    if os.geteuid() != 0:
        parser.error("root is needed, for network namespaces and guests' memory")
    return args


def run(paper, args, progress):
    """All that was asked for; returns the exit status."""
    missing = False
    if args.document:
        document.check(args.document, args.only)
    for name in args.only:
        progress.show(f"{name}: looking at the configurations")
        try:
            plan = paper.experiments[name](args)
        except LabError as error:
            progress.clear()
            missing = True
            print(f"{name}: cannot be measured: {error}", flush=True)
            continue
        runs = plan.times * args.runs
        experiment, facts = prepared(plan.systems, plan.workloads, plan.how, plan.place, args, runs)
        progress.show(f"{name}: it will take about {time_text(experiment.estimate_s())}")
        results = measure(experiment, progress, facts)
        progress.clear()
        text = beside_paper(paper, name, results)
        print(text, flush=True)
        if args.report:
            write_all(paper, args.report, name, results, text)
        if args.document:
            document.write(args.document, name, text, paper.drawings(name, results))
        if not args.report and not args.document:
            print(text_report(results))
        for sentence in results.missing():
            missing = True
            print(sentence, flush=True)
        if results.stopped:
            break
    return 1 if missing else 0


def beside_paper(paper, name, results):
    """The tables of an experiment as text, and where and how it was measured."""
    about = [paragraph(text, indent="") for text in (machine_text(results), method_text(results))]
    return "\n".join([*about, "", *paper.tables(name, results)])


def write_all(paper, directory, name, results, text):
    """Page, tables and plots of one experiment, and every number."""
    directory = Path(directory) / name
    directory.mkdir(exist_ok=True)
    write_report(directory, results)
    (directory / "paper.txt").write_text(text, encoding="utf-8")
    for file, drawing in paper.drawings(name, results).items():
        (directory / file).write_text(drawing, encoding="utf-8")
