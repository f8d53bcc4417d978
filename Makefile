# The only door for build, test, bench and lint. `make` prints this help.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# Tools, pinned; run with `go run`, so nothing is installed.
GOFUMPT     := go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
ERRCHECK    := go run github.com/kisielk/errcheck@v1.30.0
INEFFASSIGN := go run github.com/gordonklaus/ineffassign@v0.2.0
UNCONVERT   := go run github.com/mdempsky/unconvert@v0.0.0-20260816212528-33842c47157a

# How long each fuzz target runs under `make fuzz`.
FUZZTIME ?= 10s
# Where artefacts of tests go (screenshots).
export WEIR_ARTIFACTS ?= $(CURDIR)/artifacts

.PHONY: help demo test check build policies engine guests prove prove-long soak bench mutants fuzz golden fmt lint vulncheck tidy deps clean

help: ## print this help
	@echo "weir: live queries from WebAssembly plugins on PostgreSQL"
	@echo
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: deps-db build ## the chat on a private database, until Ctrl-C (DEMO_SECONDS=10: ends by itself)
	@./bin/weir demo --dir examples/chat --seconds "$${DEMO_SECONDS:-0}"

test: export WEIR_NEEDS_ENGINE = 1
test: export WEIR_NEEDS_GUESTS = 1
test: deps engine guests ## everything, with the race detector
	@mkdir -p "$(WEIR_ARTIFACTS)"
	go test -race -timeout 25m ./...
	WEIR_TEST_WRITER=goroutine go test -race ./host/serve # the other writer of streams
	go test ./host/wasm -run '^(TestMetered|TestEverythingIsPaidFor|TestCallAllocations)' # of what is generated, the detector has a tenth
	go test ./host/prove/soak # with its RSS: the detector's own memory hides weir's

check: fmt lint vulncheck tidy test ## format, lint, vulnerabilities, tidy and test, as CI does

build: ## the binary, in bin/
	go build -trimpath -ldflags "-s -w" -o bin/weir ./cmd/weir

policies: build ## the plugin of stock policies, bin/policy.wasm
	@./bin/weir build plugins/policy -o bin/policy.wasm

engine: bin/quickjs.wasm ## the engine of plugins in JavaScript, bin/quickjs.wasm

# npm takes exactly the version and the digest of the lock file, and weir takes
# only the module that it knows.
bin/quickjs.wasm: plugins/js/package-lock.json
	@.ci/deps nodejs
	@mkdir -p bin/engine && cp plugins/js/package.json plugins/js/package-lock.json bin/engine/
	@cd bin/engine && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@cp bin/engine/node_modules/quickjs-wasi/quickjs.wasm bin/quickjs.wasm && rm -rf bin/engine

guests: $(addprefix bin/guests/,rust.wasm c.wasm edges-rust.wasm edges-c.wasm) ## the samples in Rust and C that tests run, in bin/guests/

# What they are built with, beside their own source.
RUST_SDK := $(wildcard plugins/rust/src/*.rs) cmd/weir/language_rust.go
C_SDK := plugins/c/weir.h cmd/weir/language_c.go

bin/guests/rust.wasm: $(RUST_SDK) $(wildcard plugins/testdata/languages/rust/src/*) | guests-tools build
	@bin/weir build plugins/testdata/languages/rust -o $@ && touch $@

bin/guests/edges-rust.wasm: $(RUST_SDK) $(wildcard plugins/testdata/edges/rust/src/*) | guests-tools build
	@bin/weir build plugins/testdata/edges/rust -o $@ && touch $@

bin/guests/c.wasm: $(C_SDK) $(wildcard plugins/testdata/languages/c/*) | guests-tools build
	@bin/weir build plugins/testdata/languages/c -o $@ && touch $@

bin/guests/edges-c.wasm: $(C_SDK) $(wildcard plugins/testdata/edges/c/*) | guests-tools build
	@bin/weir build plugins/testdata/edges/c -o $@ && touch $@

.PHONY: guests-tools
guests-tools:
	@.ci/deps rust wasm_clang

prove: deps-db ## proof by slices: simulation, oracles, scenarios, faults, attackers, mutants, soak (PROVE=60: seconds of each)
	@.ci/prove

prove-long: deps-db ## the same for hours (PROVE=3600)
	@.ci/prove -long

soak: deps-db ## ten million deliveries: curves of memory, descriptors, connections, WAL and log (SOAK=1000)
	WEIR_SOAK="$${SOAK:-1000}" go test -count=1 -timeout 0 ./host/prove/soak -run TestServerKeepsNothing -v

bench: deps-db ## measure the rows of docs/benchmarks.md, one after another
	@.ci/bench

mutants: deps-db ## seeded bugs in a copy of the tree: which test catches which
	@.ci/mutants

fuzz: ## every fuzz target for FUZZTIME (10s)
	@.ci/fuzz $(FUZZTIME)

golden: ## rewrite golden files; review them line by line
	go test ./reactor -run TestScripts -rewrite
	go test ./host/config -run Golden -rewrite
	go test ./host/serve ./cmd/weir -run Golden -update
	go test ./host -run 'TestSandbox|Golden' -update
	go test ./abi/abitest -run Golden -update

fmt: ## fail if a file is not formatted
	@out=$$($(GOFUMPT) -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$out" ]; then echo "not formatted (run gofumpt -w):"; echo "$$out"; exit 1; fi

lint: ## vet and linters
	go vet ./...
	$(STATICCHECK) ./...
	$(ERRCHECK) -exclude .ci/errcheck.txt -ignoretests ./...
	$(INEFFASSIGN) ./...
	$(UNCONVERT) ./...

vulncheck: ## known vulnerabilities in what weir calls; skipped aloud where their database cannot be read
	@.ci/vulncheck

tidy: ## fail if go.mod or go.sum would change
	go mod tidy -diff

deps: deps-db ## find or install what tests need: PostgreSQL, Chromium, npm packages
	@.ci/deps chromium nodejs client

.PHONY: deps-db
deps-db:
	@.ci/deps postgresql

clean: ## remove what the build and the demo made
	rm -rf bin artifacts
	go run ./cmd/weir db private --dir examples/chat --remove 2>/dev/null || true
	rm -rf examples/*/.weir examples/*/plugins
