from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.layers.build.node import _directories
from lamella.layers.build.npm import Installed, explain, missing_binaries
from lamella.layers.errors import LayerBuildError


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("npm error code EUSAGE\nnpm error `npm ci` can only install packages when in sync", "do not go together"),
        ("npm error code E404\nnpm error 404 Not Found", "not in the registry"),
        ("npm error code ETARGET\nnpm error notarget No matching version", "in that version"),
        ("npm error code EINTEGRITY\nnpm error sha512-x", "not what the lock says"),
        ("npm error code ENOTFOUND\nnpm error network", "cannot be reached"),
        ("npm error code E403\nnpm error forbidden", "npm could not install"),
    ],
)
def test_complaints_come_with_advice(message: str, advice: str) -> None:
    text = explain(message, Path("/tmp/scratch"))
    assert advice in text.partition("\n")[0]
    assert text.endswith(message)


def test_stack_traces_and_scratch_directories_are_left_out() -> None:
    message = (
        "npm error code ECONNREFUSED\nnpm error syscall connect\nnpm error     at f (/usr/lib/x.js:1:1) {\n"
        "npm error   code: 'ECONNREFUSED',\nnpm error }\nnpm error A complete log of this run can be found in: x"
    )
    assert explain(message, Path("/tmp/scratch")).splitlines()[1:] == [
        "npm error code ECONNREFUSED",
        "npm error syscall connect",
    ]


def sharp(*optional: str) -> Installed:
    return Installed("node_modules/sharp", {"version": "1", "optionalDependencies": dict.fromkeys(optional, "1")})


def test_a_lock_without_the_targets_binaries_is_noticed() -> None:
    package = sharp(
        "@img/sharp-linux-x64", "@img/sharp-linux-arm64", "@img/sharp-linuxmusl-x64", "@img/sharp-darwin-x64"
    )
    binary = Installed("node_modules/@img/sharp-linux-x64", {"version": "1"})
    assert missing_binaries([package, binary], Architecture.X86_64) == []
    assert missing_binaries([package, binary], Architecture.ARM64) == [("sharp", "@img/sharp-linux-arm64")]


def test_packages_are_named_by_their_innermost_place_or_as_the_lock_says() -> None:
    assert Installed("node_modules/a/node_modules/@b/c", {}).name == "@b/c"
    assert Installed("node_modules/alias", {"name": "real"}).name == "real"
    assert Installed("node_modules/a", {"license": {"type": "MIT"}}).licence == ""


def test_directories_by_version_of_node() -> None:
    assert _directories(["18", "20"], by_version=False) == ["nodejs/node_modules"]
    assert _directories(["18", "20"], by_version=True) == ["nodejs/node18/node_modules", "nodejs/node20/node_modules"]
    with pytest.raises(LayerBuildError, match="need a Node runtime"):
        _directories([], by_version=True)
