# What people type. Each target is a few lines; go commands work without make.

GO ?= go
FUZZTIME ?= 4s
BENCHTIME ?= 2s

.PHONY: build demo test lint fuzz bench fleet tools

build:
	$(GO) build -trimpath -o bin/lockstep ./cmd/lockstep

demo: build
	./bin/lockstep demo

# Everything: installs what is missing, then an absent program is a failure.
test: tools lint
	LOCKSTEP_TEST_ALL=1 $(GO) test -race -parallel 8 ./...
	$(GO) test -run Lockstep ./internal/fleet # too long with -race
	$(MAKE) fuzz

lint:
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Each fuzz target for a short while, from the seeds in its test.
fuzz:
	internal/testenv/fuzz $(FUZZTIME)

bench:
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) ./...

# Clock models over a simulated fleet; FLEET="-seed 7 -min-gap 1" changes it.
fleet:
	$(GO) run ./cmd/fleet -svg fleet.svg $(FLEET)

# The programs that the tests drive.
tools:
	internal/testenv/install
