import tomllib
from pathlib import Path

import pytest

from lamella.layers.build.poetry import PoetryLock, satisfies
from lamella.layers.errors import LayerBuildError
from lamella.layers.targets import PythonTarget

HASH = "sha256:" + "a" * 64
FILES = f'files = [{{file = "x.whl", hash = "{HASH}"}}]'

PROJECT = """
[tool.poetry.dependencies]
python = ">=3.9,<3.14"
requests = { version = "^2.31", extras = ["socks"] }
markupsafe = [
  { version = "2.1.5", python = "<3.12" },
  { version = "3.0.2", python = ">=3.12" },
]
colorama = { version = "*", markers = "sys_platform == 'win32'" }
redis = { version = "*", optional = true }
[tool.poetry.extras]
cache = ["redis"]
[tool.poetry.group.jobs.dependencies]
tomli = "^2.0"
"""

# As Poetry 2.1 writes it: markers and groups of each package.
NEWER = f"""
[[package]]
name = "colorama"
version = "0.4.6"
groups = ["main"]
markers = "sys_platform == \\"win32\\""
{FILES}
[[package]]
name = "markupsafe"
version = "2.1.5"
groups = ["main"]
markers = "python_version < \\"3.12\\""
{FILES}
[[package]]
name = "markupsafe"
version = "3.0.2"
groups = ["main", "dev"]
markers = {{main = "python_version >= \\"3.12\\"", dev = "python_version < \\"3.0\\""}}
{FILES}
[[package]]
name = "pysocks"
version = "1.7.1"
groups = ["main"]
{FILES}
[[package]]
name = "redis"
version = "5.0"
optional = true
groups = ["main"]
markers = "extra == \\"cache\\""
{FILES}
[[package]]
name = "requests"
version = "2.32.5"
groups = ["main"]
{FILES}
[[package]]
name = "tomli"
version = "2.0"
groups = ["jobs"]
{FILES}
[metadata]
lock-version = "2.1"
python-versions = ">=3.9,<3.14"
"""

# As Poetry 1.8 writes it: the closure has to be found.
OLDER = f"""
[[package]]
name = "colorama"
version = "0.4.6"
python-versions = ">=2.7"
{FILES}
[[package]]
name = "markupsafe"
version = "2.1.5"
{FILES}
[[package]]
name = "markupsafe"
version = "3.0.2"
{FILES}
[[package]]
name = "PySocks"
version = "1.7.1"
{FILES}
[[package]]
name = "redis"
version = "5.0"
optional = true
{FILES}
[[package]]
name = "requests"
version = "2.32.5"
{FILES}
[package.dependencies]
PySocks = {{version = ">=1.5.6,<1.5.7 || >1.5.7", optional = true, markers = "extra == \\"socks\\""}}
[package.extras]
socks = ["PySocks (>=1.5.6,!=1.5.7)"]
[[package]]
name = "tomli"
version = "2.0"
{FILES}
[metadata]
lock-version = "2.0"
python-versions = ">=3.9,<3.14"
"""


def lock(
    text: str, *, extras: tuple[str, ...] = (), groups: tuple[str, ...] = (), project: str = PROJECT
) -> PoetryLock:
    documents = (tomllib.loads(text), tomllib.loads(project))
    return PoetryLock(*documents, Path("/srv"), frozenset(extras), frozenset(groups))


def pins(text: str, runtime: str = "python3.12", **more: tuple[str, ...]) -> list[str]:
    lines = lock(text, **more).requirements(PythonTarget.of(runtime, "x86_64"))  # type: ignore[arg-type]
    return [line.split()[0].lower() for line in lines]


@pytest.mark.parametrize("text", [NEWER, OLDER], ids=["2.1", "2.0"])
class TestEitherForm:
    def test_what_the_target_needs(self, text: str) -> None:
        assert pins(text) == ["markupsafe==3.0.2", "pysocks==1.7.1", "requests==2.32.5"] or sorted(pins(text)) == [
            *("markupsafe==3.0.2", "pysocks==1.7.1", "requests==2.32.5")
        ]
        assert "markupsafe==2.1.5" in pins(text, "python3.11")

    def test_extras_and_groups_when_asked_for(self, text: str) -> None:
        assert {"redis==5.0", "tomli==2.0"} <= set(pins(text, extras=("cache",), groups=("jobs",)))

    def test_a_runtime_that_the_project_is_not_for(self, text: str) -> None:
        with pytest.raises(LayerBuildError, match=r"is for Python >=3.9,<3.14, and python3.14 is not among it"):
            pins(text, "python3.14")

    def test_hashes_are_kept(self, text: str) -> None:
        lines = lock(text).requirements(PythonTarget.of("python3.12", "arm64"))
        assert all(line.endswith(f" --hash={HASH}") for line in lines)


