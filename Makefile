# overlay. `make help` lists the targets. No recursion inside the build; one object tree per flavour,
# build/F/obj, and programs beside it in build/F. What a new source file becomes follows from its name alone:
#
#   core/ discovery/ scanner/ overlay/ *.c  libov.a, linked by daemon, simulator and tests alike
#   overlay/liboverlay*.c                   liboverlay.a and liboverlay.so, with overlay/overlay.h
#   tools/overlayd.c tools/overlayd_*.c     overlayd
#   tools/overlay.c tools/cmd_*.c           overlay
#   tools/overlay-portmap.c tools/portmap*.c  overlay-portmap
#   tools/bench/X.c                         bench/X
#   tests/sim/*.c tests/sim/scenes/*.c      sim
#   tests/unit/test_X.c                     tests/unit/test_X (other files there: shared helpers)
#   tests/unit/test_sim_X.c                 the same, with tests/sim/X.c and seed.c
#   tests/fuzz/fuzz_X.c                     fuzz_X, clang only, seeds in tests/fuzz/corpus/X
#   tests/e2e/*, tests/lab/*                a system test if the file is executable, else its helper
SHELL := /bin/bash
VERSION := 0.1.0
SOVERSION := 0

F   ?= release
B   := build/$F
O    = $(B)/obj
V   ?=
Q   := $(if $(V),,@)
say  = $(if $(V),,@$(if $(QUIETLY),,echo '  $(1)	$@';))
QUIETLY := $(findstring s,$(firstword -$(MAKEFLAGS)))
JOBS ?= $(shell nproc)

# gcc builds what is shipped. clang builds san (it adds implicit-conversion) when it is there, and
# fuzz always (gcc has no libFuzzer). CC= on the command line or in the environment wins.
ifeq ($(origin CC),default)
CC := $(if $(filter san,$F),$(or $(if $(shell command -v clang),clang),gcc),$(if $(filter fuzz,$F),clang,gcc))
endif
CLANG_FORMAT ?= clang-format-14
CLANG_TIDY   ?= clang-tidy-14

DESTDIR    ?=
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
LIBEXECDIR ?= $(patsubst %/,%,$(dir $(BINDIR)))/libexec/overlay
INCLUDEDIR ?= $(PREFIX)/include
DOCDIR     ?= $(PREFIX)/share/doc/overlay

T             ?=
AREA          ?= foundation
SIM_SEEDS     ?= 600
FUZZ_SECONDS  ?= 60
SOAK_MINUTES  ?= 60
export SIM_SEEDS FUZZ_SECONDS SOAK_MINUTES CLANG_FORMAT DEMO

# ---- targets that install packages or start make again: they need nothing but make and bash ----
DRIVERS := help setup run check check-all fuzz soak bench demo accept clean
.DEFAULT_GOAL := all
.PHONY: $(DRIVERS) all everything unit scenes sim layers tidy format check-format install

help:
	@sed -n 's/^#: //p' Makefile

#: make                          programs and libraries into build/release
#: make run                      install what is missing, build, start overlayd in the foreground
#: make check                    install, build, run all tests but the long ones (10 minutes at most)
#: make check-all                the same, then tidy, more seeds, fuzzing and the tests named *long*
#: make unit [F=san] [T=test_X]  unit tests; one of them
#: make sim [SIM_SEEDS=N]        simulator over N seeds; SIM="--seed 7 --trace" replays one
#: make scenes                   the simulator's golden scenes
#: make sim SIM="--matrix --seeds N" every kind of NAT against every other, with a facilitator
#: make fuzz [FUZZ_SECONDS=N]    each fuzz target for N seconds, T=fuzz_X: one
#: make soak [SOAK_MINUTES=N]    simulator over new seeds for N minutes, a line in docs/runs.tsv
#: make bench [T=NAME]           figures against other programs, tables and plots in docs/bench
#: make demo                     two laptops, two networks, one moves: watch it
#: DEMO=nat make demo            two laptops behind two NATs meet: invite, relay, direct, a visit
#: make accept [AREA=foundation] every line of that issue with command, bound, figure, pass or miss;
#:                               SECTIONS='1 5': only these
#: make install DESTDIR= PREFIX= programs, liboverlay, overlay.h, pkg-config file, documents
#: make tidy | format | check-format | layers | setup | clean
#: V=1 shows commands, F=release|san picks the flavour, CC=clang B=build/clang another compiler

setup:
	@tools/setup.sh build check

