"""What can be left out of Python packages: what is imported is found by reading the imports."""

import ast
import re
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lamella.layers.build.slim import Looking, Trim, site_of

_TEST_NAMES: Final = frozenset({"test", "tests"})
_TEST_FILE: Final = re.compile(r"(test_.*|.*_tests?|tests?|conftest)\.py")
_DOTTED: Final = re.compile(rb"[A-Za-z_][\w.]*\.tests?\b")
_DOC_NAMES: Final = frozenset({"doc", "docs"})
_HEADER: Final = (".h", ".hpp", ".hxx", ".hh", ".cuh", ".pxd", ".pxi")
_READS_STUBS: Final = b"attach_stub"
"""`lazy_loader.attach_stub` reads `__init__.pyi` when the package is imported (scikit-image, librosa, MNE)."""

# They hand their headers, or those of others, to a compiler at run time.
_COMPILES: Final = frozenset(
    {"cppyy", "cupy", "jax", "numba", "nvidia", "pyopencl", "pythran", "pytensor", "taichi", "torch", "triton", "warp"}
)
SHIPPED: Final = frozenset({"boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3"})
"""In every Python runtime. Source: developer guide, "python-package" (the runtime includes boto3 and its dependencies);
what those are: `Requires-Dist` of boto3, botocore and python-dateutil."""


def tests(looking: Looking) -> None:
    """Directories of tests, and `conftest.py`. One that is imported from outside stays, with what it imports itself."""
    candidates = _candidates(looking)
    if not candidates:
        return
    inside = {name: found for name in looking.names if (found := _candidate_of(name, candidates))}
    modules = {candidate: _module_name(candidate) for candidate in candidates}
    spared: dict[str, str] = {}
    # What is imported from outside, then what that imports, until there is no more.
    todo = [name for name in looking.left() if name not in inside]
    seen = set(todo)
    while todo:
        reached: list[str] = []
        for name in todo:
            site = site_of(name)
            for reference in _references(looking, name):
                for candidate, module in modules.items():
                    if candidate.startswith(site) and (reference == module or reference.startswith(f"{module}.")):
                        spared.setdefault(candidate, f"imported by {name.removeprefix(site)}")
                        reached += _files_of(site, reference)
        todo = [name for name in dict.fromkeys(reached) if name in inside and name not in seen]
        seen.update(todo)
    for candidate, reason in spared.items():
        looking.spare(Trim.TESTS, candidate, reason)
    looking.remove(Trim.TESTS, [name for name, candidate in inside.items() if candidate not in spared])


