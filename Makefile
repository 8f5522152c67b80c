# weft: build, test, lab. `make help` lists the targets; `make V=1 …` shows the commands.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

V ?= 0
ifeq ($(V),0)
  Q := @
  tag = @printf '  %-7s %s\n' '$(1)' '$(2)' >&2
else
  Q :=
  tag = @:
endif

BUILD   := build
REPORTS := $(BUILD)/reports
TS      := $(shell find agent native test scripts -name '*.ts' 2>/dev/null)
# What the weft command is made of.
COMMAND_TS := $(filter agent/% native/%,$(TS))
VITEST   = node_modules/.bin/vitest run --reporter=default --reporter=json --outputFile.json=$(REPORTS)/$(1).json

# Looked up when used, not when make starts: setup may have installed them in between.
BPF_MAKE = $(MAKE) -C bpf CLANG="$$(command -v clang-19 || command -v clang-18)" \
  STRIP="$$(command -v llvm-strip-19 || command -v llvm-strip-18)" \
  BPFTOOL="$$(bpftool version >/dev/null 2>&1 && echo bpftool || compgen -G '/usr/lib/linux-tools*/*/bpftool' | head -n 1)"

# Benchmarks compile the same headers with the same tools.
BENCH_MAKE = $(subst -C bpf,-C test/bench,$(BPF_MAKE))

# So are the programs beside weft's on the virtual machine; Cilium's where there is Go to fetch its sources.
VM_MAKE = $(subst -C bpf,-C test/bpf/vm,$(BPF_MAKE)) CILIUM="$$(test/peers/cilium-bpf.sh | sed '/^skip:/d')"

##@ Build

.PHONY: build
build: setup $(BUILD)/js/.built $(BUILD)/weft/.built bpf $(BUILD)/bin/weft ## TypeScript to build/js, eBPF objects to build/bpf, the weft command to build/weft and build/bin

.PHONY: setup
setup: node_modules/.setup ## install what is missing: Debian packages (needs root) and npm packages
	@:

node_modules/.setup: package-lock.json scripts/setup.sh
	$(call tag,SETUP,packages)
	$(Q)scripts/setup.sh
	$(Q)touch $@

# The stamp is older than a source that changed while tsc ran, so that such a change is compiled next time.
$(BUILD)/js/.built: $(TS) tsconfig.json package.json | setup
	$(call tag,TSC,$(BUILD)/js)
	$(Q)mkdir -p $(@D) && touch $@.next
	$(Q)flock $(@D)/.lock node_modules/.bin/tsc -p tsconfig.json
	$(Q)mv $@.next $@

# Written over, never removed: an agent that runs may still load a part.
$(BUILD)/weft/.built: $(COMMAND_TS) rolldown.config.js package.json | setup
	$(call tag,BUNDLE,$(BUILD)/weft)
	$(Q)mkdir -p $(@D) && touch $@.next
	$(Q)flock $(@D)/.lock node_modules/.bin/rolldown -c $(if $(Q),>/dev/null)
	$(Q)mv $@.next $@

.PHONY: bpf
bpf: setup ## compile the eBPF objects
	$(Q)$(BPF_MAKE) -q || { printf '  %-7s %s\n' BPF '$(BUILD)/bpf' >&2; $(BPF_MAKE) $(if $(Q),-s); }

.PHONY: layout
layout: setup ## regenerate agent/maps/layout.gen.ts from the built objects
	$(call tag,LAYOUT,agent/maps/layout.gen.ts)
	$(Q)$(BPF_MAKE) $(if $(Q),-s) layout

# package.json says where the command starts.
$(BUILD)/bin/weft: scripts/weft.sh package.json
	$(call tag,BIN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)sed "s|@ENTRY@|$$(node -p 'require("./package.json").bin.weft')|" $< >$@ && chmod 755 $@

##@ Lab

.PHONY: lab
lab: build ## bring up two clusters and tell the story (leaves the lab running)
	$(Q)test/lab/lab up
	$(Q)node --enable-source-maps $(BUILD)/js/test/lab/story.js 1 2 3 4 5 6 7 8

.PHONY: lab-losing
lab-losing: build ## the story's next chapter: a remote cluster is lost, left and rejoined (waits for timeouts)
	$(Q)test/lab/lab up
	$(Q)node --enable-source-maps $(BUILD)/js/test/lab/story.js 9

.PHONY: lab-down
lab-down: $(BUILD)/js/.built ## remove every trace of the lab
	$(Q)test/lab/lab down

##@ Test

# Every layer runs even when one before it fails; the status is that of all together.
.PHONY: test
test: build ## every layer, then the kernel 6.1 run
	$(Q)rm -rf $(REPORTS) && mkdir -p $(REPORTS)
	$(Q)status=0; $(call VITEST,vitest) || status=1; $(MAKE) test-kernel-6.1 || status=1; exit $$status

.PHONY: test-unit test-scenario
test-unit test-scenario: test-%: build ## one layer: pure functions; or YAML in, tables and maps out
	$(Q)mkdir -p $(REPORTS)
	$(Q)$(call VITEST,$*) --project $*

.PHONY: test-bpf test-net
test-bpf test-net: test-%: build ## one layer, as root: packets through the programs; or hosts and real sockets
	$(Q)mkdir -p $(REPORTS)
	$(Q)$(call VITEST,$*) --project $*

.PHONY: test-interop
test-interop: build ## Cilium's own programs on the other side of our etcd; built once from test/peers, which takes Go and minutes
	$(Q)mkdir -p $(REPORTS)
	$(Q)$(call VITEST,interop) --project interop

.PHONY: test-kernel-6.1
test-kernel-6.1: build ## every eBPF object and a real agent on kernel 6.1, booted in QEMU
	$(Q)$(VM_MAKE) $(if $(Q),-s)
	$(call tag,QEMU,kernel 6.1)
	$(Q)mkdir -p $(REPORTS)
	$(Q)scripts/kernel-6.1.sh 2>&1 | tee $(REPORTS)/kernel-6.1.log

.PHONY: chaos
chaos: build ## three clusters of the lab in a storm of faults; DURATION=600 (seconds), KVSTOREMESH=1; SEED=N repeats one
	$(Q)nice node --enable-source-maps $(BUILD)/js/test/chaos/main.js --duration $(or $(DURATION),600) $(if $(SEED),--seed $(SEED)) $(if $(KVSTOREMESH),--kvstoremesh)

.PHONY: bench
bench: build ## ratios against floors and peers; ONLY=D3,E1 runs a part
	$(Q)$(BENCH_MAKE) -q || { printf '  %-7s %s\n' BENCH '$(BUILD)/bench' >&2; $(BENCH_MAKE) $(if $(Q),-s); }
	$(Q)ONLY='$(ONLY)' node --enable-source-maps $(BUILD)/js/test/bench/main.js

.PHONY: lint
lint: setup ## eslint, prettier, types
	$(Q)node_modules/.bin/tsc --noEmit -p tsconfig.json
	$(Q)node_modules/.bin/eslint .
	$(Q)node_modules/.bin/prettier --check .

##@ Other

.PHONY: clean
clean: ## remove build/ (a running lab goes first)
	$(Q)if [ -d /run/weft-lab ] && [ -f $(BUILD)/js/test/lab/main.js ]; then test/lab/lab down; fi
	$(Q)rm -rf $(BUILD)

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][^:=]*:.*## / { printf "  make %-28s %s\n", $$1, $$2 }' Makefile
