# overlay - see README.md. No recursion; one object tree per flavour: build/release, build/san, build/fuzz.
CC      ?= gcc
V       ?=
Q       := $(if $(V),,@)
F       ?= release

PKGS     := libsodium libuv jansson sqlite3 libcrypto
CPPFLAGS := -I. $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDLIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -ldl -lpthread
try      = $(shell printf 'int main(void){return 0;}' | $(CC) -Werror $(1) -x c - -o /dev/null 2>/dev/null && echo $(1))

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla -Wwrite-strings -Wpointer-arith -Wredundant-decls \
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wconversion -Wswitch-enum -Wimplicit-fallthrough \
  -Wformat=2 -Wcast-qual -Wcast-align -Wdouble-promotion -Wnull-dereference -Wframe-larger-than=4096
WARN += $(call try,-Wduplicated-cond) $(call try,-Wduplicated-branches) $(call try,-Wlogical-op)
CFLAGS_BASE := -std=c11 -D_GNU_SOURCE $(WARN) -fno-strict-aliasing
CFLAGS_release := -O2 -g -Werror -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
  $(call try,-fcf-protection) -fPIE $(call try,-ftrivial-auto-var-init=zero)
LDFLAGS_release := -pie -Wl,-z,relro,-z,now,-z,noexecstack
CFLAGS_san  := -Og -g -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS_san := -fsanitize=address,undefined

B := build/$F
LIB_SRC := $(wildcard core/*.c discovery/*.c scanner/*.c overlay/*.c)
UNIT    := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))

all: $(B)/libov.a

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_BASE) $(CFLAGS_$F) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/libov.a: $(LIB_SRC:%.c=$(B)/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(B)/libov.a
	$(Q)$(CC) $(LDFLAGS_$F) $^ -o $@ -lcmocka $(LDLIBS)

# make unit F=san      all unit tests; T=test_path: one
unit: $(addprefix $(B)/tests/unit/,$(or $T,$(UNIT)))
	$(Q)for t in $^; do $$t || exit 1; done

# ---- simulator: the unchanged libov.a on virtual time; SIM_ARGS="--seed 7 --trace" ----
SIM_OBJ  := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/*.c))
SIM_WRAP := $(foreach c,chacha20poly1305_ietf xchacha20poly1305_ietf,crypto_aead_$c_encrypt crypto_aead_$c_encrypt_detached) \
  time clock_gettime gettimeofday getrandom randombytes_buf
$(B)/tests/sim/sim: $(SIM_OBJ) $(B)/libov.a
	$(Q)$(CC) $(LDFLAGS_$F) $(SIM_WRAP:%=-Wl,--wrap=%) $^ -o $@ $(LDLIBS)
$(B)/tests/unit/test_sim_%: $(B)/tests/unit/test_sim_%.o $(B)/tests/sim/%.o $(B)/tests/sim/seed.o $(B)/libov.a
	$(Q)$(CC) $(LDFLAGS_$F) $^ -o $@ -lcmocka $(LDLIBS)
sim: $(B)/tests/sim/sim
	$(Q)$(B)/tests/sim/sim $(SIM_ARGS)
# ---- end of simulator ----

-include $(shell find build/$F -name '*.d' 2>/dev/null)
.PHONY: all unit sim
.SECONDARY:
