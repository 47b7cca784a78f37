"""Writes what the documentation takes from tables of the code: operations, quotas, conformance, a part of the README.

python scripts/reference_pages.py [--check]
"""

import re
import sys
from dataclasses import MISSING
from pathlib import Path
from typing import Final

import conformance
from botocore.model import OperationModel

from lamella.app.operations import OPERATIONS
from lamella.awsapi.registry import NOT_IMPLEMENTED
from lamella.awsapi.spec import ServiceSpec
from lamella.conformance.extension_checks import EXTENSION_CHECKS
from lamella.conformance.runtime_checks import RUNTIME_CHECKS
from lamella.domain.quotas import QUOTAS
from lamella.layers.build.recipe import ARRAYS, TABLES, Recipe
from lamella.layers.build.slim import DEFAULT_SLIM, MEANINGS
from lamella.layers.build.tables import rows_of
from lamella.layers.doctor.rules import GROUPS
from lamella.scaffold import Language, languages

SERVICES: Final = ("lambda", "lambda-core")
"""botocore has two models of Lambda."""
ROOT: Final = Path(__file__).resolve().parent.parent
DIRECTORY: Final = ROOT / "docs" / "reference"
_UNBUILT: Final = re.compile(r"(.+) (?:is|are) not built")
_README_BLOCK: Final = re.compile(r"(<!-- written: operations -->\n).*?(<!-- end -->)", re.DOTALL)
_LANGUAGES_BLOCK: Final = re.compile(r"(<!-- written: languages -->\n).*?(<!-- end -->)", re.DOTALL)
_NUMBER: Final = re.compile(r"\\d\+")  # in the pattern of a language's runtimes
_ESCAPE: Final = "\\"
_MARK: Final = "<!-- Written by python scripts/reference_pages.py; do not edit. -->\n"


def operations_page() -> str:
    """Every operation of the models, with a handler or with the reason for its absence."""
    operations = _operations()
    rows = [
        f"| `{name}` | `{operation.http['method']} {operation.http['requestUri'].partition('?')[0]}` | "
        f"{_one_line(OPERATIONS[name].__doc__)} |"
        for name, operation in sorted(operations.items())
        if name in OPERATIONS
    ]
    reasons: dict[str, list[str]] = {}
    for name, reason in NOT_IMPLEMENTED.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    missing = [f"| {reason} | {', '.join(names)} |" for reason, names in reasons.items()]
    return "\n".join(
        [
            f"{_MARK}# Operations",
            "",
            f"{len(OPERATIONS)} of the {len(operations)} operations of botocore's two models are implemented.",
            "",
            "## Implemented",
            "",
            "| Operation | Method and path | |",
            "|---|---|---|",
            *rows,
            "",
            "Code comes as `ZipFile` or from S3. The configuration of container images is kept, and they are not run.",
            "What else differs is told in [fidelity](../fidelity.md).",
            "",
            "## Not implemented",
            "",
            "Each is answered with status 501 and the error `NotImplementedException`; AWS's clients do not retry it:",
            "",
            "```",
            "An error occurred (NotImplementedException) when calling the ListCapacityProviders operation:",
            "Lamella does not implement ListCapacityProviders yet: capacity providers are not built.",
            "See docs/reference/operations.md.",
            "```",
            "",
            "| Why | Operations |",
            "|---|---|",
            *missing,
            "",
        ]
    )


