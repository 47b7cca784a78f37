#!/bin/sh
# fetch: from the registry. build: layer.zip, a layer with the extension and the wrapper that starts the web server.
set -eu
case $1 in
fetch) cargo fetch --locked --quiet ;;
build)
	cargo build --release --locked --offline --quiet
	install -D "$CARGO_TARGET_DIR/release/lambda-adapter" "$2/extensions/lambda-adapter"
	install bootstrap "$2"
	cd "$2"
	zip -qrX layer.zip bootstrap extensions
	rm -r bootstrap extensions
	;;
esac
