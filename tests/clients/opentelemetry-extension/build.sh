#!/bin/sh
# fetch: from the registry. build: layer.zip, a layer with the extension.
set -eu
case $1 in
fetch) cargo fetch --locked --quiet ;;
build)
	cargo build --release --locked --offline --quiet
	cd "$2"
	mkdir extensions
	cp "$CARGO_TARGET_DIR/release/opentelemetry" extensions
	zip -qrX layer.zip extensions
	rm -r extensions
	;;
esac