def quotas_page() -> str:
    """Every limit that is kept."""
    rows = []
    for quota in QUOTAS:
        least = f"{quota.least:,} to " if quota.least else ""
        limit = f"{least}{quota.limit:,} {_UNITS[quota.unit]}".rstrip()
        relaxed = "" if quota.relaxed is None else f"{quota.relaxed:,} {_UNITS[quota.unit]}".rstrip()
        rows.append(f"| {quota.name} | {limit} | {relaxed} | {quota.source} |")
    return "\n".join(
        [
            f"{_MARK}# Quotas",
            "",
            "Limits of Lambda as they are known here, in `lamella.domain.quotas`. The setting",
            '[`limits = "relaxed"`](settings.md) raises those that have a second number. What then goes beyond',
            "AWS's is named in a line of the log (logger `lamella.limits`) and in a header of the answer,",
            "`X-Lamella-Beyond-Aws`.",
            "Pages are those of <https://docs.aws.amazon.com/lambda/latest/>.",
            "",
            "How many of the concurrent executions a node runs at once is another thing, which the setting",
            "[`max_environments`](settings.md) decides; the others wait.",
            "",
            "| What | Limit | Relaxed | Source |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def findings_page() -> str:
    """Every code that the check of layers gives."""
    lines = [
        f"{_MARK}# Findings about layers",
        "",
        "What [`lamella layer check`](../how-to/check-layers.md) looks for. Codes stay the same for ever;",
        "`--ignore CODE` leaves one out.",
        "",
        "An **error** makes a function fail that uses what the layer brings, a **warning** wastes something or fails",
        "in some cases, a **note** is worth knowing. A finding may be milder or worse than its code, and says so.",
        "",
    ]
    for heading, rules in GROUPS.items():
        lines += [f"## {heading}", ""]
        for rule in rules:
            lines += [
                f"### {rule.code}",
                "",
                f"**{rule.severity.name.lower()}**: {rule.title}.",
                "",
                rule.explanation,
                "",
            ]
    return "\n".join(lines)


_VERIFICATION: Final = """\
What [`lamella runtime verify`](../how-to/verify-runtimes.md) and `lamella extension verify` look at. Ids stay
the same for ever; `--only` and `--skip` take them. Rules are those of [conformance](conformance.md).

What is of weight **error** makes invocations fail or answers wrong, and the command ends with status 1.
**Advice** is about what works on AWS as it is today, and is fragile or wasteful.

## Events for handlers

A runtime needs a handler to play with. The kit brings one as `verify.handler`, in `/var/task`, for Python
(`verify.py`), Node.js (`verify.js`), TypeScript (`verify.ts`), Ruby (`verify.rb`), PHP (`verify.php`), Lua
(`verify.lua`), shells (`verify.sh`) and Java (`Verify::handler`). For any other language name a function of
your own with `--function` and `--handler`. It need not know these events: one that gives back every event as it
is shows most of what there is to see, and whatever cannot be seen is *not applicable*.

Events of the kit are JSON objects on one line, without spaces, with the member `verify` first.

| Event | What the handler does |
|---|---|
| `{"verify":"actions"}` | gives a list of the names in this table that it knows: `["echo","error"]` |
| `{"verify":"echo","value":…}` | gives back the value |
| `{"verify":"error","message":"…"}` | raises an error with this message |
| `{"verify":"print","text":"…"}` | prints the text as a line of the log |
| `{"verify":"size","bytes":…}` | gives a text of so many letters `x` |
| `{"verify":"environment","name":"…"}` | gives the value of an environment variable, or null |
| `{"verify":"context"}` | gives `{"aws_request_id", "invoked_function_arn", "remaining_ms"}` of its context |
| `{"verify":"stream","fail":false}` | streams its response; with `true` it fails after the first bytes |
| anything else | gives it back |

"""


def verification_page() -> str:
    """Every check of runtimes and extensions."""
    lines = [f"{_MARK}# Checks of runtimes and extensions", "", _VERIFICATION]
    for heading, checks in (("Runtimes", RUNTIME_CHECKS), ("Extensions", EXTENSION_CHECKS)):
        lines += [f"## {heading}", ""]
        for check in checks.values():
            head = f"**{check.weight}**, {check.rule}: {check.title}"
            lines += [f"### {check.id}", "", head, "", f"*Why:* {check.why}", "", f"*Fix:* {check.fix}", ""]
    return "\n".join(lines)


def recipe_page() -> str:
    """Every key of `layer.toml`."""
    lines = [
        f"{_MARK}# `layer.toml`",
        "",
        "What a layer is made of, for what, and what it may weigh: the recipe that",
        "[`lamella layer build`](../how-to/build-layers.md) reads. Relative paths start at its directory. A key that",
        "is not listed here is an error, which names the line and the nearest key that there is.",
        "",
        "## Above all tables",
        "",
        *_keys(Recipe),
        "",
        "What can be trimmed (`slim`); licences never are:",
        "",
        "| | | By default |",
        "|---|---|---|",
        *(
            f"| `{kind}` | {meaning} | {'yes' if kind in DEFAULT_SLIM else 'no'} |"
            for kind, meaning in MEANINGS.items()
        ),
    ]
    for name, table in (TABLES | ARRAYS).items():
        heading = f"[[{name}]]" if name in ARRAYS else f"[{name}]"
        lines += ["", f"## `{heading}`", "", _one_line(table.__doc__), "", *_keys(table)]
    return "\n".join([*lines, ""])


def _keys(table: type) -> list[str]:
    rows = ["| Key | Takes | Default | |", "|---|---|---|---|"]
    for name, kind, meaning, default in rows_of(table):
        rows.append(f"| `{name}` | {_one_line(kind.expects)} | {_default(default)} | {_one_line(meaning)} |")
    return rows


def _default(default: object) -> str:
    if default is MISSING:
        return "must be given"
    if default in (None, "", ()):
        return ""
    words = {True: "true", False: "false"}
    text = (
        words[default]
        if isinstance(default, bool)
        else ", ".join(default)
        if isinstance(default, tuple)
        else str(default)
    )
    return f"`{text}`"


_UNITS: Final = {"bytes": "bytes", "s": "s", "MiB": "MB (of 1,048,576 bytes)", "items": "", "characters": "characters"}


def readme(text: str) -> str:
    """The README with its block about operations as it should be."""
    missing = [match[1] for reason in dict.fromkeys(NOT_IMPLEMENTED.values()) if (match := _UNBUILT.match(reason))]
    block = f"""
{len(OPERATIONS)} of Lambda's {len(_operations())} operations work ([which ones](docs/reference/operations.md)).
Not in this version: {", ".join(missing)}.
"""
    return _README_BLOCK.sub(lambda match: f"{match[1]}{block}\n{match[2]}", text)


def _operations() -> dict[str, OperationModel]:
    return {name: each for service in SERVICES for name, each in ServiceSpec.load(service).operations.items()}


def languages_block(text: str) -> str:
    """The page about languages with its block about `lamella init` as it should be."""
    rows = [
        f"| `{one.name}` | {one.title} | {_kind(one)} | {_one_line(one.about).removeprefix('here ').rstrip('.')} | "
        f"{', '.join(one.needs)} |"
        for one in languages().values()
    ]
    head = ["| `--runtime` | Language | Runtime of the function | In the layer | Needs |", "|---|---|---|---|---|"]
    block = "\n".join(["", *head, *rows, ""])
    return _LANGUAGES_BLOCK.sub(lambda match: f"{match[1]}{block}\n{match[2]}", text)


def _kind(language: Language) -> str:
    """Which runtimes its functions can have."""
    return f"`{language.runtime if language.is_custom else _NUMBER.sub('N', language.runtimes).replace(_ESCAPE, '')}`"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").strip().partition("\n\n")[0].split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them; returns the exit status."""
    status = 0
    front, tongues = ROOT / "README.md", DIRECTORY / "languages.md"
    pages = {
        DIRECTORY / "operations.md": operations_page(),
        DIRECTORY / "quotas.md": quotas_page(),
        DIRECTORY / "findings.md": findings_page(),
        DIRECTORY / "layer-toml.md": recipe_page(),
        DIRECTORY / "verification.md": verification_page(),
        DIRECTORY / "conformance.md": _MARK + conformance.page(),
        front: readme(front.read_text(encoding="utf-8")),
        tongues: languages_block(tongues.read_text(encoding="utf-8")),
    }
    for path, text in pages.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            print(f"{path} is not as `python scripts/reference_pages.py` writes it", file=sys.stderr)
            status = 1
        else:
            path.write_text(text, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
