"""What is in a project: the files of a language, with names and versions filled in. Reads templates; writes nothing."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Final

from lamella.domain.runtimes import RUNTIMES
from lamella.scaffold.languages import MANIFEST, TEMPLATES, Language, languages

_COMMON: Final = "common"
_RECIPE: Final = "layer.toml"
_PLACEHOLDER: Final = re.compile(r"@([a-z]+)@")
_NAME_LIMIT: Final = 56  # "-layer" and what else may be appended fits into a function's 64
_ALIASES: Final[Mapping[str, str]] = {
    "nodejs": "node",
    "javascript": "node",
    "golang": "go",
    "bash": "shell",
    "sh": "shell",
    "typescript": "deno",
}


class ProjectError(Exception):
    """There can be no such project. The text is one line: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a project."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """A project that can be written.

    Attributes:
        files: By their paths below the project's directory.
    """

    name: str
    language: Language
    runtime: str
    files: Mapping[str, File]


def language_of(text: str) -> tuple[Language, str]:
    """The language and the runtime that somebody means: `go`, `python`, `python3.12`, `nodejs24.x`.

    Raises:
        ProjectError: There is no template for it; the text names those that there are.
    """
    name = text.lower()
    language = languages().get(_ALIASES.get(name, name))
    if language is not None:
        return language, language.runtime
    for language in languages().values():
        if not language.is_custom and language.takes(name):
            if name in RUNTIMES:
                return language, name
            there = ", ".join(one for one in RUNTIMES if language.takes(one))
            raise ProjectError(f"Lambda has no runtime {name!r}; of {language.title} it has {there}")
    known = ", ".join(languages())
    if name.startswith("provided"):
        raise ProjectError(f"functions on {text} can be in any language: name one of {known}")
    near = difflib.get_close_matches(name, [*languages(), *_ALIASES], n=1)
    hint = f"did you mean {near[0]}? All of them: " if near else "there are "
    raise ProjectError(f"there is no template for {text!r}; {hint}{known}")


def name_from(directory: str) -> str:
    """A function's name made of that of a directory."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", directory).strip("-_")[:_NAME_LIMIT] or "greet"


def make_project(text: str, name: str) -> Project:
    """The files of a project.

    Args:
        text: A language, or a runtime.
        name: Of the function; that of the layer is made of it.

    Raises:
        ProjectError: No such language, or an unfit name.
    """
    language, runtime = language_of(text)
    if re.fullmatch(rf"[A-Za-z0-9_-]{{1,{_NAME_LIMIT}}}", name) is None:
        raise ProjectError(
            f"a function cannot be named {name!r}: letters, digits, - and _ are allowed, {_NAME_LIMIT} at most"
        )
    values = _values(language, runtime, name)
    files: dict[str, File] = {}
    for part in (_COMMON, *language.parts, language.name):
        for path, source in _walk(TEMPLATES / part):
            content = _filled(source.read_text(encoding="utf-8"), values).encode()
            if path == _RECIPE and path in files:  # the language's tables follow the common keys
                content = files[path].content + content
            files[path] = File(content, executable=path.endswith("/bootstrap"))
    return Project(name, language, runtime, dict(sorted(files.items())))


def _values(language: Language, runtime: str, name: str) -> Mapping[str, str]:
    number = re.sub(r"^\D+|\.x$", "", runtime)
    steps = "".join(f"\t{line}\n" for line in language.build)
    needs = "".join(f", {need}" for need in language.needs)
    return {
        "name": name,
        "runtime": runtime,
        "title": language.title,
        "about": language.about,
        "handler": language.handler,
        "code": language.code,
        "memory": str(language.memory_mb),
        "layer": language.layer,
        "variables": "\n".join(language.variables).replace("@version@", number),
        "build": steps.rstrip("\n"),
        "needs": needs,
        "files": "\n".join(f"| `{path}` | {what} |" for path, what in language.files.items()),
        "add": ""
        if language.is_custom
        else f"lamella runtime add {runtime}     # if `lamella runtime list` does not show it\n",
        "notes": _notes(language),
    }


def _notes(language: Language) -> str:
    if not language.notes:
        return ""
    return "\n## Things to know\n\n" + "\n".join(f"- {note}" for note in language.notes)


def _filled(text: str, values: Mapping[str, str]) -> str:
    """A line that holds nothing but a placeholder without a value goes out."""
    lines = []
    for line in text.splitlines(keepends=True):
        alone = _PLACEHOLDER.fullmatch(line.strip())
        if alone and not values.get(alone[1], line):
            continue
        lines.append(_PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), line))
    return "".join(lines)


def _walk(directory: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        path = f"{prefix}{entry.name}"
        if not entry.is_dir():
            if path != MANIFEST:
                yield path, entry
        elif entry.name != "__pycache__":  # of templates in Python, if something has compiled the whole package
            yield from _walk(entry, f"{path}/")
