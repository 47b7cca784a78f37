"""For every code of a finding a layer that has the fault, and its mended twin."""

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.unit.layers.doctor.elves import elf, executable
from tests.unit.layers.doctor.making import File, zipped

from lamella.layers.doctor import Advisories

Files: TypeAlias = Mapping[str, bytes | str | File]
SITE = "python/lib/python3.12/site-packages"
GLIBC_NEW = [("libc.so.6", "GLIBC_2.38")]
GLIBC_OLD = [("libc.so.6", "GLIBC_2.17")]
MIB = 1024 * 1024


@dataclass(frozen=True)
class Case:
    """A fault.

    Attributes:
        bad: The layers that have it, in order.
        good: Their mended twins.
        words: That the finding must say, in its reason, place or remedy.
    """

    code: str
    bad: Sequence[Files | bytes]
    good: Sequence[Files | bytes]
    words: Sequence[str] = ()
    runtimes: Sequence[str] = ()
    architectures: Sequence[str] = ("x86_64",)
    good_architectures: Sequence[str] | None = None
    good_runtimes: Sequence[str] | None = None
    advisories: Advisories | None = None
    code_bytes: int = 0
    good_code_bytes: int = 0
    about: str = field(default="")

    @property
    def name(self) -> str:
        return f"{self.code}: {self.about}" if self.about else self.code


