#!/bin/sh
# Brings this machine to what the Makefile's targets need: setup.sh build|run|test|lint|generate …
# What is there is left alone. What is missing comes from Debian's packages, or goes into .tools/; where that cannot be,
# one sentence says what to do.
set -eu
cd "$(dirname "$0")/../.."

BUF=1.75.0
GOLANGCI=2.15.0
OPA=1.22.2

fail() {
	echo "setup: $*" >&2
	exit 1
}

# older A B: whether version A is before version B.
older() {
	[ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# The Go that the Makefile uses must be as new as the newest module asks for. It is asked from / and by itself: an old Go
# cannot read go.work, and a Go that fetches a newer one tells of that one only inside a module.
need_go() {
	need=$(awk '$1 == "go" { print $2 }' proto/go.mod services/go.mod gateway/go.mod | sort -V | tail -n 1)
	go=$(command -v go || true)
	[ -n "$go" ] || [ ! -x /usr/local/go/bin/go ] || go=/usr/local/go/bin/go
	how="install it from https://go.dev/dl/ into /usr/local/go and put /usr/local/go/bin first on the PATH"
	[ -n "$go" ] || fail "Go $need or later is needed and no go is on the PATH: $how."
	have=$(cd / && GOTOOLCHAIN=local "$go" version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p')
	[ -n "$have" ] || fail "Go $need or later is needed and $go does not tell its version: $how."
	if older "$have" "$need"; then
		# From 1.21 on, Go can fetch the version that a module asks for, if it may.
		fetched=$(cd services 2>/dev/null && GOWORK=off "$go" version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p') || true
		if [ -z "$fetched" ] || older "$fetched" "$need"; then
			fail "Go $need or later is needed and $go is Go $have: $how."
		fi
	fi
	PATH=$(dirname "$go"):$PATH
	export PATH
}

# install PACKAGE…: by apt-get, as root or through sudo.
install() {
	command -v apt-get >/dev/null || fail "$* is missing, and this is not Debian: install it in your system's way."
	if [ "$(id -u)" -eq 0 ]; then
		as=
	elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
		as=sudo
	else
		fail "$* is missing, and this user may not install it: as root, run 'apt-get install $*', then try again."
	fi
	echo "setup: installing $* with apt-get${as:+, through sudo}" >&2
	case " $* " in
	*" postgresql "*)
		# The package would start a server of its own; Comity runs its own.
		$as mkdir -p /etc/postgresql-common
		if ! grep -qs '^create_main_cluster' /etc/postgresql-common/createcluster.conf; then
			echo 'create_main_cluster = false' | $as tee -a /etc/postgresql-common/createcluster.conf >/dev/null
		fi
		;;
	esac
	log=$(mktemp)
	# Where a configuration file is there already, such as the one above, it stays, and nobody is asked.
	if ! { $as apt-get update && $as env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
		apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@"; } >"$log" 2>&1 </dev/null; then
		tail -n 5 "$log" >&2
		rm -f "$log"
		fail "apt-get cannot install $*: mend what it says above, or install it yourself, then try again."
	fi
	rm -f "$log"
}

# have_postgres: whether there is a server of version 15 or later where the sandbox looks for one.
have_postgres() {
	[ -z "${COMITY_POSTGRES:-}" ] || return 0
	for postgres in /usr/lib/postgresql/*/bin/postgres "$(command -v postgres || true)"; do
		[ -x "$postgres" ] || continue
		[ -x "$(dirname "$postgres")/initdb" ] || continue
		major=$("$postgres" --version | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p')
		[ "${major:-0}" -lt 15 ] || return 0
	done
	return 1
}

need_command() { # COMMAND PACKAGE…
	command=$1
	shift
	command -v "$command" >/dev/null || install "$@"
}

need_race_detector() {
	need_command gcc gcc libc6-dev
	[ -e /usr/include/stdlib.h ] || echo '#include <stdlib.h>' | gcc -E -x c - >/dev/null 2>&1 || install libc6-dev
}

need_buf() {
	[ "$(.tools/node_modules/.bin/buf --version 2>/dev/null)" = "$BUF" ] && return
	need_command npm npm
	echo "setup: fetching buf $BUF into .tools" >&2
	npm install --no-save --no-package-lock --no-audit --no-fund --silent --prefix .tools "@bufbuild/buf@$BUF" >/dev/null ||
		fail "npm cannot fetch @bufbuild/buf@$BUF: check the network, then try again."
}

need_tool() { # NAME VERSION MODULE: a Go program, built into .tools/bin
	stamp=.tools/bin/$1-$2
	[ -x ".tools/bin/$1" ] && [ -e "$stamp" ] && return
	echo "setup: building $1 $2 into .tools (some minutes, once)" >&2
	GOBIN=$PWD/.tools/bin GOWORK=off GOFLAGS= go install "$3@v$2" || fail "$1 $2 cannot be built: see above."
	: >"$stamp"
}

need_go
for what in "$@"; do
	case $what in
	build) ;;
	run)
		have_postgres || install postgresql
		need_command curl curl ca-certificates
		;;
	test)
		have_postgres || install postgresql
		need_race_detector
		;;
	generate) need_buf ;;
	lint)
		need_command git git
		need_buf
		need_tool golangci-lint "$GOLANGCI" github.com/golangci/golangci-lint/v2/cmd/golangci-lint
		need_tool opa "$OPA" github.com/open-policy-agent/opa
		;;
	*) fail "it does not know '$what'." ;;
	esac
done
