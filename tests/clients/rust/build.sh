#!/bin/sh
# fetch: from the registry. build: function.zip, a function; extension.zip, a layer; project.zip, the function that
# `lamella init --runtime rust` writes, which `project` has links to.
set -eu
case $1 in
fetch) cargo fetch --locked --quiet ;;
build)
	cargo build --release --locked --offline --quiet
	cd "$2"
	cp "$CARGO_TARGET_DIR/release/bootstrap" .
	zip -qX function.zip bootstrap
	cp "$CARGO_TARGET_DIR/release/greet" bootstrap
	zip -qX project.zip bootstrap
	mkdir extensions
	cp "$CARGO_TARGET_DIR/release/telemetry" extensions
	zip -qrX extension.zip extensions
	rm -r bootstrap extensions
	;;
esac
