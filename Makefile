# SPDX-License-Identifier: BSD-3-Clause
# A thin front for meson. `make demo` and `make test` need nothing but Debian 12 and root.
BUILD ?= build
GUEST ?= uml

.DEFAULT_GOAL := all
.PHONY: all deps demo test bench bench-uml bench-eul bench-aggregation bench-contexts fuzz lint docs install clean

# Every target that needs packages installs those that are missing.
deps:
	@scripts/deps

# The guest images are for demo and tests, and for the lines that the daemon prints; a build is good without them.
all: deps
	@scripts/build $(BUILD)
	-@bench/guest image

demo: all
	@bench/demo --guest $(GUEST)

test: all
	@scripts/test $(BUILD)

# Each fuzzer for FUZZ_SECONDS (600), from its corpus and what the runs before it found.
fuzz: deps
	@tests/fuzz/build
	@failed=0; for corpus in tests/fuzz/corpus/*; do \
		tests/fuzz/run long build-fuzz/tests/fuzz/fuzz_$${corpus##*/} $$corpus || failed=1; \
	done; exit $$failed

# pktvirt beside OVS-DPDK and testpmd: packets per second, cycles per packet. BENCH="--quick --markdown" and the like.
bench: all
	@scripts/deps bench
	@bench/switch $(BENCH)

# What the techniques of the enhanced UML are worth, measured on the same guests: interleaved runs, medians, ratios, and
# a report with plots. AB="--workload tcp-rr --with native" and the like.
bench-uml: all
	@scripts/deps bench
	@bench/ab uml.json eul.json --guest $(GUEST) --report $(BUILD)/ab $(AB)

# The tables and figures of Koh et al. (LCN 2006) beside ours, with a page for each experiment. EUL="--quick" and the like.
bench-eul: all
	@scripts/deps bench
	@bench/eul --report $(BUILD)/eul $(EUL)

# The measurements of chapter 3 of Menon's thesis beside its numbers. AGGREGATION="--only limit --runs 12" and the like.
bench-aggregation: all
	@scripts/deps bench
	@bench/aggregation --report $(BUILD)/aggregation $(AGGREGATION)

# The measurements of chapter 5, and what contexts are for beyond it. CONTEXTS="--only idle --runs 12" and the like.
bench-contexts: all
	@scripts/deps bench
	@bench/contexts/contexts --report $(BUILD)/contexts $(CONTEXTS)

lint: deps
	@scripts/lint

docs: all
	@scripts/docs

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) pktvirt pktvirt-ctl
