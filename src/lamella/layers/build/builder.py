"""Builds what a recipe says: collects from each source, trims, archives, and keeps all or nothing."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from packaging.utils import canonicalize_name

from lamella.layers.archive import ArchiveFacts, entry_time, write_archive
from lamella.layers.build.naming import output_paths, targets_of
from lamella.layers.build.plain import FilesSource, ProgramSource
from lamella.layers.build.python import PythonSource
from lamella.layers.build.recipe import Recipe, check
from lamella.layers.build.report import ArchiveReport, built_packages, over_budget, size_warnings
from lamella.layers.build.slim import Removed, Spared
from lamella.layers.build.sources import Progress, Source, Target
from lamella.layers.build.tree import entries_of, merge, recorded_files, rewrite_records, sizes_by_owner, walk
from lamella.layers.build.trimming import trim
from lamella.layers.contents import open_contents
from lamella.layers.errors import LayerBuildError, LayerReadError
from lamella.layers.packages import Ecosystem, Package, packages_of

T = TypeVar("T")

# Loaded only if a recipe names them: most recipes name one.
_OTHER_SOURCES: Final = {
    "node": ("lamella.layers.build.node", "NodeSource"),
    "java": ("lamella.layers.build.java", "JavaSource"),
    "native": ("lamella.layers.build.native", "NativeSource"),
    "debian": ("lamella.layers.build.debian", "DebianSource"),
}


def _silent(message: str) -> None:
    del message


@dataclass(frozen=True, slots=True)
class _Staged:
    """What was built and has not taken its place yet; `files` are the final paths by those of now."""

    report: ArchiveReport
    files: Mapping[Path, Path]


def build_layers(recipe: Recipe, *, progress: Progress = _silent) -> tuple[ArchiveReport, ...]:
    """Build all archives of a recipe. Takes seconds to minutes and may use the network: call it in a thread.

    Either all archives and documents are there at the end, or none has been touched. The same inputs, pinned, give the
    same bytes, whatever the user, time, directory, umask and locale.

    Raises:
        RecipeError: The recipe cannot be built as it is.
        LayerBuildError: It could not be built, or is bigger than it may be.
    """
    check(recipe)
    try:
        date_time = entry_time(os.environ.get("SOURCE_DATE_EPOCH"))
    except ValueError:
        raise LayerBuildError("SOURCE_DATE_EPOCH must be a number of seconds since 1970") from None
    targets = targets_of(recipe)
    outputs = output_paths(recipe, targets, recipe.output, ".zip")
    sboms = output_paths(recipe, targets, recipe.sbom, ".cdx.json") if recipe.sbom else (None,) * len(targets)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamella-layer-")))
        sources = _sources(recipe, scratch)
        staged: list[_Staged] = []
        for target, output, sbom in zip(targets, outputs, sboms, strict=True):
            with _scratch(scratch) as place:
                root, packages, warnings = _collect(sources, target, place, progress)
                removed, spared = _trim(recipe, root, target, progress)
                report = _describe(recipe, target, root, packages, (removed, spared, warnings), output, sbom)
                staged.append(_archive(report, root, packages, date_time, stack, progress))
        exceeded = [
            text
            for one in staged
            if (text := over_budget(one.report, max_zipped=recipe.max_zipped, max_unzipped=recipe.max_unzipped))
        ]
        if exceeded:
            advice = " Nothing was written: leave something out, trim it (slim), or spread it over several layers."
            if len(recipe.runtimes) > 1 and not recipe.separate_runtimes:
                advice += " With separate_runtimes each runtime has an archive of its own."
            raise LayerBuildError(" ".join(exceeded) + advice)
        for one in staged:
            for now, final in one.files.items():
                _writing(final, partial(now.replace, final))
    return tuple(one.report for one in staged)


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """A directory below another that is gone afterwards: several archives need not have room at once."""
    place = Path(tempfile.mkdtemp(dir=directory))
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _sources(recipe: Recipe, scratch: Path) -> list[tuple[str, Source]]:
    """The sources that a recipe names, with what to call them."""
    found: list[tuple[str, Source]] = []
    if recipe.python is not None:
        found.append(("[python]", PythonSource(recipe.python, recipe.directory, scratch)))
    for name, (module, class_name) in _OTHER_SOURCES.items():
        table = getattr(recipe, name)
        if table is not None:
            values = {row.name: getattr(table, row.name) for row in fields(table)}
            found.append((f"[{name}]", getattr(import_module(module), class_name)(**values)))
    found += [(f"[[files]] {table.source}", FilesSource(table)) for table in recipe.files]
    found += [(f"[[extensions]] {table.source}", ProgramSource.extension(table)) for table in recipe.extensions]
    if recipe.bootstrap is not None:
        found.append(("[bootstrap]", ProgramSource.bootstrap(recipe.bootstrap)))
    return found


def _collect(
    sources: Sequence[tuple[str, Source]], target: Target, place: Path, progress: Progress
) -> tuple[Path, list[Package], list[str]]:
    root = place / "opt"
    root.mkdir()
    owners: dict[str, str] = {}
    packages: list[Package] = []
    warnings: list[str] = []
    for number, (name, source) in enumerate(sources):
        part = place / f"part-{number}"
        part.mkdir()
        collected = source.collect(target, part, progress)
        merge(part, root, name, owners)
        packages += collected.packages
        warnings += collected.warnings
    if not owners:
        raise LayerBuildError("There is nothing in the layer: what it is made from has no files")
    return root, packages, warnings


def _trim(
    recipe: Recipe, root: Path, target: Target, progress: Progress
) -> tuple[tuple[Removed, ...], tuple[Spared, ...]]:
    if recipe.slim:
        progress("Trimming")
    try:
        result = trim(root, recipe.slim, recipe.keep, target.architecture, wanted=_pinned(recipe))
    except LayerReadError as error:
        raise LayerBuildError(str(error)) from error
    if not any(walk(root)):
        raise LayerBuildError(
            "Trimming leaves nothing: the runtimes have all of it. To have it in a layer nevertheless, name its "
            "version (boto3==1.40.0), keep it (--keep boto3), or do not trim (--no-slim)"
        )
    rewrite_records(root)
    return result


def _pinned(recipe: Recipe) -> list[str]:
    """Packages whose version the recipe itself names: who does so wants that one, and not the runtime's."""
    texts = recipe.python.requirements if recipe.python is not None else ()
    found = (re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*===?[^=*]+$", text) for text in texts)
    return [canonicalize_name(match[1]) for match in found if match]


def _describe(
    recipe: Recipe,
    target: Target,
    root: Path,
    packages: list[Package],
    told: tuple[tuple[Removed, ...], tuple[Spared, ...], list[str]],
    output: Path,
    sbom: Path | None,
) -> ArchiveReport:
    """The report without what only the archive tells; `packages` becomes what is there after trimming."""
    removed, spared, warnings = told
    with open_contents(root) as contents:
        sizes = {entry.name: entry.size_bytes for entry in contents.files()}
        there = packages_of(contents)
        packages[:] = _still_there(packages, there, _places(sizes))
    owners = _owners(root, packages)
    by_package = sizes_by_owner(sizes, {name: str(number) for name, number in owners.items()})
    sized = {package: by_package.get(str(number), 0) for number, package in enumerate(packages)}
    return ArchiveReport(
        output=output,
        name=recipe.name,
        description=recipe.description,
        licence=recipe.licence,
        runtimes=target.runtimes,
        architecture=target.architecture.value,
        packages=built_packages(packages, sized),
        files=0,
        zipped_bytes=0,
        unzipped_bytes=0,
        sha256="",
        content_sha256="",
        removed=removed,
        spared=spared,
        warnings=tuple(warnings),
        sbom=sbom,
    )


def _places(names: Iterable[str]) -> set[str]:
    """Files, and all directories that they are in."""
    return {str(place) for name in names for place in (name, *PurePosixPath(name).parents)}


def _still_there(collected: Sequence[Package], found: Sequence[Package], places: set[str]) -> list[Package]:
    """What sources told of and what is found in the layer, each once, without what was trimmed since."""
    told = [package for package in collected if not package.directory or package.directory in places]
    known = {(package.ecosystem, package.name, package.version, package.directory) for package in told}
    named = {(package.ecosystem, package.name, package.version) for package in told}
    more = [
        package
        for package in found
        if (package.ecosystem, package.name, package.version, package.directory) not in known
        and (package.ecosystem is Ecosystem.PYPI or (package.ecosystem, package.name, package.version) not in named)
    ]
    return sorted({*told, *more}, key=lambda one: (one.ecosystem, one.name.lower(), one.version, one.directory))


def _owners(root: Path, packages: Sequence[Package]) -> dict[str, int]:
    """Which package (its number) a file or directory is of."""
    owners: dict[str, int] = {}
    for number, package in enumerate(packages):
        record = root / package.directory / "RECORD"
        if package.ecosystem is Ecosystem.PYPI and record.is_file():
            site = PurePosixPath(package.directory).parent
            owners |= {
                str(site / name): number
                for name in recorded_files(record.read_text(encoding="utf-8", errors="replace"))
            }
        elif package.directory:
            owners.setdefault(package.directory, number)
    return owners


def _archive(
    report: ArchiveReport,
    root: Path,
    packages: Sequence[Package],
    date_time: tuple[int, int, int, int, int, int],
    stack: ExitStack,
    progress: Progress,
) -> _Staged:
    """Write archive and document beside where they belong; `stack` removes them if they never get there."""
    count = len(report.packages)
    progress(f"Packing {count} package{'' if count == 1 else 's'}" if count else "Packing")
    staged = report.output.with_name(f".{report.output.name}.{os.getpid()}.new")
    files = {staged: report.output}

    def write() -> ArchiveFacts:
        report.output.parent.mkdir(parents=True, exist_ok=True)
        stack.callback(staged.unlink, missing_ok=True)
        return write_archive(staged, entries_of(root), date_time=date_time)

    facts = _writing(report.output, write)
    done = replace(
        report,
        files=facts.files,
        zipped_bytes=facts.zipped_bytes,
        unzipped_bytes=facts.unzipped_bytes,
        sha256=facts.sha256,
        content_sha256=facts.content_sha256,
        warnings=(*report.warnings, *size_warnings(facts.zipped_bytes, facts.unzipped_bytes)),
    )
    if report.sbom is not None:
        from lamella.layers.build.sbom import bill_of_materials

        document = bill_of_materials(
            report.name,
            packages,
            sha256=facts.sha256,
            content_sha256=facts.content_sha256,
            runtimes=report.runtimes,
            architecture=report.architecture,
        )
        beside = report.sbom.with_name(f".{report.sbom.name}.{os.getpid()}.new")
        files[beside] = report.sbom

        def write_document() -> None:
            beside.parent.mkdir(parents=True, exist_ok=True)
            stack.callback(beside.unlink, missing_ok=True)
            beside.write_text(document, encoding="utf-8")

        _writing(report.sbom, write_document)
    return _Staged(done, files)


def _writing(path: Path, action: Callable[[], T]) -> T:
    try:
        return action()
    except OSError as error:
        raise LayerBuildError(f"Cannot write {path}: {error.strerror or error}") from error