def _files_of(site: str, reference: str) -> list[str]:
    """Where the modules may be that are loaded with a dotted name, which may end in something other than a module."""
    parts = reference.split(".")
    paths = [site + "/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return [file for path in paths for file in (f"{path}.py", f"{path}/__init__.py")]


def _candidates(looking: Looking) -> set[str]:
    """Directories of tests, and what pytest alone reads."""
    directories = _test_directories(looking)
    alone = {
        name
        for name in looking.left()
        if site_of(name) and name.endswith("/conftest.py") and not _candidate_of(name, directories)
    }
    return directories | alone


def _test_directories(looking: Looking) -> set[str]:
    """The outermost directories below a module search directory that are named so and have tests in them."""
    found: dict[str, list[str]] = {}
    for name in looking.left():
        site = site_of(name)
        parts = PurePosixPath(name.removeprefix(site)).parts if site else ()
        depth = next((depth for depth, part in enumerate(parts[:-1]) if part in _TEST_NAMES), None)
        if depth is not None:
            found.setdefault(site + "/".join(parts[: depth + 1]), []).append(name)
    single = {f"{site_of(name)}{PurePosixPath(name.removeprefix(site_of(name))).parts[0]}" for name in looking.names}
    tops = {top for top in single if not top.endswith((".dist-info", ".libs", ".data"))}
    return {
        directory
        for directory, names in found.items()
        if _has_tests(names) and not (directory in tops and _is_all_of_its_package(directory, looking))
    }


def _has_tests(names: list[str]) -> bool:
    """Whether files look like tests, rather than like an interface for testing (`django.test`)."""
    code = [PurePosixPath(name).name for name in names if name.endswith(".py")]
    return any(_TEST_FILE.fullmatch(name) for name in code) or set(code) <= {"__init__.py"}


def _is_all_of_its_package(directory: str, looking: Looking) -> bool:
    """Whether a top-level package of that name is all that its distribution has."""
    top = directory.removeprefix(site_of(directory))
    for files in distributions(looking, site_of(directory)).values():
        tops = {PurePosixPath(file).parts[0] for file in files}
        if top in tops:
            return not {one for one in tops if one != top and not one.endswith((".dist-info", ".libs", ".data"))}
    return True  # of no distribution: nobody knows what it is


def _candidate_of(name: str, candidates: set[str]) -> str:
    """Of which candidate a file is; empty if of none."""
    path = PurePosixPath(name)
    return next((str(place) for place in (path, *path.parents) if str(place) in candidates), "")


def _module_name(candidate: str) -> str:
    return candidate.removeprefix(site_of(candidate)).removesuffix(".py").replace("/", ".")


def _references(looking: Looking, name: str) -> Iterator[str]:
    """Modules with tests in their names that a file refers to: by import, in a string, or compiled into a library."""
    if not site_of(name):
        return
    if name.endswith(".so") or ".so." in name:
        data = looking.contents.read(name)  # not kept: libraries are big
        yield from {match.decode() for match in _DOTTED.findall(data)} if b".test" in data else ()
    elif name.endswith("/entry_points.txt"):
        yield from (match.decode() for match in _DOTTED.findall(looking.read(name)))
    elif name.endswith(".py") and b"test" in looking.read(name):
        yield from imported(looking.read(name), _module_of(name))


def _module_of(name: str) -> str:
    """The package that relative imports in a file start from."""
    path = PurePosixPath(name.removeprefix(site_of(name)))
    return ".".join(path.parent.parts)


def imported(source: bytes, package: str) -> Iterator[str]:
    """Dotted names that a module imports, wherever in it, or has as strings.

    Args:
        source: Of the module. If it is none of this version of Python, all that looks like such a name counts.
        package: That it is in, for relative imports.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        yield from (match.decode() for match in _DOTTED.findall(source))
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            yield node.value.lstrip(".") if not node.value.startswith(".") else package + node.value


def documents(looking: Looking) -> None:
    """Directories of documentation inside packages, unless there is code in them or the package names them."""
    found: dict[str, list[str]] = {}
    for name in looking.left():
        site = site_of(name)
        parts = PurePosixPath(name.removeprefix(site)).parts if site else ()
        depth = next((depth for depth, part in enumerate(parts[:-1]) if part in _DOC_NAMES), None)
        if depth is not None and not parts[0].endswith(".dist-info"):
            found.setdefault(site + "/".join(parts[: depth + 1]), []).append(name)
    for directory, names in found.items():
        if any(name.endswith((".py", ".so", ".pyd", ".pyc")) for name in names):
            continue
        if user := _named_in_code(looking, directory):
            looking.spare(Trim.DOCS, directory, f"named in {user}")
            continue
        looking.remove(Trim.DOCS, names)


def _named_in_code(looking: Looking, directory: str) -> str:
    """A module of the same top-level package that has the directory's name as a string; empty if none has."""
    site, word = site_of(directory), PurePosixPath(directory).name
    top = site + PurePosixPath(directory.removeprefix(site)).parts[0] + "/"
    pattern = re.compile(rb"""["'](?:[^"'\s:]*/)?%s(?:/[^"'\s:]*)?["']""" % word.encode())
    code = (name for name in looking.names if name.startswith(top) and name.endswith(".py"))
    return next((name.removeprefix(site) for name in code if pattern.search(looking.read(name))), "")


def stubs(looking: Looking) -> None:
    """For type checkers, unless the package reads its own stubs."""
    readers: dict[str, bool] = {}
    for name in list(looking.left()):
        site = site_of(name)
        if not site or not name.endswith((".pyi", "/py.typed")):
            continue
        top = PurePosixPath(name.removeprefix(site)).parts[0]
        if top not in readers:
            code = (one for one in looking.names if one.startswith(f"{site}{top}/") and one.endswith(".py"))
            readers[top] = any(_READS_STUBS in looking.read(one) for one in code)
            if readers[top]:
                looking.spare(Trim.STUBS, site + top, "reads its own stubs (lazy_loader.attach_stub)")
        if not readers[top]:
            looking.remove(Trim.STUBS, [name])


def headers(looking: Looking) -> None:
    """Of C, C++ and Cython, unless a package in the layer compiles; and those at the top of a layer, in `include/`."""
    compilers = sorted({_top(name) for name in looking.names} & _COMPILES)
    found = [name for name in looking.left() if site_of(name) and name.endswith(_HEADER)]
    if compilers and found:
        looking.spare(
            Trim.HEADERS, f"{len(found)} headers", f"{', '.join(compilers)} may compile with them at run time"
        )
        found = []
    looking.remove(Trim.HEADERS, [*found, *(name for name in looking.left() if name.startswith("include/"))])


def _top(name: str) -> str:
    site = site_of(name)
    return PurePosixPath(name.removeprefix(site)).parts[0] if site else ""


def distributions(looking: Looking, site: str) -> dict[str, list[str]]:
    """Files of each distribution in a module search directory, relative to it, by normalised name and `dist-info`."""
    found: dict[str, list[str]] = {}
    for name in looking.names:
        path = PurePosixPath(name)
        if path.name == "RECORD" and path.parent.name.endswith(".dist-info") and str(path.parent.parent) + "/" == site:
            lines = looking.read(name).decode("utf-8", "replace").splitlines()
            found[path.parent.name] = [line.rsplit(",", 2)[0].strip('"') for line in lines if line.count(",") >= 2]
    return found


def shipped(looking: Looking) -> None:
    """Packages that the runtime has, unless one that stays requires them: it may want a newer one."""
    for site in sorted({site_of(name) for name in looking.names} - {""}):
        files = distributions(looking, site)
        names, needs = {}, {}
        for directory in list(files):
            if f"{site}{directory}/METADATA" not in looking.contents.entries:
                del files[directory]  # damaged: nobody knows what it is, so it stays
                continue
            metadata = looking.read(f"{site}{directory}/METADATA").decode("utf-8", "replace")
            headers_ = HeaderParser().parsestr(metadata, headersonly=True)
            names[directory] = canonicalize_name(str(headers_["Name"]))
            needs[names[directory]] = {
                canonicalize_name(name) for text in headers_.get_all("Requires-Dist", []) if (name := _required(text))
            }
        going = {name for name in needs if name in SHIPPED and name not in (*looking.keep, *looking.wanted)}
        for name in sorted(set(needs) & SHIPPED - going):
            looking.spare(Trim.RUNTIME, name, "kept, as it was asked for")
        changed = True
        while changed:
            changed = False
            for name in sorted(set(needs) - going):
                for needed in sorted(needs[name] & going):
                    going.discard(needed)
                    looking.spare(Trim.RUNTIME, needed, f"required by {name}")
                    changed = True
        present = set(looking.names)
        for directory, listed in files.items():
            if names[directory] in going:
                looking.remove(Trim.RUNTIME, [site + file for file in listed if site + file in present], whole=True)


def _required(text: str) -> str:
    """The name in a `Requires-Dist`; those of extras count, for nobody knows which extras were asked for."""
    try:
        return Requirement(text).name
    except InvalidRequirement:
        return ""