run:
	@tools/setup.sh build
	+@$(MAKE) --no-print-directory -j$(JOBS) F=release all
	@exec tools/run.sh

check check-all:
	@JOBS=$(JOBS) tests/check.sh $(if $(filter check-all,$@),all)

fuzz:
	@tools/setup.sh build check
	+@$(MAKE) --no-print-directory -j$(JOBS) F=fuzz everything
	@JOBS=$(JOBS) tests/fuzz.sh $(FUZZ_SECONDS) $T

soak:
	@tools/setup.sh build check
	+@$(MAKE) --no-print-directory -j$(JOBS) F=san everything
	@tests/soak.sh $(SOAK_MINUTES)

bench:
	@tools/setup.sh build check
	+@$(MAKE) --no-print-directory -j$(JOBS) F=release everything
	@tools/bench/bench.sh $T

demo:
	@tools/setup.sh build check
	+@$(MAKE) --no-print-directory -j$(JOBS) F=release all
	@tools/demo.sh

accept:
	@tools/setup.sh build check
	+@$(MAKE) --no-print-directory -j$(JOBS) F=release everything
	@tests/accept/accept.py $(AREA) $(SECTIONS)

clean:
	@tools/clean.sh

# ---- compiler ----
# Probed once per flavour and compiler, kept in a file that make includes: when it is missing or
# older than the probe, make writes it first and starts over. Goals above never come here.
ifneq ($(filter-out $(DRIVERS),$(or $(MAKECMDGOALS),all)),)
CONFIG := $(B)/config-$(notdir $(firstword $(CC))).mk
include $(CONFIG)
endif

build/%.mk: tools/probe.sh
	@mkdir -p $(@D) && rm -f $(@D)/config-*.mk
	@tools/probe.sh $(CC) > $@.new && mv $@.new $@

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wwrite-strings -Wpointer-arith \
  -Wredundant-decls -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wconversion \
  -Wswitch-enum -Wimplicit-fallthrough -Wformat=2 -Wcast-qual -Wcast-align -Wdouble-promotion \
  -Wnull-dereference -Wframe-larger-than=4096 $(CC_WARN)

CFLAGS_release := -O2 -g -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
  -fstack-clash-protection $(CC_HARDEN) $(CC_LTO) -fPIE -fno-plt
LDFLAGS_release := -pie -Wl,-z,relro,-z,now,-z,noexecstack
# No -Werror here: under UBSan gcc loses range knowledge and -Wconversion guesses.
SAN := -fno-sanitize-recover=all -fno-omit-frame-pointer -fsanitize=address,undefined$(CC_SAN)
CFLAGS_san  := -Og -g $(SAN)
LDFLAGS_san := $(SAN)
CFLAGS_fuzz  := -O1 -g $(SAN) -fsanitize=fuzzer-no-link
LDFLAGS_fuzz := $(SAN)

ALL_CPPFLAGS := -I. -D_GNU_SOURCE -DOVERLAY_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS    = -std=c11 $(WARN) -fno-strict-aliasing $(CFLAGS_$F) $(CFLAGS)
ALL_LDFLAGS  := $(LDFLAGS_$F) -Wl,--as-needed $(LDFLAGS)
# Tests may hold a whole datagram or more on their stack.
$(O)/tests/%.o: CFLAGS += -Wframe-larger-than=1048576
LIBS         := $(PKG_LIBS) -ldl -lpthread -lm

# ---- what is built from what ----
srcs  = $(wildcard $(1))
objs  = $(patsubst %.c,$(O)/%.o,$(1))
names = $(basename $(notdir $(wildcard $(1))))

