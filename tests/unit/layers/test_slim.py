"""What may go, and above all what must stay."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

import pytest

from lamella.layers.build.slim import DEFAULT_SLIM, Trim, Trimming, plan_trimming
from lamella.layers.build.slim_node import package_of
from lamella.layers.build.slim_python import imported
from lamella.layers.build.trimming import RULES
from lamella.layers.contents import ContentEntry, EntryKind, LayerContents

SITE = "python/lib/python3.12/site-packages"


@dataclass(frozen=True, kw_only=True)
class MemoryContents(LayerContents):
    data: Mapping[str, bytes]

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.data[name])


def planned(files: Mapping[str, str], *keep: str, kinds: tuple[Trim, ...] = DEFAULT_SLIM) -> Trimming:
    data = {name: text.encode() for name, text in sorted(files.items())}
    entries = {name: ContentEntry(name, EntryKind.FILE, 0o644, len(text)) for name, text in data.items()}
    contents = MemoryContents(label="memory", entries=entries, data=data)
    return plan_trimming(contents, kinds, keep, RULES)


def gone(files: Mapping[str, str], *keep: str, site: str = SITE) -> set[str]:
    below = {f"{site}/{name}": text for name, text in files.items()}
    return {name.removeprefix(f"{site}/") for name in planned(below, *keep).names}


class TestTests:
    def test_directories_that_nobody_imports_go(self) -> None:
        files = {"a/__init__.py": "", "a/tests/__init__.py": "", "a/tests/test_x.py": "", "a/tests/data/x.bin": "x"}
        assert gone(files) == {"a/tests/__init__.py", "a/tests/test_x.py", "a/tests/data/x.bin"}
        assert gone(files, site="python") == gone(files)

    @pytest.mark.parametrize(
        "text",
        [
            "import a.tests.helpers",
            "from a.tests import helpers",
            "from a.tests.helpers import thing",
            "from .tests.helpers import thing",
            "from . import tests",
            "def later():\n    from a import tests",
            "name = 'a.tests.helpers'",
            "import importlib; importlib.import_module('.tests.helpers', 'a')",
            "print 'not Python 3', a.tests.helpers",
        ],
    )
    def test_those_that_are_imported_stay(self, text: str) -> None:
        files = {"a/__init__.py": "", "a/use.py": text, "a/tests/__init__.py": "", "a/tests/test_helpers.py": ""}
        assert gone(files) == set()

    def test_and_so_does_what_the_imported_ones_import(self) -> None:
        files = {
            "a/use.py": "import a.tests.helpers",
            "a/tests/__init__.py": "",
            "a/tests/helpers.py": "from b.tests import test_common",
            "a/tests/test_more.py": "import c.tests",
            "b/__init__.py": "",
            "b/tests/test_common.py": "",
            "c/__init__.py": "",
            "c/tests/test_it.py": "",
        }
        # Of the spared directory only what is reached is followed: `test_more` is not run when `a` is imported.
        assert gone(files) == {"c/tests/test_it.py"}
        plan = planned({f"{SITE}/{name}": text for name, text in files.items()})
        assert {(one.name.rpartition("site-packages/")[2], one.reason) for one in plan.spared} == {
            ("a/tests", "imported by a/use.py"),
            ("b/tests", "imported by a/tests/helpers.py"),
        }

    def test_a_name_inside_a_library_counts(self) -> None:
        files = {"a/_fast.so": "\x7fELF..\0a.tests.helpers\0", "a/tests/test_helpers.py": ""}
        assert gone(files) == set()

    def test_an_entry_point_counts(self) -> None:
        files = {"a-1.dist-info/entry_points.txt": "[pytest11]\na = a.tests.plugin\n", "a/tests/test_plugin.py": ""}
        assert gone(files) == set()

    def test_an_interface_for_testing_is_no_test(self) -> None:
        files = {"django/test/__init__.py": "", "django/test/client.py": "", "numpy/testing/__init__.py": ""}
        assert gone(files) == set()

    def test_a_distribution_of_that_name_stays_and_one_that_slipped_in_goes(self) -> None:
        own = {"tests/__init__.py": "", "tests/test_x.py": ""}
        record = "tests/__init__.py,,\ntests/test_x.py,,\n"
        assert gone({**own, "x-1.dist-info/RECORD": record, "x-1.dist-info/METADATA": "Name: x\n"}) == set()
        assert gone(own) == set()
        slipped = {
            **own,
            "x.py": "",
            "x-1.dist-info/METADATA": "Name: x\n",
            "x-1.dist-info/RECORD": f"x.py,,\n{record}",
        }
        assert gone(slipped) == set(own)

    def test_conftest_is_read_by_pytest_alone(self) -> None:
        files = {"a/conftest.py": "import a.tests.test_x", "a/__init__.py": "", "a/tests/test_x.py": ""}
        assert gone(files) == {"a/conftest.py", "a/tests/test_x.py"}
        assert gone({**files, "a/use.py": "import a.conftest"}) == set()

    def test_the_user_has_the_last_word(self) -> None:
        files = {"a/tests/test_x.py": "", "a/x.py": "", "b/tests/test_x.py": "", "b/x.py": ""}
        assert gone(files, "a") == gone(files, "a/tests/*") == gone(files, f"{SITE}/a/*") == {"b/tests/test_x.py"}

    def test_without_packages_of_python_nothing_is_a_test(self) -> None:
        assert planned({"bin/tests/test_x.py": "", "etc/tests/x": ""}).names == {}


class TestOtherKinds:
    def test_bytecode_goes_where_the_source_is(self) -> None:
        files = {"a.py": "", "__pycache__/a.cpython-312.pyc": "x", "__pycache__/b.cpython-312.pyc": "x", "c.pyc": "x"}
        assert gone(files) == {"__pycache__/a.cpython-312.pyc"}

    def test_documents_go_unless_there_is_code_or_somebody_names_them(self) -> None:
        assert gone({"a/docs/x.html": "", "a/x.py": ""}) == {"a/docs/x.html"}
        assert gone({"a/docs/x.html": "", "a/docs/y.py": ""}) == set()
        assert gone({"a/docs/x.html": "", "a/x.py": "open(here / 'docs')"}) == set()
        assert gone({"a/docs/x.html": "", "a/x.py": "open(here + 'data/docs/x.html')"}) == set()
        assert gone({"a/docs/x.html": "", "a/x.py": "'see https://example.com/docs/'"}) == {"a/docs/x.html"}
        assert gone({"share/man/man1/x.1": "", "a/x.py": ""}) == {"share/man/man1/x.1"}

    def test_stubs_go_unless_the_package_reads_them(self) -> None:
        assert gone({"a/__init__.pyi": "", "a/py.typed": "", "a/x.py": ""}) == {"a/__init__.pyi", "a/py.typed"}
        lazy = {"skimage/__init__.pyi": "", "skimage/__init__.py": "lazy.attach_stub(__name__, __file__)"}
        assert gone(lazy) == set()

    def test_headers_stay_beside_what_compiles(self) -> None:
        files = {"numpy/_core/include/numpy/x.h": "", "numpy/x.pxd": ""}
        assert gone(files) == set(files)
        assert gone({**files, "numba/x.py": ""}) == set()

    def test_licences_stay(self) -> None:
        names = ["docs/LICENSE.txt", "doc/COPYING", "doc/NOTICE", "docs/licence"]
        assert gone({f"a/{name}": "" for name in names}) == set()
        assert planned({"share/doc/git/copyright": "", "debian/usr/share/doc/git/README": ""}).names == {
            "debian/usr/share/doc/git/README": Trim.DOCS
        }

    def test_static_libraries_go_and_those_of_libtool_stay(self) -> None:
        names = ["lib/x.a", "lib/pkgconfig/x.pc", "lib/cmake/X/x.cmake", "lib/x.la", "lib/x.so"]
        assert set(planned(dict.fromkeys(names, "")).names) == set(names[:3])

    def test_what_is_not_asked_for_stays(self) -> None:
        assert planned({"lib/x.a": "", "share/man/x": ""}, kinds=(Trim.DOCS,)).names == {"share/man/x": Trim.DOCS}


def distribution(name: str, *requires: str) -> dict[str, str]:
    info = f"{name.replace('-', '_')}-1.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    record = f"{name}/__init__.py,,\n{info}/METADATA,,\n{info}/RECORD,,\n{info}/LICENSE,,\n"
    return {
        f"{name}/__init__.py": "",
        f"{info}/METADATA": f"Name: {name}\nVersion: 1\n{needs}",
        f"{info}/RECORD": record,
        f"{info}/LICENSE": "",
    }


class TestWhatTheRuntimeHas:
    AWS = (
        distribution("boto3", "botocore<2", "jmespath")
        | distribution("botocore", "urllib3!=2.2.0,<3 ; python_version >= '3.10'", "jmespath")
        | distribution("urllib3")
        | distribution("jmespath")
    )

    def test_it_goes_with_all_that_only_it_needs(self) -> None:
        assert gone(self.AWS | distribution("mine")) == set(self.AWS)

    def test_what_another_package_requires_stays_with_what_it_requires(self) -> None:
        assert gone(self.AWS | distribution("requests", "urllib3>=1.26")) == set(self.AWS) - set(
            distribution("urllib3")
        )
        assert gone(self.AWS | distribution("aiobotocore", "botocore==1.0")) == set(distribution("boto3", "x"))

    def test_what_an_extra_requires_counts(self) -> None:
        assert gone(self.AWS | distribution("powertools", 'boto3; extra == "aws-sdk"')) == set()

    def test_what_is_damaged_stays(self) -> None:
        files = {name: text for name, text in self.AWS.items() if name != "boto3-1.dist-info/METADATA"}
        assert gone(files) == set(files) - set(distribution("boto3"))

    def test_what_was_asked_for_stays(self) -> None:
        assert gone(self.AWS, "boto3") == set()
        assert gone(self.AWS, "urllib3") == set(self.AWS) - set(distribution("urllib3"))


class TestNode:
    ROOT = "nodejs/node_modules"

    def gone(self, files: Mapping[str, str]) -> set[str]:
        names = planned({f"{self.ROOT}/{name}": text for name, text in files.items()}).names
        return {name.removeprefix(f"{self.ROOT}/") for name in names}

    def test_tests_and_documents_go(self) -> None:
        files = {
            "a/index.js": "",
            "a/README.md": "",
            "a/test/x.js": "",
            "@b/c/docs/x.html": "",
            "@b/c/__tests__/x.js": "",
        }
        assert self.gone(files) == set(files) - {"a/index.js"}

    def test_what_the_code_names_stays(self) -> None:
        assert self.gone({"a/index.js": "require('./test/x')", "a/test/x.js": ""}) == set()
        assert self.gone({"a/package.json": '{"main": "docs/x.js"}', "a/docs/x.js": ""}) == set()
        scripts = '{"scripts": {"test": "mocha test/x.js"}, "files": ["test/"]}'
        assert self.gone({"a/package.json": scripts, "a/test/x.js": ""}) == {"a/test/x.js"}

    def test_declarations_go_except_where_they_are_read(self) -> None:
        assert self.gone({"a/x.d.ts": "", "typescript/lib/lib.d.ts": ""}) == {"a/x.d.ts"}

    def test_licences_stay(self) -> None:
        assert self.gone({"a/LICENSE.md": "", "a/docs/LICENSE": ""}) == set()

    @pytest.mark.parametrize(
        ("name", "package"),
        [
            ("nodejs/node_modules/a/x.js", "nodejs/node_modules/a"),
            ("nodejs/node_modules/@a/b/x/y.js", "nodejs/node_modules/@a/b"),
            ("nodejs/node_modules/a/node_modules/b/x.js", "nodejs/node_modules/a/node_modules/b"),
            ("nodejs/node_modules/.package-lock.json", ""),
            ("python/x.py", ""),
        ],
    )
    def test_which_package_a_file_is_of(self, name: str, package: str) -> None:
        assert package_of(name) == package


def test_relative_imports_start_at_their_package() -> None:
    assert set(imported(b"from .. import tests\nfrom ..tests.x import y", "a.b.c")) == {
        *("a.b", "a.b.tests", "a.b.tests.x", "a.b.tests.x.y")
    }


def test_the_report_names_where_most_of_it_was() -> None:
    plan = planned(
        {f"{SITE}/a/tests/test_x.py": "", f"{SITE}/b/tests/test_y.py": "", f"{SITE}/b/x.py": "", f"{SITE}/a/x.py": ""}
    )
    removed = plan.removed({f"{SITE}/a/tests/test_x.py": 10, f"{SITE}/b/tests/test_y.py": 30})
    assert [(one.kind, one.files, one.size_bytes, one.places) for one in removed] == [(Trim.TESTS, 2, 40, ("b", "a"))]
