# SPDX-License-Identifier: BSD-3-Clause
# A thin front for meson. `make demo` and `make test` need nothing but Debian 12 and root.
BUILD ?= build
GUEST ?= uml

.DEFAULT_GOAL := all
.PHONY: all deps demo test bench lint docs install clean

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

# What the techniques of the enhanced UML are worth, measured on the same guests: interleaved runs, medians, ratios.
bench: all
	@bench/compare uml.json eul.json --guest $(GUEST)

lint: deps
	@scripts/lint

docs: all
	@scripts/docs

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) pktvirt pktvirt-ctl
