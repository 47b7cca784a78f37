#!/bin/sh
# fetch: from the registry. build: layer.zip, a layer with a Java runtime and the runtime client; greeting.zip, a layer
# with a library; function.zip, a function.
set -eu
jars=$3/java
case $1 in
fetch)
	rm -rf "$jars"
	mvn -B -q --strict-checksums org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
		-DoutputDirectory="$jars" -DincludeScope=runtime
	(cd "$jars" && sha256sum --quiet --check) <jars.sha256
	;;
build)
	cp -r . "$2"
	cd "$2"
	mkdir -p layer/java classes library java/lib
	javac --release 17 -d library greeting/greeting/Greeting.java
	jar --create --file java/lib/greeting.jar -C library .
	zip -qrX greeting.zip java
	javac --release 17 -cp "$jars/*:library" -d classes function/example/*.java
	(cd classes && zip -qrX ../function.zip .)
	jlink --add-modules java.base,java.logging,java.management,java.xml,jdk.unsupported \
		--strip-java-debug-attributes --no-header-files --no-man-pages --output layer/jre
	strip --strip-unneeded layer/jre/lib/server/libjvm.so
	chmod +x layer/bootstrap
	mv "$jars" layer/java/lib
	(cd layer && zip -qrX1 ../layer.zip .)
	find . -mindepth 1 -maxdepth 1 ! -name '*.zip' -exec rm -r {} +
	;;
esac
