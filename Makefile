# SPDX-License-Identifier: BSD-3-Clause
# A thin front for meson. `make demo` and `make test` need nothing but Debian 12 and root.
BUILD ?= build
GUEST ?= uml

.DEFAULT_GOAL := all
.PHONY: all deps demo test bench lint docs install clean

# Every target that needs packages installs those that are missing.
deps:
	@scripts/deps

all: deps
	@scripts/build $(BUILD)

demo: all
	@bench/demo --guest $(GUEST)

test: all
	@scripts/test $(BUILD)

lint: deps
	@scripts/lint

docs: all
	@scripts/docs

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) pktvirt pktvirt-ctl
