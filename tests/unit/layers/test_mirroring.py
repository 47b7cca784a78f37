import json
import time
from pathlib import Path

import pytest

from lamella.layers.mirroring import (
    MANIFEST,
    MirroringError,
    base64_of,
    file_name,
    find_arns,
    read_parcels,
    read_template,
    region_of,
    sha256_of,
    write_manifest,
)

POWERTOOLS = "arn:aws:lambda:us-east-1:017000801446:layer:AWSLambdaPowertoolsPythonV3-python311-x86_64:7"
SAM = f"""
Layers:
  - {POWERTOOLS}
  - !Sub arn:aws:lambda:${{AWS::Region}}:580247275435:layer:LambdaInsightsExtension:38
  - !Sub "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:580247275435:layer:LambdaInsightsExtension:38"
  - !Sub arn:aws:lambda:${{AWS::Region}}:${{AWS::AccountId}}:layer:own:1
  - !Ref Own
  - {POWERTOOLS}
"""
TERRAFORM = f"""
layers = ["{POWERTOOLS}", "arn:aws:lambda:${{var.region}}:580247275435:layer:LambdaInsightsExtension:38"]
"""
INSIGHTS = "arn:aws:lambda:eu-west-1:580247275435:layer:LambdaInsightsExtension:38"


@pytest.mark.parametrize("text", [SAM, TERRAFORM, json.dumps({"Layers": SAM.split()})])
def test_what_a_template_names(text: str) -> None:
    assert find_arns(text, "eu-west-1").arns == (POWERTOOLS, INSIGHTS)
    without = find_arns(text, None)
    assert without.arns == (POWERTOOLS,)
    assert without.open


@pytest.mark.parametrize(
    "text",
    [
        "", f"{POWERTOOLS.rpartition(':')[0]}", POWERTOOLS + "x", "arn:aws:lambda:us-east-1:1:layer:x:1",
        "arn:aws:s3:::bucket", "arn:aws:lambda:us-east-1:017000801446:function:f:1", f"{POWERTOOLS}:8",
    ],
)  # fmt: skip
def test_what_is_no_layer_version(text: str) -> None:
    assert find_arns(text, "us-east-1").arns == ()
    with pytest.raises(MirroringError):
        region_of(text)


def test_a_hostile_template_costs_no_time() -> None:
    began_s = time.monotonic()
    for text in ("arn:aws:lambda:us" + "-a" * 400_000, "arn:${" * 200_000, "arn:aws:lambda:${" + "x" * 1_000_000):
        assert find_arns(text, "us-east-1").arns == ()
    assert time.monotonic() - began_s < 2


def test_region_of() -> None:
    assert region_of(POWERTOOLS) == "us-east-1"


def test_hashes_in_hex_and_base64() -> None:
    hexed = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    assert base64_of(hexed) == base64_of(sha256_of(b"test")) == sha256_of(b"test")
    for wrong in ("", "abc", hexed[:-1], hexed + "0", "z" * 64, "é" * 44):
        with pytest.raises(MirroringError):
            base64_of(wrong)


def entry(archive: bytes = b"zip", **changed: object) -> dict[str, object]:
    facts = {"description": "d", "created": "2026-11-20T20:01:02.123+0000"}
    made = {"arn": POWERTOOLS, "file": file_name(POWERTOOLS), "code_sha256": sha256_of(archive), "facts": facts}
    return {**made, **changed}


def test_a_directory_comes_back(tmp_path: Path) -> None:
    (tmp_path / file_name(POWERTOOLS)).write_bytes(b"zip")
    write_manifest(tmp_path, [entry()])
    (parcel,) = read_parcels(tmp_path)
    assert (parcel.arn, parcel.archive, parcel.facts["description"]) == (POWERTOOLS, b"zip", "d")


@pytest.mark.parametrize(
    "changed",
    [
        {"file": "../secret"}, {"file": "/etc/passwd"}, {"file": ".hidden"}, {"file": "missing.zip"}, {"file": 7},
        {"file": "link.zip"}, {"code_sha256": sha256_of(b"other")}, {"code_sha256": None}, {"facts": None},
        {"facts": {"description": 7}}, {"arn": "arn:x"}, {"arn": []}, {"file": "a\x1b[2J"}, {"file": "directory"},
    ],
)  # fmt: skip
def test_a_hostile_directory_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    (tmp_path / file_name(POWERTOOLS)).write_bytes(b"zip")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link.zip").symlink_to(tmp_path / file_name(POWERTOOLS))
    write_manifest(tmp_path, [entry(**changed)])
    with pytest.raises(MirroringError):
        list(read_parcels(tmp_path))


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{}", '{"format": "x", "version": 1, "layers": []}', "[" * 100_000, "\0", '{"layers": 1}']
)
def test_a_manifest_that_is_none(tmp_path: Path, manifest: str) -> None:
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(MirroringError):
        list(read_parcels(tmp_path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(MirroringError, match="cannot read"):
            read_template(path)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(17 * 1024**2)
    with pytest.raises(MirroringError, match="larger"):
        read_template(large)
