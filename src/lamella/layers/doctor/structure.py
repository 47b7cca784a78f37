"""Whether things lie where a runtime looks for them."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import PurePosixPath
from typing import Final

from lamella.domain.runtimes import RUNTIMES
from lamella.layers.doctor.subject import CheckedLayer, Subject, listed, megabytes, others
from lamella.layers.facts import Language
from lamella.layers.findings import Finding

KNOWN: Final = frozenset({"python", "nodejs", "java", "ruby", "bin", "lib", "extensions", "bootstrap", "dotnetcore"})
"""What means something at the top of a layer."""

_PARENT_NAMES: Final = frozenset({"opt", "layer", "layers", "package", "build", "dist", "target", "src", "output"})
_JUNK: Final = re.compile(r"(?:^|/)(?:__MACOSX(?:/|$)|\.DS_Store$|Thumbs\.db$|desktop\.ini$|\._[^/]+$)")
_BYTECODE: Final = re.compile(r"\.cpython-(\d)(\d+)(?:\.opt-[12])?\.pyc$")
_EXTENSIONS_MOST: Final = 10  # developer guide, "runtimes-extensions-api"
_ZIP_AGAIN: Final = "Zip the directory anew, from inside it: (cd DIR && zip -r ../layer.zip .)"


def refused(subject: Subject) -> Iterator[Finding]:
    """What `PublishLayerVersion` would refuse."""
    for layer in subject.layers:
        if not layer.contents.entries and not layer.contents.problems:
            yield layer.finding("empty-layer", "", "There is no file in it.", "(cd DIR && zip -r ../layer.zip .)")
        for problem in layer.contents.problems:
            yield layer.finding("refused-entry", problem.name, f"The entry {problem.detail}.", _ZIP_AGAIN)


def damaged(subject: Subject) -> Iterator[Finding]:
    """Files that cannot be read, or are not what they say."""
    for layer in subject.layers:
        for name, facts in layer.survey.files.items():
            if "encrypted" in facts.damage:
                yield layer.finding(
                    "encrypted-file", name, "It cannot be unpacked without a password.", "Zip it without a password"
                )
            elif facts.damage:
                yield layer.finding(
                    "damaged-file",
                    name,
                    f"The file {facts.damage}" if not facts.damage.startswith("Cannot") else facts.damage,
                    "Build or download it again, and zip it anew",
                )


def parent_folder(subject: Subject) -> Iterator[Finding]:
    """`layer/python/…` or `opt/…` instead of `python/…`."""
    for layer in subject.layers:
        folder = lone_folder(layer)
        if folder:
            yield layer.finding(
                "parent-folder",
                folder,
                f"What belongs into /opt lies in {folder}/, so it lands in /opt/{folder}/, where no runtime looks: "
                "imports fail, and a bootstrap or an extension in it never starts.",
                f"Zip what is inside: (cd {folder} && zip -r ../layer.zip .)",
            )


def lone_folder(layer: CheckedLayer) -> str:
    """The folder that stands for `/opt` by mistake; empty if there is none."""
    names = layer.contents.entries
    tops = {PurePosixPath(name).parts[0] for name in names}
    if any(top.endswith(".dist-info") for top in tops):
        return ""  # packages at the top, of which some have directories named so
    candidates = sorted(tops - KNOWN) if not tops & KNOWN else sorted(tops & _PARENT_NAMES)
    for top in candidates:
        if f"{top}/__init__.py" in names:
            continue
        below = {PurePosixPath(entry.name).parts[1] for entry in layer.contents.below(top)}
        if below & KNOWN:
            inner = next((name for name in sorted(below & _PARENT_NAMES) if not below & KNOWN), "")
            return f"{top}/{inner}" if inner else top
    return ""


def top_level(subject: Subject) -> Iterator[Finding]:
    """What lies at the top and belongs below."""
    for layer in subject.layers:
        names = layer.contents.entries
        tops = {PurePosixPath(name).parts[0] for name in names}
        packages = sorted(
            top
            for top in tops - KNOWN
            if top.endswith((".dist-info", ".egg-info")) or f"{top}/__init__.py" in names or _is_module(top)
        )
        if packages and subject.may_run(Language.PYTHON) and "bootstrap" not in tops:
            yield layer.finding(
                "package-at-top",
                packages[0],
                f"{listed(packages)}: Python packages at the top land in /opt, which is not on the module search path. "
                "The import fails with 'No module named …'.",
                "Put them into python/: pip install -t layer/python ... && (cd layer && zip -r ../layer.zip python)",
            )
        if "node_modules" in tops:
            yield layer.finding(
                "modules-at-top",
                "node_modules",
                "node_modules lands in /opt/node_modules, where Node.js does not look: 'Cannot find module'.",
                "Put it into nodejs/: npm install --prefix layer/nodejs ... && (cd layer && zip -r ../layer.zip "
                "nodejs)",
            )
        if not tops & KNOWN and not packages and "node_modules" not in tops and names and not lone_folder(layer):
            loose = not any(top.endswith(".jar") for top in tops)
            if loose and not any(_is_bootstrap(name) for name in names):
                yield layer.finding(
                    "no-known-directory",
                    "",
                    f"At the top there is {listed(sorted(tops))}, and nothing that a runtime looks for.",
                    "Right for data that the function reads from /opt; else see docs/how-to/layers.md for the layout",
                )


def _is_module(top: str) -> bool:
    return top.endswith((".py", ".abi3.so")) or ".cpython-" in top


def _is_bootstrap(name: str) -> bool:
    return PurePosixPath(name).name == "bootstrap"


def python_directories(subject: Subject) -> Iterator[Finding]:
    """`site-packages` of a version that no runtime has, and directories that are nearly right."""
    for layer in subject.layers:
        versions: dict[str, str] = {}
        nearly: dict[str, None] = {}
        for name in layer.contents.entries:
            parts = PurePosixPath(name).parts
            if parts[0] == "python" and "site-packages" in parts[:5]:
                at = parts.index("site-packages")
                directory = "/".join(parts[: at + 1])
                match = re.fullmatch(r"python/lib/python(\d\.\d+)/site-packages", directory)
                if match:
                    versions[match[1]] = directory
                elif at < len(parts) - 1:
                    nearly[directory] = None
            elif parts[0] == "lib" and re.fullmatch(r"lib/python\d\.\d+/site-packages/.*", name):
                nearly["/".join(parts[:3])] = None
        for directory in nearly:
            if subject.may_run(Language.PYTHON):
                yield layer.finding(
                    "unsearched-directory",
                    directory,
                    f"No runtime searches /opt/{directory}: the import fails with 'No module named …'.",
                    "Move what is in it to python/ or to python/lib/pythonX.Y/site-packages/",
                )
        flat = any(_holds_packages(entry.name) for entry in layer.contents.files())
        for runtime in subject.of(Language.PYTHON):
            if versions and runtime.version not in versions and not flat:
                directory = next(iter(versions.values()))
                yield layer.finding(
                    "wrong-python-directory",
                    directory,
                    f"{runtime.name} does not search it, but python/lib/python{runtime.version}/site-packages and "
                    "python. The import fails with 'No module named …'.",
                    f"lamella layer build ... --runtime {runtime.name}, or publish without {runtime.name} among the "
                    "compatible runtimes",
                    runtime=runtime.name,
                )


def _holds_packages(name: str) -> bool:
    return name.startswith("python/") and not name.startswith("python/lib/") and name.count("/") >= 1


def node_directories(subject: Subject) -> Iterator[Finding]:
    """`nodejs/nodeX/node_modules` of a version that no runtime has, and packages outside of `node_modules`."""
    for layer in subject.layers:
        versions: dict[str, str] = {}
        plain = False
        loose: dict[str, None] = {}
        for name in layer.contents.entries:
            match = re.match(r"nodejs/node(\d+)/node_modules/", name)
            if match:
                versions[match[1]] = match[0].rstrip("/")
            elif name.startswith("nodejs/node_modules/"):
                plain = True
            elif match := re.fullmatch(r"(nodejs/[^/]+)/package\.json", name):
                loose[match[1]] = None
        for runtime in subject.of(Language.NODE):
            if versions and runtime.version not in versions and not plain:
                yield layer.finding(
                    "wrong-node-directory",
                    next(iter(versions.values())),
                    f"{runtime.name} does not search it: it searches nodejs/node{runtime.version}/node_modules and "
                    "nodejs/node_modules. 'Cannot find module'.",
                    "Move the modules to nodejs/node_modules, which all versions search, or to "
                    f"nodejs/node{runtime.version}/node_modules",
                    runtime=runtime.name,
                )
        if loose and not plain and not versions and subject.may_run(Language.NODE):
            yield layer.finding(
                "unsearched-directory",
                next(iter(loose)),
                f"{listed(list(loose))}: a module right below nodejs/ is not found; Node.js searches "
                "/opt/nodejs/node_modules.",
                "npm install --prefix layer/nodejs ... puts modules into nodejs/node_modules",
            )


def jars(subject: Subject) -> Iterator[Finding]:
    """Jars that are not on the class path."""
    if not subject.may_run(Language.JAVA):
        return
    for layer in subject.layers:
        outside = [
            entry.name
            for entry in layer.contents.files()
            if entry.name.endswith(".jar")
            and not re.fullmatch(r"java/lib/[^/]+\.jar", entry.name)
            and (entry.name.startswith(("java/", "lib/")) or entry.name.count("/") <= 1)
            and not entry.name.startswith(("python/", "nodejs/", "ruby/", "bin/", "extensions/"))
        ]
        if outside:
            yield layer.finding(
                "jar-outside-java-lib",
                outside[0],
                f"The class path has the jars right in /opt/java/lib, not this one{others(outside)}: "
                "ClassNotFoundException.",
                "Move the jars to java/lib/, without directories below it",
            )


def libraries_in_lib64(subject: Subject) -> Iterator[Finding]:
    """`lib64/`, which is on no search path."""
    for layer in subject.layers:
        names = [entry.name for entry in layer.contents.below("lib64") if ".so" in entry.name]
        if names:
            yield layer.finding(
                "lib64-directory",
                "lib64",
                f"LD_LIBRARY_PATH has /opt/lib, not /opt/lib64: {listed(names)} is found only by files whose RPATH "
                "leads there.",
                "Move the libraries to lib/",
            )


def bootstrap(subject: Subject) -> Iterator[Finding]:
    """A bootstrap in a folder, or one that nobody starts."""
    for layer in subject.layers:
        names = layer.contents.entries
        if "bootstrap" in names:
            managed = [runtime.name for runtime in subject.runtimes if runtime.language is not Language.NATIVE]
            if managed and not subject.of(Language.NATIVE):
                yield layer.finding(
                    "bootstrap-unused",
                    "bootstrap",
                    f"{listed(managed)} has its own bootstrap and does not start this one.",
                    "Declare provided.al2023 as the compatible runtime, or leave the bootstrap out",
                )
            continue
        below = [
            entry.name
            for entry in layer.contents.files()
            if _is_bootstrap(entry.name)
            and entry.name.count("/") <= 2
            # botocore and others have modules of this name; a program is called just so
            and not entry.name.startswith(("python/", "nodejs/", "java/", "ruby/"))
        ]
        if below and subject.may_run(Language.NATIVE):
            folder = str(PurePosixPath(below[0]).parent)
            yield layer.finding(
                "bootstrap-in-folder",
                below[0],
                f'Lambda starts /opt/bootstrap, and this lands in /opt/{below[0]}: "couldn\'t find valid bootstrap".',
                f"Put it at the top of the zip: (cd {folder} && zip -r ../layer.zip .)",
            )


def extensions(subject: Subject) -> Iterator[Finding]:
    """Extensions in directories, and too many of them."""
    direct: dict[str, CheckedLayer] = {}
    for layer in subject.layers:
        entries = [entry for entry in layer.contents.below("extensions") if not _JUNK.search(entry.name)]
        files = [entry.name for entry in entries if entry.name.count("/") == 1 and entry.kind.value != "directory"]
        deeper = [entry.name for entry in entries if entry.name.count("/") > 1 and entry.kind.value == "file"]
        direct.update(dict.fromkeys(files, layer))
        if deeper and not any(name.count("/") == 1 and name not in _implied(deeper) for name in files):
            yield layer.finding(
                "extension-in-folder",
                deeper[0],
                "Lambda starts the files right in /opt/extensions; this lies in a directory below it and is never "
                "started.",
                "Put the program or script itself into extensions/, and what it needs elsewhere",
            )
    if len(direct) > _EXTENSIONS_MOST:
        layer = list(direct.values())[-1]
        yield layer.finding(
            "too-many-extensions",
            "extensions",
            f"There are {len(direct)} extensions, and Lambda starts at most {_EXTENSIONS_MOST}: init fails.",
            "Leave some out; every file in extensions/ counts",
        )


def _implied(names: list[str]) -> set[str]:
    return {"/".join(name.split("/")[:2]) for name in names}


def junk(subject: Subject) -> Iterator[Finding]:
    """What systems leave behind, and bytecode of other Pythons."""
    for layer in subject.layers:
        left = [entry for entry in layer.contents.files() if _JUNK.search(entry.name)]
        if left:
            yield layer.finding(
                "junk",
                left[0].name,
                f"{len(left)} file{'s' if len(left) > 1 else ''} that the system of the author left behind, "
                f"{megabytes(sum(entry.size_bytes for entry in left))}.",
                "zip -r ../layer.zip . -x '*.DS_Store' '__MACOSX/*'",
            )
        wanted = {runtime.version for runtime in subject.of(Language.PYTHON)}
        stale = [
            entry
            for entry in layer.contents.files()
            if wanted and (match := _BYTECODE.search(entry.name)) and f"{match[1]}.{match[2]}" not in wanted
        ]
        if stale:
            yield layer.finding(
                "stale-bytecode",
                stale[0].name,
                f"{len(stale)} files of bytecode for another version than {listed(sorted(wanted))}, "
                f"{megabytes(sum(entry.size_bytes for entry in stale))} that are never used.",
                "find layer -name __pycache__ -prune -exec rm -r {} +",
            )


def deprecated(subject: Subject) -> Iterator[Finding]:
    """Runtimes that AWS has given up."""
    today = date.today()
    for runtime in subject.runtimes:
        facts = RUNTIMES[runtime.name]
        if facts.deprecated_on is not None and facts.deprecated_on <= today:
            blocked = f"; functions can be created with it until {facts.create_blocked_on}"
            yield subject.layers[0].finding(
                "deprecated-runtime",
                "",
                f"AWS gave up {runtime.name} on {facts.deprecated_on}{blocked if facts.create_blocked_on else ''}.",
                "Build the layer for a newer runtime",
                runtime=runtime.name,
            )
