# What people type. Each target is a few lines; go commands work without make.

GO ?= go
BIN ?= bin
HELPER ?= /usr/libexec/lockstep/lockstep-pam
FUZZTIME ?= 2s
BENCHTIME ?= 2s
FAULTS ?= 30m
USERS ?= 10000
ROUNDS ?= 4

.PHONY: build pam demo test test-faults test-directories lint fuzz bench bench-peer fleet tools packages test-packages

build:
	$(GO) build -trimpath -o $(BIN)/lockstep ./cmd/lockstep

# The PAM module and its helper, which has to be installed as HELPER.
pam:
	mkdir -p $(BIN)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -fPIC -fvisibility=hidden -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 \
		-DLOCKSTEP_HELPER='"$(HELPER)"' -shared -Wl,-z,relro,-z,now,-z,defs,-z,noexecstack,--as-needed \
		-o $(BIN)/pam_lockstep.so pam/module/pam_lockstep.c -lpam
	CGO_ENABLED=1 $(GO) build -trimpath -tags netgo,osusergo -buildmode=pie \
		-ldflags '-s -w -buildid= $(if $(VERSION),-X lockstep/internal/build.version=$(VERSION)) -linkmode=external -extldflags "-Wl,-z,relro,-z,now,-z,noexecstack"' -o $(BIN)/lockstep-pam ./pam/lockstep-pam

# deb and rpm for amd64 and arm64, in bin/packages. VERSION and MAINTAINER may be set.
packages:
	packaging/build $(BIN)/packages

demo: build
	./bin/lockstep demo

# Everything: installs what is missing, then an absent program is a failure. What
# takes longest is named first, or it would be begun last and run alone. The fault
# suite has the machine for itself: it says how soon everything has to be back.
test: tools lint
	LOCKSTEP_TEST_ALL=1 $(GO) test -race -parallel 8 ./verifier $$($(GO) list ./... | grep -v /internal/faults$$)
	LOCKSTEP_TEST_ALL=1 $(GO) test -race -parallel 8 ./internal/faults
	$(GO) test ./verifier # what is too long with -race, and so is the next
	$(GO) test -run Lockstep ./internal/fleet

# Servers, etcd and slapd under load, and everything that can happen to them, for
# FAULTS; "make test" has a minute of it. LOCKSTEP_FAULTS_SEED repeats a run, and
# FAULTS_TABLE names a file for what came of it.
test-faults: tools
	LOCKSTEP_TEST_ALL=1 LOCKSTEP_FAULTS=$(FAULTS) $(GO) test -race -v -timeout 0 ./internal/faults

# The directories that are too much for every machine: 389-DS and Samba. Needs
# root, and leaves nothing behind but the packages and a domain in the cache.
test-directories:
	internal/testenv/install-directories
	LOCKSTEP_TEST_DIRECTORIES=1 LOCKSTEP_TEST_ALL=1 $(GO) test -race -run 'DirectoryServer389|SambaAD' ./...

# The packages: built twice, looked at, installed, run under systemd, upgraded, removed,
# purged. Needs root; a bare Debian is kept in the user's cache.
test-packages:
	internal/testenv/install-packages lintian apparmor debootstrap systemd-container rpm gcc libpam0g-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross
	LOCKSTEP_TEST_PACKAGES=1 LOCKSTEP_TEST_ALL=1 $(GO) test -v -timeout 60m ./packaging

lint:
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Each fuzz target for a short while, from the seeds in its test; "make test" has the
# seeds alone.
fuzz:
	internal/testenv/fuzz $(FUZZTIME)

bench:
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) ./...

# Beside FreeRADIUS, on a machine that does nothing else; 7 minutes with the
# defaults. BENCHPEER="-k 64" changes it, and "-help" says how.
bench-peer:
	internal/testenv/install-peer
	$(GO) run ./internal/benchpeer -users $(USERS) -rounds $(ROUNDS) -json bench-peer.json -svg bench-peer.svg $(BENCHPEER)

# Clock models over a simulated fleet; FLEET="-seed 7 -min-gap 1" changes it.
fleet:
	$(GO) run ./cmd/fleet -svg fleet.svg $(FLEET)

# The programs that the tests drive.
tools:
	internal/testenv/install
