#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Spin finds no error in the models of docs/models, and one in each mutation that they list."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs/models"
SKIPPED = 77
TIMEOUT_S = 100  # of one run, on a machine that does other things; it takes some seconds
MUTATION = r"^#define (\w+) (\d+)[ \t]+/\* (%s )?(.*) \*/$"
SMALL = "-DBURST=2"  # of a model: enough to find what is wrong
DEPTH = "-m100000"  # of the search: more than any has
STOP_ONLY_IN_SLEEP = ("-DSAFETY", "-DNOCLAIM")  # of the compiler: end states are checked, and not the formula


@dataclass
class Model:
    """A file, the two ways of what it models, and the option with which it is of the second, and marks mutations."""

    file: str
    ways: tuple
    second: str

    @property
    def path(self):
        return FOLDER / self.file


MODELS = (Model("user-mask.pml", ("user-mask", "signal-mask"), "SIGMASK"),
          Model("doorbells.pml", ("event index", "flag"), "FLAG"))


@dataclass
class Case:
    """What is checked: the file with these options, and the checker built with those."""

    path: pathlib.Path
    name: str
    model: tuple
    checker: tuple
    is_right: bool


class Broken(Exception):
    """The model could not be checked."""


def mutations(model):
    """A case for each line of the list in the model."""
    found = re.findall(MUTATION % model.second, model.path.read_text(), re.MULTILINE)
    numbers = [int(number) for _, number, _, _ in found]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        sys.exit(f"{model.path}: the mutations are numbered {numbers}, not 1, 2, …")
    return [Case(model.path, f"{name}: {text}",
                 (f"-DMUTATE={number}", SMALL, *([f"-D{model.second}"] if second else [])), ("-O0",), False)
            for name, number, second, text in found]


def cases():
    """The longest first."""
    right, wrong = [], []
    for model in MODELS:
        for way, options in zip(model.ways, ((), (f"-D{model.second}",))):
            right.append(Case(model.path, f"{way}, the formula", options, ("-O1",), True))
            right.append(Case(model.path, f"{way}, ends", (*options, SMALL), ("-O0", *STOP_ONLY_IN_SLEEP), True))
        wrong += mutations(model)
    return right + wrong


def run(directory, *command):
    """What it printed."""
    done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=TIMEOUT_S, check=False)
    if done.returncode != 0 and command[0] != "./pan":
        raise Broken(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def report_of(case):
    """What the checker says."""
    with tempfile.TemporaryDirectory(prefix="pktvirt-model-") as directory:
        shutil.copy(case.path, directory)
        run(directory, "spin", "-a", *case.model, case.path.name)
        run(directory, "cc", "-DNOFAIR", *case.checker, "-o", "pan", "pan.c")
        return run(directory, "./pan", *(() if "-DNOCLAIM" in case.checker else ("-a",)), "-n", "-w20", DEPTH)


def verdict(case):
    """Why it is not as it should be, or None; and what was looked at."""
    report = report_of(case)
    errors = re.search(r"errors: (\d+)$", report, re.MULTILINE)
    states = re.search(r"(\d+(?:e\+\d+)?) states, stored", report)
    error = re.search(r"^pan:1: (assertion violated .*|acceptance cycle) \(at depth \d+\)$", report, re.MULTILINE)
    if errors is None or states is None:
        return f"no result:\n{report}", ""
    if not case.is_right:
        return (None if error else f"no error found:\n{report}"), error.group(1) if error else ""
    complete = "Search not completed" not in report and "max search depth too small" not in report
    return (None if int(errors.group(1)) == 0 and complete else f"not right:\n{report}"), f"{states.group(1)} states"


def check(case):
    """Whether it is as it should be. Says so."""
    try:
        wrong, seen = verdict(case)
    except (Broken, subprocess.TimeoutExpired) as error:
        wrong, seen = str(error), ""
    if wrong is None:
        print(f"ok: {case.path.stem}: {case.name}: {seen}", flush=True)
    else:
        print(f"not so: {case.path.stem}: {case.name} ({' '.join(case.model)}): {wrong}", flush=True)
    return wrong is None


def main():
    for program in ("spin", "cc"):
        if shutil.which(program) is None:
            print(f"there is no program {program}")
            return SKIPPED
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return 0 if all(list(pool.map(check, cases()))) else 1


if __name__ == "__main__":
    sys.exit(main())