def package(source: str, files: str = FILES) -> str:
    return f'[[package]]\nname = "a"\nversion = "1"\n{files}\n{source}\n[metadata]\nlock-version = "2.1"\n'


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('[package.source]\ntype = "directory"\nurl = "../ours"', "/ours"),
        (
            '[package.source]\ntype = "url"\nurl = "https://example.com/a.whl"',
            f"a @ https://example.com/a.whl --hash={HASH}",
        ),
        ('[package.source]\ntype = "file"\nurl = "dist/a.whl"', f"a @ file:///srv/dist/a.whl --hash={HASH}"),
        ('[package.source]\ntype = "legacy"\nurl = "https://example.com/simple"', f"a==1 --hash={HASH}"),
    ],
)
def test_where_packages_come_from(source: str, line: str) -> None:
    assert lock(package(source)).requirements(PythonTarget.of("python3.12", "x86_64")) == [line]


def test_other_indexes_are_told() -> None:
    text = package('[package.source]\ntype = "legacy"\nurl = "https://example.com/simple"')
    assert lock(text).indexes == ["https://example.com/simple"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (package('[package.source]\ntype = "git"\nurl = "https://example.com/a.git"'), "locks a as a commit of https"),
        (package("", "files = []"), "has no hash of a"),
        ("package = 3", "not a lock of Poetry"),
        ('[[package]]\nname = "a"', "has no lock-version"),
        (package('markers = "what"'), "marker that cannot be read"),
        (package("markers = 3"), "is not as Poetry writes it"),
        ('[[package]]\nversion = "1"\n[metadata]\nlock-version = "2.0"', "is not as Poetry writes it"),
        ('[[package]]\nname = "a"\n[metadata]\nlock-version = "2.1"', "is not as Poetry writes it"),
        (
            package("").replace('name = "a"', 'name = "--index-url http://evil/ a"'),
            "is no package",
        ),
        (package("").replace('name = "a"', 'name = "a==1\\n-r /etc/shadow\\na"'), "is no package"),
    ],
)
def test_what_cannot_be_built_in_is_told(text: str, words: str) -> None:
    with pytest.raises(LayerBuildError, match=words):
        lock(text).requirements(PythonTarget.of("python3.12", "x86_64"))


def test_the_oldest_locks_have_their_hashes_elsewhere() -> None:
    text = '[[package]]\nname = "a"\nversion = "1"\n[metadata]\nlock-version = "1.1"\n'
    text += f'[metadata.files]\na = [{{file = "a.whl", hash = "{HASH}"}}]\n'
    project = '[project]\ndependencies = ["a>=1"]\n'
    assert lock(text, project=project).requirements(PythonTarget.of("python3.12", "x86_64")) == [f"a==1 --hash={HASH}"]


@pytest.mark.parametrize(
    ("version", "constraint", "expected"),
    [
        ("1.9", "^1.2", True),
        ("2.0", "^1.2", False),
        ("0.2.9", "^0.2.3", True),
        ("0.3.0", "^0.2.3", False),
        ("0.0.4", "^0.0.3", False),
        ("1.2.9", "~1.2.3", True),
        ("1.3.0", "~1.2.3", False),
        ("1.9", "~1", True),
        ("1.5", "1.*", True),
        ("1.5", "1.5", True),
        ("1.6", "1.5", False),
        ("3.5", ">=1,<2 || >=3", True),
        ("2.5", ">=1,<2 || >=3", False),
        ("3.9.1", ">=3.8 <4.0", True),
        ("1.5", "~=1.4", True),
        ("1.5", "*", True),
        ("1.5", "", True),
        ("1.5", "whatever", True),
        ("not a version", ">=1", True),
        ("2.0rc1", ">=1", True),
    ],
)
def test_constraints_as_poetry_writes_them(version: str, constraint: str, expected: bool) -> None:
    assert satisfies(version, constraint) is expected
