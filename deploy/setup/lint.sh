#!/bin/sh
# Runs every check that is not a test. All of them run; the exit status says whether all passed.
set -u
cd "$(dirname "$0")/../.."
command -v go >/dev/null || PATH=/usr/local/go/bin:$PATH
PATH=$PWD/.tools/bin:$PWD/.tools/node_modules/.bin:$PATH
export PATH
failed=
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

check() { # NAME COMMAND…
	name=$1
	shift
	if "$@" >"$scratch/out" 2>&1; then
		echo "ok    $name"
	else
		echo "FAIL  $name"
		sed 's/^/      /' "$scratch/out"
		failed="$failed $name;"
	fi
}

# Generated code is committed as the generators make it.
drift() {
	mkdir -p "$scratch/generated/gateway/openapi" &&
		buf generate --output "$scratch/generated" &&
		(cd gateway/openapi && go run ./convert "$scratch/generated/gateway/openapi/comity.swagger.json" handwritten.yaml \
			"$scratch/generated/gateway/openapi/openapi.json") || return 1
	(cd "$scratch/generated" && find . -type f) | while read -r file; do
		cmp "$file" "$scratch/generated/$file" || exit 1
	done || { echo "run 'make generate'"; return 1; }
	# And nothing that they do not make any more is left.
	git ls-files '*.pb.go' '*.pb.gw.go' | while read -r file; do
		[ -e "$scratch/generated/$file" ] || { echo "$file comes from no proto"; exit 1; }
	done
}

formatted() {
	unformatted=$(git ls-files '*.go' | xargs gofmt -l) && [ -z "$unformatted" ] || { echo "$unformatted"; return 1; }
}

check "buf lint" buf lint
# What partners rely on may grow, and not break.
check "buf breaking" buf breaking --against proto/baseline.binpb
check "generated code is current" drift
check "gofmt" formatted
check "go vet" go vet ./proto/... ./services/... ./gateway/...
check "golangci-lint" golangci-lint run ./proto/... ./services/... ./gateway/...
# Uncached: what these read is outside of their module.
check "tests that docs name are there" go test -count=1 -run TestFaults ./services/tck
check "opa check --strict" opa check --strict policies
check "opa fmt" opa fmt --fail --list policies

if [ -n "$failed" ]; then
	echo "lint: failed:$failed" >&2
	exit 1
fi
echo "lint: all checks passed"