LIBOVERLAY_SRC := $(call srcs,overlay/liboverlay*.c)
LIB_SRC   := $(filter-out $(LIBOVERLAY_SRC),$(call srcs,core/*.c discovery/*.c scanner/*.c overlay/*.c))
DAEMON_SRC := $(call srcs,tools/overlayd.c tools/overlayd_*.c)
CLI_SRC   := $(call srcs,tools/overlay.c tools/cmd_*.c)
SIM_SRC   := $(call srcs,tests/sim/*.c tests/sim/scenes/*.c)
UNIT      := $(call names,tests/unit/test_*.c)
E2E       := $(call names,tests/e2e/test_*.c)
UNIT_HELP := $(filter-out $(UNIT:%=tests/unit/%.c),$(call srcs,tests/unit/*.c))
FUZZ      := $(call names,tests/fuzz/fuzz_*.c)
FUZZ_HELP := $(filter-out $(FUZZ:%=tests/fuzz/%.c),$(call srcs,tests/fuzz/*.c))
BENCH     := $(call names,tools/bench/*.c)
PORTMAP_SRC := $(call srcs,tools/overlay-portmap.c tools/portmap*.c)

LIBOV      := $(B)/libov.a
LIBOVERLAY := $(if $(LIBOVERLAY_SRC),$(B)/liboverlay.a)
SONAME     := liboverlay.so.$(SOVERSION)
SHARED     := $(if $(LIBOVERLAY_SRC),$(B)/$(SONAME) $(B)/liboverlay.so)
PROGRAMS   := $(if $(DAEMON_SRC),$(B)/overlayd) $(if $(CLI_SRC),$(B)/overlay)
HELPERS    := $(if $(PORTMAP_SRC),$(B)/overlay-portmap)
SIM_PROG   := $(if $(SIM_SRC),$(B)/sim)
UNIT_PROGS := $(UNIT:%=$(B)/tests/unit/%)
E2E_PROGS  := $(E2E:%=$(B)/tests/e2e/%)
FUZZ_PROGS := $(FUZZ:%=$(B)/%)

ifeq ($F,fuzz)
all: $(LIBOV)
everything: $(FUZZ_PROGS)
else
all: $(LIBOV) $(LIBOVERLAY) $(if $(filter release,$F),$(SHARED)) $(PROGRAMS) $(HELPERS)
	@:
everything: all $(SIM_PROG) $(UNIT_PROGS) $(E2E_PROGS) $(BENCH:%=$(B)/bench/%)
endif

$(O)/%.o: %.c $(CONFIG)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(O)/pic/%.o: %.c $(CONFIG)
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -fPIC -MMD -MP -c $< -o $@

# An archive is written anew, or members of deleted sources would stay in it.
$(LIBOV): $(call objs,$(LIB_SRC))
$(B)/liboverlay.a: $(call objs,$(LIBOVERLAY_SRC))
$(LIBOV) $(B)/liboverlay.a:
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $^

# The wrapper stands alone: jansson is all it may need, and --no-undefined proves it.
$(B)/$(SONAME): $(LIBOVERLAY_SRC:%.c=$(O)/pic/%.o) tools/liboverlay.map
	$(call say,LD)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--no-undefined \
	  -Wl,--version-script=tools/liboverlay.map \
	  $(filter-out -pie,$(ALL_LDFLAGS)) $(filter %.o,$^) -o $@ $(JANSSON_LIBS)

$(B)/liboverlay.so: $(B)/$(SONAME)
	$(Q)ln -sf $(SONAME) $@

# The data path is many small functions in as many files: optimized as a whole (LTO) the daemon runs
# 13 % fewer instructions a packet. What others link must not depend on our compiler's version.
$(B)/overlayd: WHOLE = $(CC_LTO)
WHOLE = $(if $(CC_LTO),-fno-lto)
$(call objs,$(LIBOVERLAY_SRC)): CFLAGS += -fno-lto

# Programs: the objects that come before the libraries, one line each. The CLI speaks to the daemon
# through liboverlay; of libov it gets what it names (text forms of keys and addresses), no more.
$(B)/overlayd: $(call objs,$(DAEMON_SRC)) $(LIBOV)
$(B)/overlay: $(call objs,$(CLI_SRC)) $(LIBOVERLAY) $(LIBOV)
$(B)/overlay-portmap: $(call objs,$(PORTMAP_SRC)) $(LIBOV)
$(B)/overlay-portmap: LINK_WITH = -lnatpmp -lminiupnpc
$(B)/sim: $(call objs,$(SIM_SRC)) $(LIBOV)
$(BENCH:%=$(B)/bench/%): $(B)/bench/%: $(O)/tools/bench/%.o $(LIBOV)
$(filter $(B)/tests/unit/test_sim_%,$(UNIT_PROGS)): $(B)/tests/unit/test_sim_%: \
  $(O)/tests/sim/%.o $(O)/tests/sim/seed.o
$(UNIT_PROGS): $(B)/tests/unit/%: $(O)/tests/unit/%.o $(call objs,$(UNIT_HELP)) $(LIBOVERLAY) $(LIBOV)
$(FUZZ_PROGS): $(B)/%: $(O)/tests/fuzz/%.o $(call objs,$(FUZZ_HELP)) $(LIBOV)
$(E2E_PROGS): $(B)/tests/e2e/%: $(O)/tests/e2e/%.o $(LIBOVERLAY) $(LIBOV)
$(UNIT_PROGS) $(E2E_PROGS): LINK_WITH = -lcmocka
$(FUZZ_PROGS): LINK_WITH := -fsanitize=fuzzer
# A test that defines __wrap_X stands in for X everywhere: the linker is told from the object itself.
wraps = $$(nm --defined-only $(filter $(O)/tests/%.o,$^) | sed -n 's/.* T __wrap_/-Wl,--wrap=/p')
$(B)/sim $(UNIT_PROGS): LINK_WITH += $(wraps)

$(PROGRAMS) $(HELPERS) $(B)/sim $(BENCH:%=$(B)/bench/%) $(UNIT_PROGS) $(E2E_PROGS) $(FUZZ_PROGS):
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(ALL_LDFLAGS) $(WHOLE) $^ -o $@ $(LINK_WITH) $(LIBS)

DEPS := $(call objs,$(LIB_SRC) $(LIBOVERLAY_SRC) $(DAEMON_SRC) $(CLI_SRC) $(PORTMAP_SRC) \
  $(SIM_SRC) \
  $(call srcs,tests/unit/*.c tests/e2e/*.c tests/fuzz/*.c tools/bench/*.c)) $(LIBOVERLAY_SRC:%.c=$(O)/pic/%.o)
-include $(wildcard $(DEPS:.o=.d))

# ---- tests and checks on what is built ----
unit: $(addprefix $(B)/tests/unit/,$(or $T,$(UNIT)))
	$(Q)JOBS=$(JOBS) tests/run.sh $^

sim: $(SIM_PROG)
	$(Q)SIM_PROGRAM=$(B)/sim tests/sim.sh $(SIM)

scenes: $(SIM_PROG)
	$(Q)SIM_PROGRAM=$(B)/sim tests/sim.sh --scenes

layers: $(LIBOV)
	$(Q)tests/check-pure.sh --self-test
	$(Q)tests/check-pure.sh $(O)

C_FILES = $(sort $(foreach d,core overlay discovery scanner tools tests,\
  $(call srcs,$d/*.[ch] $d/*/*.[ch] $d/*/*/*.[ch])))

