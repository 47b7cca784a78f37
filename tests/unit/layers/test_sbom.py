import json
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from lamella.layers.build.report import ArchiveReport, built_packages, over_budget
from lamella.layers.build.sbom import bill_of_materials
from lamella.layers.packages import Ecosystem, Package

PACKAGES = [
    Package(Ecosystem.PYPI, "Pillow", "12.2.0", "MIT-CMU", "python/PIL.dist-info", "sha256:" + "a" * 64),
    Package(Ecosystem.PYPI, "numpy", "2.2.6", "BSD License", "python/lib/python3.12/numpy.dist-info"),
    Package(Ecosystem.PYPI, "numpy", "2.2.6", "BSD License", "python/lib/python3.13/numpy.dist-info"),
    Package(
        Ecosystem.NPM, "@aws-sdk/client-s3", "3.0.0", "Apache-2.0 OR MIT", "nodejs/node_modules/@aws-sdk/client-s3"
    ),
    Package(Ecosystem.MAVEN, "com.example:thing", "1.0", "", "java/lib/thing-1.0.jar", "sha512:" + "b" * 128),
    Package(Ecosystem.DEBIAN, "git", "1:2.39.5-0+deb12u2", "GPL-2.0-only", ""),
]


def bill() -> str:
    digests = {"sha256": "c" * 64, "content_sha256": "d" * 64}
    return bill_of_materials("deps", PACKAGES, **digests, runtimes=("python3.12", "python3.13"), architecture="arm64")


def test_it_is_valid_and_says_what_is_in_the_layer() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill()) is None
    document: dict[str, Any] = json.loads(bill())
    components = {one["bom-ref"]: one for one in document["components"]}
    assert len(components) == len(PACKAGES)
    pillow = components["pkg:pypi/pillow@12.2.0#python/PIL.dist-info"]
    assert pillow["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert pillow["licenses"] == [{"license": {"id": "MIT-CMU"}}]
    assert {one["purl"] for one in components.values()} == {
        "pkg:pypi/pillow@12.2.0",
        "pkg:pypi/numpy@2.2.6",
        "pkg:npm/%40aws-sdk/client-s3@3.0.0",
        "pkg:maven/com.example/thing@1.0",
        "pkg:deb/debian/git@1:2.39.5-0%2Bdeb12u2",
    }
    layer = document["metadata"]["component"]
    assert layer["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]
    dependencies = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    assert sorted(dependencies["layer"]) == sorted(components)


def test_it_tells_nothing_of_when_and_where_it_was_made() -> None:
    assert bill() == bill()
    document = json.loads(bill())
    assert "timestamp" not in document["metadata"]
    assert document["serialNumber"].startswith("urn:uuid:")


def report(**changes: Any) -> ArchiveReport:
    values: dict[str, Any] = {
        "output": Path("dist/my deps.zip"), "name": "deps", "description": "it's mine", "licence": "", "runtimes": (),
        "architecture": "arm64", "packages": (), "files": 1, "zipped_bytes": 10, "unzipped_bytes": 20, "sha256": "",
        "content_sha256": "",
    }  # fmt: skip
    return ArchiveReport(**(values | changes))


def test_a_package_of_two_runtimes_is_one_with_the_size_of_both() -> None:
    built = built_packages(PACKAGES, {PACKAGES[1]: 10, PACKAGES[2]: 20, PACKAGES[0]: 5})
    assert [(one.name, one.size_bytes) for one in built][:2] == [("numpy", 30), ("Pillow", 5)]


def test_a_budget_names_what_is_biggest() -> None:
    packages = built_packages(PACKAGES, {PACKAGES[0]: 5 * 1024**2, PACKAGES[1]: 9 * 1024**2})
    big = report(packages=packages, unzipped_bytes=14 * 1024**2)
    assert over_budget(big, max_zipped=10, max_unzipped=14 * 1024**2) == ""
    text = over_budget(big, max_zipped=None, max_unzipped=10 * 1024**2)
    assert (
        "has 14.0 MiB unzipped, of which 10.0 MiB are allowed. Biggest, unzipped: numpy 2.2.6 9.0 MiB, Pillow" in text
    )


def test_it_is_published_through_s3_if_it_is_too_big_for_a_request() -> None:
    (direct,) = report(runtimes=("python3.12",)).publish_commands()
    assert direct == (
        "aws lambda publish-layer-version --layer-name deps --description 'it'\"'\"'s mine' "
        "--zip-file 'fileb://dist/my deps.zip' --compatible-runtimes python3.12 --compatible-architectures arm64"
    )
    upload, publish = report(zipped_bytes=52_428_801).publish_commands()
    assert upload == "aws s3 cp 'dist/my deps.zip' s3://BUCKET/"
    assert "--content 'S3Bucket=BUCKET,S3Key=my deps.zip'" in publish
