"""Two versions of a layer, side by side."""

import pytest
from tests.unit.layers.look.making import DIRECTORY, Executable, Link, Made, layer, library, python_package

from lamella.layers.findings import Finding, Severity
from lamella.layers.look.diff import LayerDiff, PackageChange, diff_layers
from lamella.layers.look.versions import compare_versions
from lamella.layers.packages import Ecosystem, packages_of


def diff(old: Made, new: Made, **options: bool) -> LayerDiff:
    one, other = layer(old, "old", **options), layer(new, "new")
    return diff_layers(one, other, packages=(packages_of(one), packages_of(other)))


@pytest.mark.parametrize("with_crc", [True, False])
def test_files(with_crc: bool) -> None:
    found = diff({"same": "1", "gone": "2", "other": "3"}, {"same": "1", "new": "22", "other": "4"}, with_crc=with_crc)
    assert [entry.name for entry in found.added] == ["new"]
    assert [entry.name for entry in found.removed] == ["gone"]
    assert [change.name for change in found.changed] == ["other"]
    assert found.sizes == (3, 4)
    assert not found.equal


def test_modes_links_and_directories() -> None:
    found = diff(
        {"run": "#!", "link": Link("a"), "kind": "x", "empty": DIRECTORY},
        {"run": Executable("#!"), "link": Link("b"), "kind": Link("x")},
    )
    assert [(change.name, change.old.mode, change.new.mode) for change in found.modes] == [("run", 0o644, 0o755)]
    assert [change.name for change in found.changed] == ["kind", "link"]
    assert diff({"empty": DIRECTORY, "a": "1"}, {"a": "1"}).equal


def test_packages_go_up_down_come_and_go() -> None:
    old = {**python_package("numpy", "1.26.4", {"numpy/__init__.py": ""}), **python_package("Six", "1.17", {})}
    new = {**python_package("numpy", "2.2.6", {"numpy/__init__.py": ""}), **python_package("idna", "3.1", {})}
    found = {change.name: change for change in diff(old, new).packages}
    assert {name: change.direction for name, change in found.items()} == {
        "numpy": "up",
        "Six": "removed",
        "idna": "added",
    }
    assert found["numpy"] == PackageChange(Ecosystem.PYPI, "numpy", ("1.26.4",), ("2.2.6",))
    assert [change.direction for change in diff(new, old).packages if change.name == "numpy"] == ["down"]


def test_the_same_package_written_otherwise_is_the_same() -> None:
    old, new = python_package("Foo_Bar", "1", {}), python_package("foo-bar", "1", {})
    assert diff(old, new).packages == ()


def test_nested_packages_of_npm() -> None:
    def package(directory: str, version: str) -> dict[str, str]:
        return {f"nodejs/node_modules/{directory}/package.json": f'{{"name": "ms", "version": "{version}"}}'}

    old = {**package("ms", "2.1.3"), **package("debug/node_modules/ms", "2.0.0")}
    [change] = diff(old, package("ms", "2.1.3")).packages
    assert (change.old, change.new, change.direction) == (("2.0.0", "2.1.3"), ("2.1.3",), "changed")


def test_modules_that_vanish() -> None:
    site = "python/lib/python3.12/site-packages"
    old = {
        "python/a.py": "",
        f"{site}/b/__init__.py": "",
        f"{site}/_c.cpython-312-x86_64-linux-gnu.so": "",
        "lib/d.py": "",
    }
    assert diff(old, {}).vanished_modules == ("_c", "a", "b")
    # It may move to where another version of Python sees it as well.
    assert diff(old, {"python/a.py": "", "python/b.py": "", f"{site}/_c.abi3.so": ""}).vanished_modules == ()


def test_findings_are_told_apart_by_what_they_are_about() -> None:
    def finding(code: str, reason: str = "") -> Finding:
        return Finding(code, Severity.WARNING, "lib", reason, "")

    said = {"old": [finding("a", "1 MB"), finding("b")], "new": [finding("a", "2 MB"), finding("c")]}
    one, other = layer({}, "old"), layer({}, "new")
    found = diff_layers(one, other, packages=((), ()), check=lambda contents: said[contents.label])
    assert [one.code for one in found.new_findings] == ["c"]
    assert [one.code for one in found.gone_findings] == ["b"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.9", "1.10"),
        ("1.0", "1.0.1"),
        ("2.0rc1", "2.0"),
        ("2.0.dev3", "2.0a1"),
        ("2.0b2", "2.0rc1"),
        ("1.0", "1.0.post1"),
        ("1.0-SNAPSHOT", "1.0"),
        ("4.0.0-beta.1", "4.0.0"),
        ("9" * 5000, "9" * 5000 + ".1"),
    ],
)
def test_versions(old: str, new: str) -> None:
    assert compare_versions(old, new) > 0
    assert compare_versions(new, old) < 0
    assert compare_versions(old, old) == 0


def test_symbols_that_a_library_does_not_offer_any_more() -> None:
    kept, gone, new = {"kept": (1, 0, 5)}, {"gone": (1, 0, 5)}, {"new": (2, 0, 5)}
    old, other = library({**kept, **gone}), library({**kept, **new}, gnu=True)
    found = diff(
        {"lib/liba.so.1": old, "lib/m.abi3.so": old, "lib/text.so": "no library", "bin/tool": old},
        {"lib/liba.so.1": other, "lib/m.abi3.so": other, "lib/text.so": other, "bin/tool": other},
    )
    [change] = found.symbols
    assert (change.name, change.removed, change.added) == ("lib/liba.so.1", ("gone",), ("new",))