check-format:
	$(Q)$(CLANG_FORMAT) --dry-run --Werror $(C_FILES) 2>&1 | \
	  sed -n 's/:[0-9]*:[0-9]*: error: .*//p' | uniq -c | sed 's/$$/: places that make format would change/' | \
	  grep . && exit 1 || exit 0

format:
	$(Q)$(CLANG_FORMAT) -i $(C_FILES)

# One clang-tidy per file, $(JOBS) at a time; xargs fails when one of them does.
tidy: $(CONFIG)
	$(Q)printf '%s\n' $(filter %.c,$(C_FILES)) | xargs -P $(JOBS) -I{} \
	  $(CLANG_TIDY) --quiet {} -- -std=c11 $(ALL_CPPFLAGS) 2> >(grep -vE ' warnings? generated' >&2)

# ---- installation ----
define PC
prefix=$(PREFIX)
libdir=$(LIBDIR)
includedir=$(INCLUDEDIR)

Name: overlay
Description: client library of overlayd
Version: $(VERSION)
Requires.private: jansson
Libs: -L$${libdir} -loverlay
Cflags: -I$${includedir}
endef
export PC

install: all
	$(Q)install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(DOCDIR)
	$(Q)install -m 755 $(PROGRAMS) $(DESTDIR)$(BINDIR)
	$(Q)install -d $(DESTDIR)$(LIBEXECDIR)
	$(Q)install -m 755 $(HELPERS) $(DESTDIR)$(LIBEXECDIR)
	$(Q)install -m 644 $(B)/liboverlay.a $(DESTDIR)$(LIBDIR)
	$(Q)install -m 755 $(B)/$(SONAME) $(DESTDIR)$(LIBDIR)
	$(Q)ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/liboverlay.so
	$(Q)printf '%s\n' "$$PC" > $(DESTDIR)$(LIBDIR)/pkgconfig/overlay.pc
	$(Q)install -m 644 overlay/overlay.h $(DESTDIR)$(INCLUDEDIR)
	$(Q)install -m 644 README.md LICENSE $(wildcard docs/*.md) $(DESTDIR)$(DOCDIR)

.DELETE_ON_ERROR:
