"""Where a function's runtime looks for modules, classes, programs and libraries, in order.

Sources: developer guide, "configuration-envvars", "packaging-layers", "lambda-nodejs", "lambda-ruby"; AWS's runtime
clients, whose Java one puts the function's classes, its `lib` and `/opt/java/lib` on the class path in that order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lamella.layers.facts import FACTS, LD_LIBRARY_PATH, Language, RuntimeFacts

TASK: Final = "/var/task"
OPT: Final = "/opt"
_PATH: Final = ("/var/lang/bin", "/usr/local/bin", "/usr/bin", "/bin", "/opt/bin")


@dataclass(frozen=True, slots=True)
class SearchPath:
    """A list of directories that are searched one after another.

    Attributes:
        name: `sys.path`, `NODE_PATH`, `class path`, `GEM_PATH`, `PATH`, `LD_LIBRARY_PATH`.
        set_by: The function's own variable that takes the place of Lambda's list; empty if there is none.
    """

    name: str
    directories: tuple[str, ...]
    set_by: str = ""


def search_paths(runtime: str, environment: Mapping[str, str]) -> tuple[SearchPath, ...]:
    """The search paths of a function, that of its language first.

    Args:
        runtime: Name; one that is not known has those of a custom runtime.
        environment: The function's own variables.
    """
    facts = FACTS.get(runtime)
    language = _language(facts, environment) if facts is not None else ()
    return (
        *language,
        _of_variable("PATH", _PATH, environment),
        _of_variable("LD_LIBRARY_PATH", LD_LIBRARY_PATH, environment),
    )


def _language(facts: RuntimeFacts, environment: Mapping[str, str]) -> tuple[SearchPath, ...]:
    match facts.language:
        case Language.PYTHON:
            own = f"/var/lang/lib/python{facts.version}"
            if "PYTHONPATH" in environment:
                # A function that sets it takes the whole into its own hands: layers are not added.
                directories = (TASK, *_split(environment["PYTHONPATH"]), own, f"{own}/site-packages")
                return (SearchPath("sys.path", directories, "PYTHONPATH"),)
            directories = (TASK, *facts.search, f"{own}/site-packages", "/var/runtime", own)
            return (SearchPath("sys.path", directories),)
        case Language.NODE:
            default = (*facts.search, "/var/runtime/node_modules", "/var/runtime", TASK)
            found = _of_variable("NODE_PATH", default, environment)
            # `require` looks beside the code before it looks anywhere else.
            return (SearchPath("NODE_PATH", (f"{TASK}/node_modules", *found.directories), found.set_by),)
        case Language.JAVA:
            return (SearchPath("class path", (TASK, f"{TASK}/lib", *facts.search)),)
        case Language.RUBY:
            gems = f"/opt/ruby/gems/{facts.version}.0"
            task = f"{TASK}/vendor/bundle/ruby/{facts.version}.0"
            default = (task, gems, "/var/runtime", f"/var/runtime/ruby/{facts.version}.0")
            return (
                _of_variable("GEM_PATH", default, environment),
                _ruby_library(environment),
            )
        case Language.DOTNET | Language.NATIVE:
            return ()


def _ruby_library(environment: Mapping[str, str]) -> SearchPath:
    """The function's own directories come first, and Lambda's stay behind them."""
    own = _split(environment.get("RUBYLIB", ""))
    return SearchPath("RUBYLIB", (*own, TASK, "/var/runtime/lib", "/opt/ruby/lib"), "RUBYLIB" if own else "")


def _of_variable(name: str, default: tuple[str, ...], environment: Mapping[str, str]) -> SearchPath:
    if name not in environment:
        return SearchPath(name, default)
    return SearchPath(name, _split(environment[name]), name)


def _split(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.rstrip("/") or "/" for part in value.split(":") if part))
