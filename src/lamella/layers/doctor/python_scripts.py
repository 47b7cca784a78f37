"""What can be told of the code of a bootstrap or an extension: what it imports, and what it does not do.

Only scripts that Lambda starts are looked at, and no code of them is run. What is found is what public tutorials do.
"""

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Final

from lamella.layers.doctor.scripts import Started, interpreter_of, runtimes_of, started
from lamella.layers.doctor.subject import Subject, listed
from lamella.layers.facts import Language
from lamella.layers.findings import Finding

_READ_MOST_BYTES: Final = 512 * 1024
# What newer Pythons no longer have is not blamed on a script for an older one.
_STANDARD: Final = sys.stdlib_module_names | {"imp", "distutils", "asynchat", "asyncore", "smtpd", "compression"}
_PACKAGE_NAMES: Final = {"dateutil": "python-dateutil", "yaml": "pyyaml", "PIL": "pillow"}
_TRACE: Final = "_X_AMZN_TRACE_ID"


def code(subject: Subject) -> Iterator[Finding]:
    """The bootstrap and the extensions that are scripts."""
    for file in started(subject):
        if not file.by_lambda or not file.facts.head.startswith("#!"):
            continue
        text = file.layer.contents.read(file.name, _READ_MOST_BYTES).decode("utf-8", "replace")
        tree = _parsed(text) if "python" in interpreter_of(file.facts.head) else None
        if tree is not None:
            yield from _imports(subject, file, tree, text)
        if file.name == "bootstrap":
            yield from _bootstrap(file, tree, text)
        elif tree is not None:
            yield from _extension(file, text)


def _parsed(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _imports(subject: Subject, file: Started, tree: ast.Module, text: str) -> Iterator[Finding]:
    missing: list[str] = []
    places: list[str] = []
    for name in _imported(tree):
        if name in _STANDARD or name == "__future__":
            continue
        place = _place(subject, file.name, name, text)
        if place is None and not _ships(subject, file.name, name):
            missing.append(name)
            places.extend(_elsewhere(subject, name)[:1])
    if missing:
        found = f" It is in the layer at {places[0]}, which is not on the search path of this script." if places else ""
        requests = " Only boto3 and what it needs come with the Python runtimes." if "requests" in missing else ""
        if file.name == "bootstrap":
            vendor = f"put it beside the bootstrap: pip install -t . {' '.join(missing)}"
        else:
            vendor = (
                f"vendor it: pip install -t vendored {' '.join(missing)}, with sys.path.insert(0, '/opt/vendored') at "
                "the top of the script"
            )
        yield file.layer.finding(
            "import-not-vendored",
            file.name,
            f"It imports {listed(missing)}, which neither the layer brings beside it nor the runtime: "
            f"ModuleNotFoundError, before any function runs.{found}{requests}",
            f"Use urllib.request instead, or {vendor}",
        )


def _imported(tree: ast.Module) -> list[str]:
    """Names of modules at the top level of packages; those that may fail (`try`) are left out."""
    found: dict[str, None] = {}
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Try) and any(_catches_imports(handler) for handler in node.handlers):
            todo.extend([*node.orelse, *node.finalbody])
            continue
        if isinstance(node, ast.Import):
            found.update(dict.fromkeys(alias.name.partition(".")[0] for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found[node.module.partition(".")[0]] = None
        todo.extend(ast.iter_child_nodes(node))
    return sorted(found)


def _catches_imports(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or any(
        isinstance(node, ast.Name) and node.id in {"ImportError", "ModuleNotFoundError", "Exception"}
        for node in ast.walk(handler.type)
    )


def _place(subject: Subject, script: str, module: str, text: str) -> str | None:
    directory = script.rpartition("/")[0]
    prefix = f"{directory}/" if directory else ""
    beside = [name for name in _files(subject, module) if name.startswith(prefix) and "/" not in name[len(prefix) :]]
    if beside:
        return beside[0]
    elsewhere = _elsewhere(subject, module)
    # Where exactly the path then leads is not known; that the module is there must do.
    return elsewhere[0] if elsewhere and ("sys.path" in text or "PYTHONPATH" in text) else None


def _elsewhere(subject: Subject, module: str) -> list[str]:
    return [name for name in _files(subject, module) if "/tests/" not in name]


def _files(subject: Subject, module: str) -> list[str]:
    """Files and directories that a module of this name may be."""
    tree = subject.tree
    found = [*tree.python_packages.get(module, []), *tree.by_file_name.get(f"{module}.py", [])]
    return found or [name for name in tree.shared_objects.get(module, []) if "." in name.rpartition("/")[2]]


def _ships(subject: Subject, script: str, module: str) -> bool:
    package = _PACKAGE_NAMES.get(module, module)
    return any(
        runtime.language is Language.PYTHON and package in runtime.ships for runtime in runtimes_of(subject, script)
    )


def _bootstrap(file: Started, tree: ast.Module | None, text: str) -> Iterator[Finding]:
    if "invocation/next" not in text:
        return  # it starts something else, which does
    if not re.search(r"/(?:response|error)\b", text.replace("init/error", "")):
        yield file.layer.finding(
            "no-answer",
            file.name,
            "It asks for invocations and posts neither a response nor an error, so the same event comes again and "
            "again "
            "until the function times out.",
            "POST to /2018-06-01/runtime/invocation/REQUEST_ID/response, or to .../error",
        )
    if "init/error" not in text:
        yield file.layer.finding(
            "no-init-error",
            file.name,
            "It does not report a handler that cannot be loaded: the caller gets Runtime.ExitError without a reason.",
            "POST to /2018-06-01/runtime/init/error, and exit with a status other than 0",
        )
    if tree is None:
        return
    if re.search(r"import_module|__import__", text) and not re.search(r"LAMBDA_TASK_ROOT|/var/task|sys\.path", text):
        yield file.layer.finding(
            "handler-not-on-path",
            file.name,
            "The search path of a script in a layer begins with /opt, and /var/task is not on it: the import of the "
            "function's handler fails.",
            "sys.path.insert(0, os.environ['LAMBDA_TASK_ROOT']) before the import",
        )
    if any(_sets_none(node) for node in ast.walk(tree)):
        yield file.layer.finding(
            "environment-none",
            file.name,
            f"It sets {_TRACE} to what .get() gives, which is None if the header is absent: TypeError.",
            f"os.environ['{_TRACE}'] = trace_id or ''",
        )


def _sets_none(node: ast.AST) -> bool:
    """`os.environ['_X_AMZN_TRACE_ID'] = something.get(...)`, without anything in place of `None`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return False
    target, call = node.targets[0], node.value
    if not (isinstance(target, ast.Subscript) and ast.unparse(target.value).endswith("environ")):
        return False
    if not (isinstance(target.slice, ast.Constant) and target.slice.value == _TRACE):
        return False
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "get"):
        return False
    # A default helps where the key is absent, not where the value is None, as in a dict made of headers.
    return len(call.args) < 2 or not ast.unparse(call.func.value).endswith("headers")


def _extension(file: Started, text: str) -> Iterator[Finding]:
    telemetry = "telemetry" in file.name.lower() or "telemetry_queue" in text
    if telemetry and "/register" in text and not re.search(r"20\d\d-\d\d-\d\d/(?:telemetry|logs)", text):
        yield file.layer.finding(
            "no-subscription",
            file.name,
            "It registers as an extension and never subscribes to the Telemetry API, so no log or metric ever "
            "reaches it.",
            "PUT /2022-07-01/telemetry with a destination it listens on, after it has registered",
        )