def wheel(
    name: str,
    version: str,
    *,
    site: str = SITE,
    tag: str = "py3-none-any",
    headers: str = "",
    files: Files | None = None,
) -> dict[str, bytes | str | File]:
    """What an installer leaves of a wheel."""
    info = f"{site}/{name.replace('-', '_')}-{version}.dist-info"
    modules = files if files is not None else {f"{name.replace('-', '_')}/__init__.py": "x = 1\n"}
    return {
        **{f"{site}/{path}": content for path, content in modules.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nTag: {tag}\n",
        f"{info}/RECORD": "".join(f"{path},,\n" for path in modules),
    }


def module(name: str, version: str = "1.0.0", directory: str = "nodejs/node_modules", **more: object) -> dict[str, str]:
    """A package of Node.js."""
    return {
        f"{directory}/{name}/package.json": json.dumps({"name": name, "version": version, **more}),
        f"{directory}/{name}/index.js": "module.exports = 1\n",
    }


def jar(version: int, *, artifact: str = "acme:mine:1.0") -> bytes:
    """A jar with a class of this class file version."""
    group, name, release = artifact.split(":")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mine/Main.class", b"\xca\xfe\xba\xbe" + struct.pack(">HH", 0, version))
        archive.writestr(
            f"META-INF/maven/{group}/{name}/pom.properties", f"groupId={group}\nartifactId={name}\nversion={release}\n"
        )
    return buffer.getvalue()


def large(size: int) -> bytes:
    """A zip archive that is as large as this."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        info = zipfile.ZipInfo("python/data.bin")
        info.external_attr = 0o100644 << 16
        archive.writestr(info, bytes(size))
    return buffer.getvalue()


def lying(size: int) -> bytes:
    """A zip archive that says of its one file that it is larger than it is."""
    archive = bytearray(zipped({"python/data.bin": bytes(100)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = archive.index(signature) + offset
        archive[at : at + 4] = struct.pack("<I", size)
    return bytes(archive)


def broken(files: Files) -> bytes:
    """A zip archive whose first file has a wrong checksum."""
    archive = bytearray(zipped(files))
    for signature, offset in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        archive[archive.index(signature) + offset] ^= 0xFF
    return bytes(archive)


def encrypted() -> bytes:
    """A zip archive whose file says that it is encrypted."""
    archive = bytearray(zipped({"python/mine.py": "x = 1\n"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + offset] |= 1
    return bytes(archive)


def script(text: str) -> File:
    return File(text.encode(), 0o755)


LOOP = """#!/bin/sh
while true; do
  curl -sS -D headers "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next" > event
  curl -sS "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$ID/response" -d @event
done
# or, if it does not start: /2018-06-01/runtime/init/error
"""
PYTHON_BOOTSTRAP = """#!/opt/bin/python3
import importlib, json, os, sys, urllib.request
sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
base = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime"
try:
    handler = importlib.import_module(os.environ["_HANDLER"].rsplit(".", 1)[0])
except Exception:
    urllib.request.urlopen(f"{base}/init/error", b"{}")
    sys.exit(1)
while True:
    answer = urllib.request.urlopen(f"{base}/invocation/next")
    trace = answer.headers.get("Lambda-Runtime-Trace-Id")
    os.environ["_X_AMZN_TRACE_ID"] = trace or ""
    urllib.request.urlopen(f"{base}/invocation/ID/response", b"1")
"""
PYTHON = {"bin/python3": File(executable(), 0o755)}
EXTENSION = """#!/usr/bin/env python3
import json, os, urllib.request
urllib.request.urlopen(f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2020-01-01/extension/register", b"{}")
urllib.request.urlopen(f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2022-07-01/telemetry", b"{}")
"""
BOTO = {**wheel("boto3", "1.40.0"), **wheel("botocore", "1.40.0")}
OSV = {
    "id": "GHSA-xxxx-yyyy-zzzz",
    "aliases": ["CVE-2018-18074"],
    "summary": "Credentials are sent over HTTP",
    "database_specific": {"severity": "HIGH"},
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Requests"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.20.0"}]}],
        }
    ],
}
KEY = "AKIA" + "QWERTZUIOPASDFGH"

CASES: Sequence[Case] = (
    Case("refused-entry", [{"../x": "", "python/a.py": ""}], [{"x": "", "python/a.py": ""}], ["leads out"]),
    Case("empty-layer", [{}], [{"python/a.py": ""}], ["no file"]),
    Case("parent-folder", [{"layer/python/a.py": ""}], [{"python/a.py": ""}], ["/opt/layer/", "(cd layer && zip -r"]),
    Case("parent-folder", [{"opt/bootstrap": script(LOOP)}], [{"bootstrap": script(LOOP)}], ["/opt/opt/"], about="opt"),
    Case(
        "package-at-top",
        [{"requests/__init__.py": "", "requests-2.32.0.dist-info/METADATA": "Name: requests\nVersion: 2.32.0\n"}],
        [{"python/requests/__init__.py": ""}],
        ["requests", "No module named", "python/"],
        ["python3.12"],
    ),
    Case(
        "wrong-python-directory",
        [{f"{SITE}/a.py": ""}],
        [{"python/lib/python3.11/site-packages/a.py": ""}],
        ["python3.11 does not search", "No module named"],
        ["python3.11"],
    ),
    Case(
        "unsearched-directory",
        [{"python/site-packages/a.py": ""}],
        [{"python/a.py": ""}],
        ["/opt/python/site-packages"],
        ["python3.12"],
    ),
    Case(
        "unsearched-directory",
        [{"nodejs/lodash/package.json": "{}"}],
        [module("lodash")],
        ["nodejs/lodash", "npm install --prefix"],
        ["nodejs22.x"],
        about="node",
    ),
    Case("modules-at-top", [module("axios", directory="node_modules")], [module("axios")], ["/opt/node_modules"]),
    Case(
        "wrong-node-directory",
        [module("axios", directory="nodejs/node20/node_modules")],
        [module("axios", directory="nodejs/node22/node_modules")],
        ["nodejs22.x does not search"],
        ["nodejs22.x"],
    ),
    Case(
        "jar-outside-java-lib",
        [{"lib/mine.jar": jar(61)}],
        [{"java/lib/mine.jar": jar(61)}],
        ["/opt/java/lib", "ClassNotFoundException"],
        ["java21"],
    ),
    Case("lib64-directory", [{"lib64/libx.so.1": elf()}], [{"lib/libx.so.1": elf()}], ["/opt/lib64"]),
    Case(
        "bootstrap-in-folder",
        [{"runtime/bootstrap": script(LOOP)}],
        [{"bootstrap": script(LOOP)}],
        ["/opt/bootstrap", "couldn't find valid bootstrap"],
        ["provided.al2023"],
    ),
    Case(
        "bootstrap-unused",
        [{"bootstrap": script(LOOP)}],
        [{"bootstrap": script(LOOP)}],
        ["python3.12 has its own"],
        ["python3.12"],
        good_runtimes=["provided.al2023"],
    ),
    Case(
        "extension-in-folder",
        [{"extensions/mine/start": script("#!/bin/sh\n")}],
        [{"extensions/mine": script("#!/bin/sh\n")}],
        ["never started"],
    ),
    Case(
        "too-many-extensions",
        [{f"extensions/e{number}": script("#!/bin/sh\n") for number in range(11)}],
        [{f"extensions/e{number}": script("#!/bin/sh\n") for number in range(10)}],
        ["11 extensions", "at most 10"],
    ),
    Case("no-known-directory", [{"fonts/a.ttf": "x"}], [{"lib/fonts/a.ttf": "x"}], ["fonts"]),
    Case("junk", [{"python/a.py": "", "__MACOSX/._a.py": "x"}], [{"python/a.py": ""}], ["__MACOSX"]),
    Case(
        "stale-bytecode",
        [{"python/__pycache__/a.cpython-39.pyc": "x"}],
        [{"python/__pycache__/a.cpython-312.pyc": "x"}],
        ["bytecode", "3.12"],
        ["python3.12"],
    ),
    Case(
        "deprecated-runtime",
        [module("a")],
        [module("a")],
        ["nodejs18.x", "2025-09-01"],
        ["nodejs18.x"],
        good_runtimes=["nodejs24.x"],
    ),
    Case("damaged-file", [broken({"python/a.py": "x = 1\n"})], [{"python/a.py": "x = 1\n"}], ["CRC"]),
    Case("damaged-file", [{"lib/libx.so": elf()[:80]}], [{"lib/libx.so": elf()}], ["cut off"], about="ELF"),
    Case("damaged-file", [lying(5000)], [{"python/data.bin": bytes(100)}], [], about="lying about its size"),
    Case("encrypted-file", [encrypted()], [{"python/mine.py": "x = 1\n"}], ["password"]),
    Case(
        "too-large",
        [{"python/a.py": ""}],
        [{"python/a.py": ""}],
        ["250 MB", "262,144,000", "exceeds the maximum allowed size"],
        code_bytes=250 * MIB + 1,
    ),
    Case("too-large", [lying(1400 * MIB)], [{"python/data.bin": ""}], ["250 MB"], about="by itself"),
    Case("near-limit", [{"python/a.py": "x = 1\n"}], [{"python/a.py": "x = 1\n"}], ["250 MB"], code_bytes=240 * MIB),
    Case("over-direct-upload", [large(51 * MIB)], [large(1024)], ["50 MB", "aws s3 cp"]),
    Case("not-read", [lying(1400 * MIB)], [{"python/data.bin": ""}], ["only names and sizes"]),
    Case(
        "too-many-layers",
        [{f"python/{number}.py": ""} for number in range(6)],
        [{f"python/{number}.py": ""} for number in range(5)],
        ["6 layers", "Cannot reference more than 5"],
    ),
    Case(
        "wrong-architecture",
        [{f"{SITE}/fast.abi3.so": elf("arm64")}],
        [{f"{SITE}/fast.abi3.so": elf("x86_64")}],
        ["arm64", "--architecture x86_64"],
        ["python3.12"],
    ),
    Case(
        "wrong-architecture",
        [{"bin/git": File(executable("x86_64"), 0o755)}],
        [{"bin/git": File(executable("arm64"), 0o755)}],
        ["exec format error", "--architecture arm64"],
        architectures=["arm64"],
        about="program",
    ),
    Case(
        "one-architecture",
        [{f"{SITE}/fast.abi3.so": elf()}],
        [{f"{SITE}/fast.abi3.so": elf()}],
        ["arm64 and x86_64", "one layer version for each architecture"],
        ["python3.12"],
        ["x86_64", "arm64"],
        good_architectures=["x86_64"],
    ),
    Case(
        "foreign-binary",
        [{"lib/libx.dylib": b"\xcf\xfa\xed\xfe" + bytes(100)}],
        [{"lib/libx.so": elf()}],
        ["macOS"],
    ),
    Case(
        "unused-prebuild",
        [
            {
                **module("fast"),
                "nodejs/node_modules/fast/prebuilds/linux-x64/fast.node": elf(symbols=["napi_register_module_v1"]),
                "nodejs/node_modules/fast/prebuilds/darwin-arm64/fast.node": b"\xcf\xfa\xed\xfe" + bytes(50),
                "nodejs/node_modules/fast/prebuilds/linux-arm64/fast.node": elf("arm64"),
            }
        ],
        [{**module("fast"), "nodejs/node_modules/fast/prebuilds/linux-x64/fast.node": elf()}],
        ["2 binaries for other platforms"],
    ),
    Case(
        "missing-library",
        [{"bin/git": File(executable(needed=["libpcre9.so.0", "libc.so.6"]), 0o755)}],
        [{"bin/git": File(executable(needed=["libpcre9.so.0", "libc.so.6"]), 0o755), "lib/libpcre9.so.0": elf()}],
        ["bin/git needs libpcre9.so.0", "cannot open shared object file", "/opt/lib"],
        ["provided.al2023"],
    ),
    Case(
        "missing-library",
        [{"bin/x": File(executable(needed=["liba.so.1"]), 0o755), "lib/liba.so.1": elf(needed=["libb.so.1"])}],
        [
            {
                "bin/x": File(executable(needed=["liba.so.1"]), 0o755),
                "lib/liba.so.1": File(b"liba.so.1.2", 0o120777),
                "lib/liba.so.1.2": elf(needed=["libb.so.1"]),
                "lib/libb.so.1": elf(),
            }
        ],
        ["lib/liba.so.1 needs libb.so.1"],
        about="of a library",
    ),
    Case(
        "library-not-found",
        [{"bin/gs": File(executable(needed=["libgs.so.9"]), 0o755), "native/libgs.so.9": elf()}],
        [{"bin/gs": File(executable(needed=["libgs.so.9"]), 0o755), "lib/libgs.so.9": elf()}],
        ["native/libgs.so.9", "/opt/lib", "mv native/libgs.so.9 lib/"],
    ),
    Case(
        "library-not-found",
        [{"bin/gs": File(executable(needed=["libgs.so.9"]), 0o755), "native/libgs.so.9": elf()}],
        [
            {
                "bin/gs": File(executable(needed=["libgs.so.9"], runpath="$ORIGIN/../native"), 0o755),
                "native/libgs.so.9": elf(),
            }
        ],
        about="RUNPATH",
    ),
    Case(
        "library-not-found",
        [
            {
                "bin/convert": File(executable(rpath="/opt/magick/more"), 0o755),
                "magick/coders/png.so": elf(needed=["libpng16.so.16"]),
                "magick/lib/libpng16.so.16": elf(needed=["libdeflate.so.0"]),
                "magick/lib/libdeflate.so.0": elf(),
            }
        ],
        [
            {
                "bin/convert": File(executable(rpath="/opt/magick/lib"), 0o755),
                "magick/coders/png.so": elf(needed=["libpng16.so.16"]),
                "magick/lib/libpng16.so.16": elf(needed=["libdeflate.so.0"]),
                "magick/lib/libdeflate.so.0": elf(),
            }
        ],
        ["magick/coders/png.so needs libpng16.so.16"],
        about="plug-ins of a program",
    ),
    Case(
        "library-not-promised",
        [{"bin/curl": File(executable(needed=["libcurl.so.4"]), 0o755)}],
        [{"bin/curl": File(executable(needed=["libcurl.so.4"]), 0o755), "lib/libcurl.so.4": elf()}],
        ["not known to be"],
        ["provided.al2023"],
    ),
    Case(
        "glibc-too-new",
        [{f"{SITE}/_rust.abi3.so": elf(needed=["libc.so.6"], wants=GLIBC_NEW)}],
        [{f"{SITE}/_rust.abi3.so": elf(needed=["libc.so.6"], wants=GLIBC_OLD)}],
        ["_rust.abi3.so", "GLIBC_2.38", "glibc 2.34", "Amazon Linux 2023"],
        ["python3.12"],
    ),
    Case(
        "glibc-too-new",
        [{"python/_rust.abi3.so": elf(needed=["libc.so.6"], wants=[("libc.so.6", "GLIBC_2.28")])}],
        [{"python/_rust.abi3.so": elf(needed=["libc.so.6"], wants=[("libc.so.6", "GLIBC_2.28")])}],
        ["GLIBC_2.28", "glibc 2.26", "python3.11"],
        ["python3.11", "python3.12"],
        good_runtimes=["python3.12"],
        about="on Amazon Linux 2 alone",
    ),
    Case(
        "libstdcxx-too-new",
        [{"lib/libx.so.1": elf(needed=["libstdc++.so.6"], wants=[("libstdc++.so.6", "GLIBCXX_3.4.32")])}],
        [{"lib/libx.so.1": elf(needed=["libstdc++.so.6"], wants=[("libstdc++.so.6", "GLIBCXX_3.4.29")])}],
        ["GLIBCXX_3.4.32", "GLIBCXX_3.4.29"],
    ),
    Case(
        "libstdcxx-too-new",
        [
            {
                "lib/libx.so.1": elf(needed=["libstdc++.so.6"], wants=[("libstdc++.so.6", "GLIBCXX_3.4.32")]),
                "lib/libstdc++.so.6": elf(has=["GLIBCXX_3.4.32"]),
            }
        ],
        [
            {
                "lib/libx.so.1": elf(
                    needed=["libstdc++.so.6"], wants=[("libstdc++.so.6", "GLIBCXX_3.4.32")], rpath="/opt/lib"
                ),
                "lib/libstdc++.so.6": elf(has=["GLIBCXX_3.4.32"]),
            }
        ],
        about="a copy in /opt/lib comes after /lib64",
    ),
    Case(
        "musl-binary",
        [{f"{SITE}/fast.abi3.so": elf(needed=["libc.musl-x86_64.so.1"])}],
        [{f"{SITE}/fast.abi3.so": elf(needed=["libc.so.6"])}],
        ["Alpine", "libc.musl-x86_64.so.1"],
        ["python3.12"],
    ),
    Case(
        "musl-binary",
        [{"bin/fast": File(executable(needed=["libc.so"]), 0o755)}],
        [
            {
                **module("fast"),
                "nodejs/node_modules/fast/prebuilds/linux-x64/fast.musl.node": elf(needed=["libc.so"]),
                "nodejs/node_modules/fast/prebuilds/linux-x64/fast.glibc.node": elf(needed=["libc.so.6"]),
            }
        ],
        ["bin/fast"],
        about="as its own makers name it",
    ),
    Case(
        "not-executable",
        [{"bootstrap": File(LOOP.encode(), 0o644)}],
        [{"bootstrap": script(LOOP)}],
        ["0644", "permission denied", "chmod 755 bootstrap"],
        ["provided.al2023"],
    ),
    Case(
        "not-executable",
        [{"extensions/mine": File(executable(), 0o644)}],
        [{"extensions/mine": File(executable(), 0o755)}],
        ["chmod 755"],
        about="extension",
    ),
    Case("not-readable", [{"python/a.py": File(b"", 0o600)}], [{"python/a.py": ""}], ["0600", "go+rX"]),
    Case(
        "missing-interpreter",
        [{"bootstrap": script(PYTHON_BOOTSTRAP.replace("/opt/bin/python3", "/usr/bin/env python3"))}],
        [{"bootstrap": script(PYTHON_BOOTSTRAP), **PYTHON}],
        ["/usr/bin/env python3", "provided.al2023", "no Python"],
        ["provided.al2023"],
        about="a bootstrap in Python",
    ),
    Case(
        "missing-interpreter",
        [{"extensions/telemetry": script(EXTENSION)}],
        [{"extensions/telemetry": script(EXTENSION)}],
        ["/usr/bin/env python3", "provided.al2023"],
        ["provided.al2023"],
        good_runtimes=["python3.12"],
        about="an extension in Python",
    ),
    Case(
        "missing-interpreter",
        [{"bin/x": File(executable().replace(b"/lib64/ld-linux-x86-64", b"/nix99/ld-linux-x86-64"), 0o755)}],
        [{"bin/x": File(executable(), 0o755)}],
        ["/nix99/ld-linux-x86-64.so.2"],
        about="the loader of a program",
    ),
    Case(
        "windows-line-ends",
        [{"bootstrap": script(LOOP.replace("\n", "\r\n"))}],
        [{"bootstrap": script(LOOP)}],
        ["CRLF", "bad interpreter", "sed -i"],
        ["provided.al2023"],
    ),
    Case(
        "no-shebang",
        [{"bootstrap": script("echo hello\n")}],
        [{"bootstrap": script("#!/bin/sh\necho hello\n")}],
        ["exec format error"],
        ["provided.al2023"],
    ),
    Case(
        "import-not-vendored",
        [{"bootstrap": script(PYTHON_BOOTSTRAP.replace("import importlib", "import requests, importlib")), **PYTHON}],
        [
            {
                "bootstrap": script(PYTHON_BOOTSTRAP.replace("import importlib", "import requests, importlib")),
                "requests/__init__.py": "",
                **PYTHON,
            }
        ],
        ["requests", "ModuleNotFoundError", "urllib"],
        ["provided.al2023"],
    ),
    Case(
        "import-not-vendored",
        [{"extensions/telemetry": script(EXTENSION + "import requests\n"), **wheel("requests", "2.32.0")}],
        [{"extensions/telemetry": script(EXTENSION + "import boto3\n")}],
        ["requests", "not on the search path of this script", "Only boto3"],
        ["python3.12"],
        about="an extension",
    ),
    Case(
        "no-init-error",
        [{"bootstrap": script(LOOP.replace("init/error", ""))}],
        [{"bootstrap": script(LOOP)}],
        ["init/error"],
        ["provided.al2023"],
    ),
    Case(
        "no-answer",
        [{"bootstrap": script(LOOP.replace("/response", ""))}],
        [{"bootstrap": script(LOOP)}],
        ["again and again until the function times out"],
        ["provided.al2023"],
    ),
    Case(
        "handler-not-on-path",
        [
            {
                "bootstrap": script(PYTHON_BOOTSTRAP.replace('sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])', "")),
                **PYTHON,
            }
        ],
        [{"bootstrap": script(PYTHON_BOOTSTRAP), **PYTHON}],
        ["/var/task", "LAMBDA_TASK_ROOT"],
        ["provided.al2023"],
    ),
    Case(
        "environment-none",
        [
            {
                "bootstrap": script(PYTHON_BOOTSTRAP.replace('trace or ""', "context.get('trace_id', '')")),
                **PYTHON,
            }
        ],
        [{"bootstrap": script(PYTHON_BOOTSTRAP), **PYTHON}],
        ["TypeError"],
        ["provided.al2023"],
    ),
    Case(
        "no-subscription",
        [{"extensions/telemetry-extension": script(EXTENSION.replace("2022-07-01/telemetry", "2020-01-01/extension"))}],
        [{"extensions/telemetry-extension": script(EXTENSION)}],
        ["Telemetry API"],
        ["python3.12"],
    ),
    Case(
        "wrong-python-abi",
        [{"python/fast.cpython-312-x86_64-linux-gnu.so": elf()}],
        [{"python/fast.cpython-311-x86_64-linux-gnu.so": elf()}],
        ["Python 3.12", "python3.11 does not see it", "No module named fast", "--runtime python3.11"],
        ["python3.11"],
    ),
    Case(
        "wrong-wheel",
        [wheel("fast", "1.0", site="python", tag="cp312-cp312-manylinux_2_17_x86_64")],
        [wheel("fast", "1.0", site="python", tag="cp38-abi3-manylinux_2_17_x86_64")],
        ["cp312-cp312-manylinux_2_17_x86_64", "Python 3.12", "python3.11"],
        ["python3.11"],
    ),
    Case(
        "wrong-wheel",
        [wheel("fast", "1.0", tag="cp312-cp312-musllinux_1_2_x86_64")],
        [wheel("fast", "1.0", tag="cp312-cp312-manylinux2014_x86_64")],
        ["musl"],
        ["python3.12"],
        about="musl",
    ),
    Case(
        "requires-python",
        [wheel("new", "1.0", headers="Requires-Python: >=3.13")],
        [wheel("new", "1.0", headers="Requires-Python: >=3.9")],
        [">=3.13", "python3.12"],
        ["python3.12"],
    ),
    Case(
        "missing-dependency",
        [wheel("pandas", "2.1.4", headers="Requires-Dist: numpy>=1.26\nRequires-Dist: six; extra == 'x'")],
        [{**wheel("pandas", "2.1.4", headers="Requires-Dist: numpy>=1.26"), **wheel("numpy", "1.26.3")}],
        ["pandas needs numpy>=1.26"],
        ["python3.12"],
    ),
    Case(
        "wrong-dependency",
        [{**wheel("pandas", "2.1.4", headers="Requires-Dist: numpy<2"), **wheel("numpy", "2.0.0")}],
        [{**wheel("pandas", "2.1.4", headers="Requires-Dist: numpy<2"), **wheel("numpy", "1.26.3")}],
        ["numpy<2", "2.0.0"],
        ["python3.12"],
    ),
    Case(
        "incomplete-package",
        # What a well-known listing does: it takes `layer/` out of the middle of names.
        [
            {
                f"{SITE}/some__init__.py" if "__init__" in name else name: content
                for name, content in wheel("somelayer", "1.0").items()
            }
        ],
        [wheel("somelayer", "1.0")],
        ["somelayer/__init__.py"],
        ["python3.12"],
    ),
    Case(
        "wrong-node-abi",
        [
            {
                **module("sqlite"),
                "nodejs/node_modules/sqlite/build/sqlite.node": elf(symbols=["node_register_module_v115"]),
            }
        ],
        [
            {
                **module("sqlite"),
                "nodejs/node_modules/sqlite/build/sqlite.node": elf(symbols=["node_register_module_v127"]),
            }
        ],
        ["NODE_MODULE_VERSION 115", "Node.js 20", "nodejs22.x has 127"],
        ["nodejs22.x"],
    ),
    Case(
        "wrong-prebuild",
        [
            {
                **module("@img/sharp-darwin-arm64"),
                "nodejs/node_modules/@img/sharp-darwin-arm64/lib/sharp.node": b"\xcf\xfa\xed\xfe" + bytes(50),
            }
        ],
        [{**module("@img/sharp-linux-x64"), "nodejs/node_modules/@img/sharp-linux-x64/lib/sharp.node": elf()}],
        ["@img/sharp-darwin-arm64", "none for Linux", "--cpu=x64"],
        ["nodejs22.x"],
    ),
    Case(
        "node-engines",
        [module("new", engines={"node": ">=24"})],
        [module("new", engines={"node": "^18.0.0 || >=20.9"})],
        [">=24", "nodejs22.x"],
        ["nodejs22.x"],
    ),
    Case(
        "class-too-new",
        [{"java/lib/mine.jar": jar(65)}],
        [{"java/lib/mine.jar": jar(61)}],
        ["Java 21", "java17", "UnsupportedClassVersionError"],
        ["java17"],
    ),
    Case("shipped-by-runtime", [BOTO], [wheel("requests", "2.32.0")], ["boto3 1.40.0", "wasted"], ["python3.12"]),
    Case(
        "shipped-by-runtime",
        [module("aws-sdk")],
        [module("aws-sdk")],
        ["aws-sdk 1.0.0"],
        ["nodejs16.x"],
        good_runtimes=["nodejs22.x"],
        about="Node.js",
    ),
    Case(
        "shipped-by-runtime",
        [{**BOTO, **wheel("powertools", "3.0", headers="Requires-Dist: boto3; extra == 'all'")}],
        [{**wheel("six", "1.17.0"), **wheel("dateutils", "1.0", headers="Requires-Dist: six>=1.5")}],
        ["boto3 1.40.0", "--slim keeps it"],
        ["python3.12"],
        about="what another package requires",
    ),
    Case(
        "shipped-by-runtime",
        [{**module("@aws-sdk/client-s3"), **module("@smithy/node-http-handler")}],
        [{**module("@smithy/node-http-handler"), **module("@aws-sdk/util-utf8")}],  # which functions do not find
        ["@aws-sdk/client-s3 1.0.0 is part of nodejs22.x already", "this very version"],
        ["nodejs22.x"],
        about="SDK v3",
    ),
    Case(
        "duplicate-package",
        [wheel("requests", "2.31.0"), wheel("requests", "2.32.0")],
        [wheel("requests", "2.32.0"), wheel("idna", "3.0")],
        ["layer-1 has 2.31.0", "layer-2 has 2.32.0"],
        ["python3.12"],
    ),
    Case(
        "overridden-files", [{"lib/a": "1"}, {"lib/a": "22"}], [{"lib/a": "1"}, {"lib/b": "22"}], ["layer-1", "lib/a"]
    ),
    Case(
        "duplicate-in-layer",
        [{**wheel("idna", "3.1", site="python"), **wheel("idna", "3.0", site="python")}],
        [wheel("idna", "3.1", site="python")],
        ["3.0 in python/idna-3.0.dist-info"],
        ["python3.12"],
    ),
    Case(
        "vulnerable-package",
        [wheel("requests", "2.19.1")],
        [wheel("requests", "2.20.0")],
        ["CVE-2018-18074", "Credentials are sent", "2.20.0"],
        ["python3.12"],
        advisories=Advisories.of_records([OSV]),
    ),
    Case(
        "secret", [{"python/config.py": f"KEY = '{KEY}'\n"}], [{"python/config.py": "KEY = None\n"}], ["Line 1", "AWS"]
    ),
    Case("secret-sample", [{"python/tests/a.py": f"'{KEY}'"}], [{"python/tests/a.py": "''"}], ["probably an example"]),
    Case("private-file", [{"python/.env": "A=1"}], [{"python/env.py": "A=1"}], ["python/.env"]),
    Case("private-file", [{".git/HEAD": "x", "python/a.py": ""}], [{"python/a.py": ""}], [".git/HEAD"], about="git"),
)
"""In the order of the reference page. `two-versions` needs ARNs for labels and has a test of its own."""
