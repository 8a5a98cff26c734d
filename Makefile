# "make" lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TOOLS := $(CURDIR)/.tools

# The version is given to the linker, so Go need not ask git for it, which fails
# in a clone that belongs to somebody else.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

# A Node.js that "make deps" had to put there comes first.
export PATH := $(TOOLS)/node/node_modules/.bin:$(PATH)

# What runs goroutines against each other; not what is one goroutine with many rows.
RACE := -skip 'TestPlans|/Removals' ./internal/store/... ./internal/agent/... ./internal/event/... \
	./internal/fleet/... ./internal/identity/... ./internal/lease/... ./internal/link/... ./internal/rpc/...

# Suites that measure time or load the machine run alone, after all others.
ALONE := ./test/robust/... ./test/load/... ./test/scm/...

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: run
run: build ## build, then run a control plane on SQLite with one local runner (state in ./.muster)
	exec bin/muster dev

.PHONY: build
build: ## build bin/muster, a static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/muster ./cmd/muster

##  Tests

.PHONY: deps
deps: ## install what the tests need and is missing
	scripts/deps

.PHONY: gitea
gitea: deps ## build the Gitea that tests run against, once per machine
	scripts/gitea >/dev/null

.PHONY: test
test: ## install what is missing, then run all tests; say at the end which suites failed
	+MAKE="$(MAKE)" scripts/each deps gitea vet test-units test-alone test-compat test-hosts test-fuzz

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: test-units
test-units: ## the tests of all packages but the suites that run alone
	go test -count=1 -timeout 15m $$(go list ./... | grep -vE '/test/(robust|load|scm)(/|$$)')

.PHONY: test-alone
test-alone: ## the suites of robustness, load and source code hosts, one at a time
	go test -count=1 -timeout 30m -p 1 $(ALONE)

.PHONY: test-compat
test-compat: ## the vendor's official SDKs against this control plane
	npm ci --prefix test/compat/js --no-audit --no-fund
	go -C test/compat vet ./...
	go -C test/compat test -count=1 -timeout 15m ./...

.PHONY: test-hosts
test-hosts: ## what is asked of source code hosts against their own descriptions and recorded answers
	npm ci --prefix test/hosts --no-audit --no-fund
	go -C test/hosts vet ./...
	go -C test/hosts test -count=1 -timeout 15m ./...

.PHONY: test-fuzz
test-fuzz: ## every fuzz test for five seconds
	scripts/fuzz 5s

.PHONY: fuzz
fuzz: ## every fuzz test for two minutes
	scripts/fuzz 2m

.PHONY: race
race: deps ## the race detector on the concurrent packages
	CGO_ENABLED=1 go test -race -count=1 -timeout 20m $(RACE)

.PHONY: bench
bench: ## measure, and print the numbers
	go run ./bench

##  Generated code

.PHONY: generate
generate: $(TOOLS)/generators ## write gen/ from proto/, the Go of the SQL queries, and the table in the README
	rm -f internal/store/sqlstore/query/*.sql.go
	$(TOOLS)/buf generate
	$(TOOLS)/sqlc generate
	go run ./proto/rpctable README.md

.PHONY: check-generated
check-generated: $(TOOLS)/generators ## fail when "make generate" would change something
	scripts/check-generated

##  Linters

.PHONY: lint
lint: $(TOOLS)/linters $(TOOLS)/generators ## golangci-lint (gofumpt included), buf lint, the import rules
	$(TOOLS)/golangci-lint run ./...
	cd test/compat && $(TOOLS)/golangci-lint run ./...
	cd test/hosts && $(TOOLS)/golangci-lint run ./...
	$(TOOLS)/buf lint
	go test -count=1 ./test/arch

.PHONY: format
format: $(TOOLS)/linters ## gofumpt on all Go files
	$(TOOLS)/gofumpt -w .

##  Tools, built from the versions in tools/go.mod and tools/lint/go.mod

$(TOOLS)/generators: tools/go.mod tools/go.sum
	mkdir -p $(TOOLS)
	CGO_ENABLED=0 go -C tools build -o $(TOOLS)/ tool
	touch $@

$(TOOLS)/linters: tools/lint/go.mod tools/lint/go.sum
	mkdir -p $(TOOLS)
	CGO_ENABLED=0 go -C tools/lint build -o $(TOOLS)/ tool
	touch $@

.PHONY: clean
clean: ## remove what was built; .muster, the state of "make run", stays
	rm -rf bin $(TOOLS)
