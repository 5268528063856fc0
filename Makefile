# Comity. `make` alone shows what there is; what a target needs and is missing, it installs or names in one sentence.

.DEFAULT_GOAL := help
SETUP := sh deploy/setup/setup.sh
# The Go on the PATH, else the one where Go's own archive is unpacked.
GO := $(shell command -v go || echo /usr/local/go/bin/go)
export PATH := $(patsubst %/,%,$(dir $(GO))):$(PATH)

PACKAGES := ./proto/... ./services/... ./gateway/...
# The packages with tests that run only under COMITY_LONG.
LONG := ./services/statistics/... ./services/cmd/statistics ./services/disclosure/... ./services/sharing ./services/sharing/postgres ./services/cmd/comity
SOAK := 1h
KILLS := 1000

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## Install all that the targets below need
	@$(SETUP) run test lint

.PHONY: build
build: ## Build the five programs into bin/
	@$(SETUP) build
	$(GO) build -buildvcs=false -o bin/ ./services/cmd/... ./gateway

.PHONY: demo
demo: ## Build, and run the sandbox: three states that exchange real figures
	@$(SETUP) run
	@$(MAKE) --no-print-directory build
	bin/comity sandbox up $(DEMO)

.PHONY: test
test: ## Run all tests, with the race detector, on a real PostgreSQL
	@$(SETUP) test
	$(GO) test -race -timeout 20m $(PACKAGES)

.PHONY: test-long
test-long: ## Run the tests that take longer too: all national files, millions of events, hundreds of kills
	@$(SETUP) test
	COMITY_LONG=1 $(GO) test -count=1 -timeout 2h $(LONG)

.PHONY: soak
soak: ## Run a node under load for an hour, or SOAK=10m, then two until KILLS=1000 kills, and see that figures are right and nothing leaks
	@$(SETUP) run
	@$(MAKE) --no-print-directory build
	bin/comity soak --for $(SOAK) --kills $(KILLS)

.PHONY: lint
lint: ## Check the protos, the generated code, the Go and the policies
	@$(SETUP) lint
	@sh deploy/setup/lint.sh

.PHONY: bench
bench: ## Measure a node against the limits of its speed, then run the benchmarks of the packages
	@$(SETUP) run test
	@$(MAKE) --no-print-directory build
	bin/comity bench $(BENCH)
	bin/comity bench --exchange $(BENCH)
	$(GO) test -run '^$$' -bench . -benchmem -timeout 30m $(PACKAGES)

.PHONY: generate
generate: ## Generate the code and the API description from the protos
	@$(SETUP) generate
	.tools/node_modules/.bin/buf generate
	cd gateway/openapi && $(GO) generate

.PHONY: baseline
baseline: ## Hold the contracts, as they are now, against every later change
	@$(SETUP) generate
	.tools/node_modules/.bin/buf build --exclude-source-info -o proto/baseline.binpb
