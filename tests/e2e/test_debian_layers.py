"""Programs of Debian packages, run from a layer in the sandbox, and built for the other architecture."""

import io
import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.functions import PRELUDE, create
from tests.support.layers import publish

from lamella.domain.function import Architecture
from lamella.elf import is_elf, read_elf
from lamella.layers.build.debian import DebianSource
from lamella.layers.build.sources import Target
from lamella.layers.errors import LayerBuildError

needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt")
LEAVE_OUT: Final = ("usr/bin/scalar", "usr/lib/git-core/git-[ahi]*", "usr/lib/git-core/git-remote-*", "*/coders/[!gp]*")
"""Keeps the layer of the test small."""

USES_PROGRAMS: Final = f"""{PRELUDE}
export HOME=/tmp GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
try() {{
    set -e
    git init -q --bare /tmp/origin
    git clone -q /tmp/origin /tmp/work 2>/dev/null
    cd /tmp/work && convert -size 60x40 gradient:red-blue picture.png && git add . && git commit -qm one && git push -q
    git clone -q file:///tmp/origin /tmp/again
    identify -format '%m %wx%h' /tmp/again/picture.png
}}
while next; do rm -rf /tmp/origin /tmp/work /tmp/again; respond "$( (try) 2>&1 | json)"; done
"""


def silent(message: str) -> None:
    del message


def zipped(directory: Path) -> bytes:
    """A zip of a directory, with its links as links."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(directory.rglob("*")):
            status = path.lstat()
            info = zipfile.ZipInfo(str(path.relative_to(directory)))
            info.external_attr = status.st_mode << 16
            if stat.S_ISLNK(status.st_mode):
                archive.writestr(info, os.fsencode(path.readlink()))
            elif stat.S_ISREG(status.st_mode):
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, path.read_bytes(), compresslevel=1)
    return buffer.getvalue()


@needs_apt
@pytest.mark.network
@pytest.mark.sandbox
def test_git_and_imagemagick_run_in_the_sandbox(client: Any, tmp_path: Path) -> None:
    machine = {"x86_64": Architecture.X86_64, "aarch64": Architecture.ARM64}[os.uname().machine]
    source = DebianSource(packages=("git", "imagemagick"), programs=("git", "convert", "identify"), leave_out=LEAVE_OUT)
    collected = source.collect(Target(("provided.al2023",), machine), tmp_path, silent)
    names = {package.name for package in collected.packages}
    assert {"git", "imagemagick-6.q16", "libpng16-16", "zlib1g"} <= names
    assert "perl" not in names
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["convert", "git", "identify"]
    function = create(client, {"bootstrap": USES_PROGRAMS}, Layers=[publish(client, zipped(tmp_path))], MemorySize=512)
    assert function.invoke().document == "PNG 60x40"


@needs_apt
@pytest.mark.network
def test_packages_of_the_other_architecture_and_the_same_files_each_time(tmp_path: Path) -> None:
    built = []
    for name, umask in (("one", 0o022), ("two", 0o077)):
        (tmp_path / name).mkdir()
        before = os.umask(umask)
        try:
            target = Target(("python3.12",), Architecture.ARM64)
            source = DebianSource(packages=("jq",), programs=("jq",), libraries=("libonig.so.5",))
            collected = source.collect(target, tmp_path / name, silent)
        finally:
            os.umask(before)
        built.append(zipped(tmp_path / name))
    assert built[0] == built[1]
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file() and is_elf(path)]
    assert {path.name for path in files} >= {"jq", "libjq.so.1", "libonig.so.5"}
    assert {read_elf(path).machine for path in files} == {"EM_AARCH64"}
    one = tmp_path / "one"
    assert (one / "lib/libonig.so.5").read_bytes() == (one / "debian/lib/libonig.so.5").read_bytes()
    assert "License: MIT" in (one / "debian/usr/share/doc/jq/copyright").read_text()
    (jq,) = [package for package in collected.packages if package.name == "jq"]
    assert (jq.licence, jq.purl.startswith("pkg:deb/debian/jq@1.")) == ("MIT", True)


@needs_apt
@pytest.mark.network
def test_what_is_not_to_be_had_is_named(tmp_path: Path) -> None:
    target = Target((), Architecture.ARM64)
    for source, words in (
        (DebianSource(packages=("no-such-package-at-all",)), r"check its name.*\nE: Unable to locate package"),
        (DebianSource(packages=("jq; rm -rf /",)), "is not the name of a Debian package"),
        (DebianSource(packages=("libonig5",), programs=("onig",)), "have no program onig; they have none at all"),
    ):
        with pytest.raises(LayerBuildError, match=words):
            source.collect(target, tmp_path, silent)
