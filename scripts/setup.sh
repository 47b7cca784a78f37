#!/bin/sh
# Installs what Lamella needs on Debian or Ubuntu: system packages, uv, and the Python environment in .venv.
# Quick the second time: the work is done again only when this file, pyproject.toml or uv.lock has changed.
# With the word `bench` it installs what `make bench` needs as well: a C compiler that can link statically. With
# `clients` it installs the toolchains that the tests of AWS's runtime clients and of extensions are built with; with
# `postgres` the programs of PostgreSQL, of which tests start one of their own; with `images` a registry of container
# images, of which they do as well.
set -eu
cd "$(dirname "$0")/.."

# Sandboxes: crun catatonit; their way to other machines: nftables; sized /tmp: e2fsprogs; inside every sandbox: bash
# coreutils curl ca-certificates; the demo: git zip unzip php-cli; the tests of the other OCI runtime, and of hosts with
# a firewall: runc iptables; the environment: python3-venv, which brings pip.
packages="bash coreutils crun catatonit nftables e2fsprogs curl ca-certificates git zip unzip php-cli runc iptables
	python3 python3-venv"
stamp=.venv/.lamella-setup
programs="crun catatonit nft mkfs.ext4 curl git zip unzip python3"
case "${1:-}" in
	"") ;;
	bench)
		packages="$packages gcc libc6-dev"
		programs="$programs cc"
		stamp=$stamp-bench
		;;
	clients)
		# A toolchain that is here already serves, wherever it came from; `cargo` is dealt with below.
		for pair in c++:g++ cmake:cmake go:golang-go jlink:default-jdk-headless make:make mvn:maven strip:binutils \
			xz:xz-utils; do
			command -v "${pair%:*}" >/dev/null || packages="$packages ${pair#*:}"
		done
		programs="$programs c++ cmake go jlink make mvn strip xz cargo"
		# The tests of runtimes made of Debian's packages, and of functions for the other architecture.
		if command -v apt-get >/dev/null; then
			packages="$packages debian-archive-keyring qemu-user-static"
		fi
		stamp=$stamp-clients
		;;
	postgres)
		# On Debian it comes with a server that starts by itself; the tests do not use it.
		packages="$packages postgresql"
		PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' :)
		programs="$programs initdb pg_dump"
		stamp=$stamp-postgres
		;;
	images)
		packages="$packages docker-registry mmdebstrap"
		programs="$programs docker-registry mmdebstrap"
		stamp=$stamp-images
		;;
	*) echo "usage: scripts/setup.sh [bench | clients | images | postgres]" >&2; exit 2 ;;
esac

say() { printf '%s\n' "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

root=
[ "$(id -u)" = 0 ] || root=sudo

# Functions for the other architecture run through qemu, of which the kernel is told when the machine starts. Where
# nothing does that, as in a machine without systemd, it is told here; that lasts until the machine stops.
binfmt=/proc/sys/fs/binfmt_misc
tell_of_qemu() {
	for machine in aarch64 x86_64; do
		file=/usr/lib/binfmt.d/qemu-$machine.conf
		if ! [ -r "$file" ] || [ -e "$binfmt/qemu-$machine" ]; then
			continue
		fi
		$root sh -c "[ -e $binfmt/register ] || mount -t binfmt_misc none $binfmt; cat $file >$binfmt/register" ||
			say "the kernel could not be told of qemu: functions for $machine will not run"
	done
}

key=$(cat scripts/setup.sh pyproject.toml uv.lock | sha256sum | cut -d' ' -f1)
if [ -x .venv/bin/lamella ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
	[ "${1:-}" != clients ] || tell_of_qemu
	exit 0
fi

# --- system packages ---------------------------------------------------------------------------------------------
apt() { $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }

if [ "${1:-}" = clients ] && ! command -v cargo >/dev/null && command -v apt-cache >/dev/null; then
	# Debian keeps a recent compiler for its browsers under these names; that of its release may be years old.
	apt-cache show cargo-web >/dev/null 2>&1 || apt update || true
	if apt-cache show cargo-web >/dev/null 2>&1; then
		packages="$packages rustc-web cargo-web"
	else
		packages="$packages rustc cargo"
	fi
fi

missing=
if command -v dpkg-query >/dev/null; then
	for package in $packages; do
		# shellcheck disable=SC2016  # ${...} is for dpkg-query
		case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" in
			installed) ;;
			*) missing="$missing $package" ;;
		esac
	done
else
	for program in $programs; do
		command -v "$program" >/dev/null || missing="$missing $program"
	done
	[ -z "$missing" ] || fail "this is neither Debian nor Ubuntu; please install what provides:$missing"
fi

if [ -n "$missing" ]; then
	if [ -n "$root" ] && ! { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }; then
		say "these system packages are missing, and installing them takes root:"
		fail "    apt-get install -y --no-install-recommends$missing"
	fi
	say "installing system packages:$missing"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	# First without an update, which is needed only where the lists are absent or old, and then once.
	# shellcheck disable=SC2086  # a list of words
	if ! apt install -y --no-install-recommends $missing >"$log" 2>&1; then
		apt update >"$log" 2>&1 || { cat "$log" >&2; fail "apt-get update failed"; }
		apt install -y --no-install-recommends $missing >"$log" 2>&1 ||
			{ cat "$log" >&2; fail "apt-get install failed; the packages are:$missing"; }
	fi
fi

[ "${1:-}" != clients ] || tell_of_qemu

# --- uv ----------------------------------------------------------------------------------------------------------
if command -v uv >/dev/null && uv --version >/dev/null 2>&1; then
	uv=uv
else
	uv=.tools/bin/uv
	if ! [ -x "$uv" ]; then
		say "installing uv into .tools"
		python3 -m venv .tools || fail "python3 -m venv failed; is the package python3-venv installed?"
		.tools/bin/pip install --quiet --disable-pip-version-check uv || fail "pip could not install uv; see above"
	fi
fi

# --- Python environment ------------------------------------------------------------------------------------------
say "installing the Python environment into .venv"
"$uv" sync --frozen --quiet || fail "uv sync failed; see above"
printf '%s\n' "$key" >"$stamp"
