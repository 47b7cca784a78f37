#!/bin/sh
# fetch: from the registry, pinned by hash, with nothing but `sam` in it, as it pins what others want otherwise.
# build: nothing. `python -m samcli` runs it, with its directory as PYTHONPATH.
set -eu
case $1 in
fetch) uv pip install --quiet --python "$PYTHON" --target "$2/packages" --require-hashes -r requirements.txt ;;
build) ;;
esac
