#!/bin/sh
# fetch: from the registries. build: nothing.
set -eu
case $1 in
fetch) sh ../npm/fetch.sh "$2" ;;
build) ;;
esac
