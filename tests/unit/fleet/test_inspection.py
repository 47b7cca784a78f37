"""Layers are looked into before a roll-out, each once."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import ClientError
from tests.unit.fleet.fake_lambda import LAYER, OTHER, TAIL
from tests.unit.fleet.rolling import fleet, plan_of

from lamella.fleet.inspection import MOST_BYTES, Inspection
from lamella.fleet.making import find_layer, make_plan
from lamella.fleet.plan import Plan, PlannedFunction
from lamella.fleet.planning import Request
from lamella.fleet.vulnerable import known_vulnerabilities
from lamella.layers.contents import LayerContents, open_contents
from lamella.layers.doctor import Advisories

SOUND = {"python/mine.py": b"x = 1\n"}
WRONG = {"layer/python/mine.py": b"x = 1\n"}  # zipped with the folder around it


class Shelf:
    """Layer versions by ARN, with how often each was opened."""

    def __init__(self, **contents: Mapping[str, bytes]) -> None:
        self.files: dict[str, Mapping[str, bytes]] = {OTHER: SOUND, TAIL: {}}
        self.files.update({f"{LAYER}:{name.removeprefix('v')}": files for name, files in contents.items()})
        self.opened: list[str] = []

    @contextmanager
    def open(self, arn: str) -> Iterator[LayerContents]:
        self.opened.append(arn)
        if arn not in self.files:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "gone"}}, "GetLayerVersion")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in self.files[arn].items():
                info = zipfile.ZipInfo(name)
                info.external_attr = 0o100644 << 16
                file.writestr(info, content)
        with open_contents(archive, label=arn) as contents:
            yield contents


def plan(shelf: Shelf, *names: str, code_bytes: int = 0, force: bool = False) -> Plan:
    fake = fleet(*names)
    inspection = Inspection(shelf.open, lambda _: code_bytes)
    wanted = find_layer(fake, "shared", "8")
    return make_plan(fake, wanted, Request(LAYER, 8), waves="100%", inspection=inspection, force=force)


def planned() -> PlannedFunction:
    return plan_of(fleet("a")).functions["a"]


def test_a_sound_layer_is_fine_and_each_version_is_opened_once() -> None:
    shelf = Shelf(v7=SOUND, v8=SOUND)
    made = plan(shelf, "a", "b", "c")
    assert list(made.functions) == ["a", "b", "c"]
    assert not any(one.warnings for one in made.functions.values())
    assert sorted(shelf.opened) == sorted([OTHER, f"{LAYER}:8", TAIL, f"{LAYER}:7"])


def test_what_the_doctor_finds_in_the_new_version_blocks_it() -> None:
    made = plan(Shelf(v7=SOUND, v8=WRONG), "a")
    assert made.functions == {}
    [skipped] = made.skipped
    assert skipped.code == "blocked"
    assert "parent-folder" in skipped.reason
    assert any(finding.code == "parent-folder" for finding in made.findings)
    forced = plan(Shelf(v7=SOUND, v8=WRONG), "a", force=True)
    assert "parent-folder" in forced.functions["a"].warnings[0]


def test_what_was_wrong_before_is_no_reason_against_the_new_version() -> None:
    assert list(plan(Shelf(v7=WRONG, v8=WRONG), "a").functions) == ["a"]


def test_another_layer_that_is_gone_blocks_it_as_lambda_would() -> None:
    shelf = Shelf(v7=SOUND, v8=SOUND)
    del shelf.files[TAIL]
    [skipped] = plan(shelf, "a").skipped
    assert skipped.reason == "layer version tail:1 has been deleted, or is not shared with this account"


def test_an_old_version_that_is_gone_is_warned_about() -> None:
    [warning] = plan(Shelf(v8=SOUND), "a").functions["a"].warnings
    assert "could not be rolled back to 7" in warning


def test_a_layer_that_has_grown_too_big_for_the_code_beside_it_blocks_it() -> None:
    shelf = Shelf(v7=SOUND, v8={**SOUND, "python/more.py": b"x" * 100})
    assert list(plan(shelf, "a", code_bytes=MOST_BYTES // 2).functions) == ["a"]
    [skipped] = plan(shelf, "a", code_bytes=MOST_BYTES - 50).skipped
    assert "more than the 262,144,000 that Lambda takes" in skipped.reason


def test_the_code_is_not_asked_for_if_the_layer_has_not_grown() -> None:
    def never(_name: str) -> int:
        raise AssertionError

    with Inspection(Shelf(v7=SOUND, v8=SOUND).open, never) as inspection:
        assert inspection.inspect(planned(), LAYER).problems == []


def test_vulnerable_packages_are_named_with_what_mends_them() -> None:
    metadata = b"Metadata-Version: 2.1\nName: pillow\nVersion: 9.0.0\n"
    shelf = Shelf(v7={"python/pillow-9.0.0.dist-info/METADATA": metadata}, v8=SOUND)
    record = {
        "id": "GHSA-1",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "Pillow"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0.1"}]}],
            }
        ],
    }
    arns = [f"{LAYER}:7", f"{LAYER}:8"]
    found = known_vulnerabilities(arns, shelf.open, Advisories.of_records([record]), lambda *_: None)
    assert found == {f"{LAYER}:7": ["pillow 9.0.0: GHSA-1, mended in 9.0.1"]}
