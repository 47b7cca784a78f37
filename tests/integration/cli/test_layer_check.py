"""What a user of `lamella layer check` sees."""

import base64
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.unit.layers.doctor.elves import elf
from tests.unit.layers.doctor.making import File, zipped

from lamella.cli.main import main

FOR_IT = ("--runtime", "python3.12", "--architecture", "x86_64")


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: bytes
    stderr: bytes


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Done]:
    """The command in this process, which saves a second each time."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["lamella", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsysbinary.readouterr()
        return Done(int(ended.value.code or 0), told.out, told.err)

    return run


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.zip"
    path.write_bytes(zipped({"python/fast.abi3.so": elf("arm64"), "python/\x1b]0;title\x07.so": elf("arm64")}))
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.zip"
    path.write_bytes(zipped({"python/fast.abi3.so": elf("x86_64")}))
    return path


# Any: the fixtures' classes live in conftest.py, which cannot be imported.
def test_a_sound_layer_is_status_0_and_says_for_whom(quick: Callable[..., Done], good: Path) -> None:
    done = quick("layer", "check", str(good), *FOR_IT, "--no-prove")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr == b"Nothing found. Checked for python3.12, x86_64.\n"


def test_an_error_is_status_1_with_place_reason_and_remedy(lamella: Any, bad: Path) -> None:
    done = lamella.run("layer", "check", str(bad), *FOR_IT, "--no-prove")
    assert done.returncode == 1
    text = done.stdout.decode()
    assert text.startswith("1 error\n")
    assert "wrong-architecture  python/" in text
    assert "mend: lamella layer build ... --architecture x86_64" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_json_has_the_findings_and_the_verdict(quick: Callable[..., Done], bad: Path) -> None:
    done = quick("layer", "check", str(bad), *FOR_IT, "--no-prove", "--json")
    answer = json.loads(done.stdout)
    assert answer["ok"] is False
    assert answer["runtimes"] == ["python3.12"]
    assert [(finding["code"], finding["severity"]) for finding in answer["findings"]] == [
        ("wrong-architecture", "error")
    ]


def test_what_fails_can_be_chosen(quick: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "layer" / "python").mkdir(parents=True)
    (tmp_path / "layer" / "python" / ".DS_Store").write_text("x")
    run = ("layer", "check", str(tmp_path / "layer"), *FOR_IT, "--no-prove")
    assert quick(*run).returncode == 0
    assert quick(*run, "--fail-on", "note").returncode == 1
    assert quick(*run, "--fail-on", "note", "--ignore", "junk").returncode == 0


def test_sarif_is_written_beside_the_answer(quick: Callable[..., Done], bad: Path, tmp_path: Path) -> None:
    log = tmp_path / "layer.sarif"
    assert quick("layer", "check", str(bad), *FOR_IT, "--no-prove", "--sarif", str(log)).returncode == 1
    run = json.loads(log.read_text())["runs"][0]
    assert [result["ruleId"] for result in run["results"]] == ["wrong-architecture"]


def test_advisories_of_the_user_are_looked_up(quick: Callable[..., Done], tmp_path: Path) -> None:
    layer = tmp_path / "layer.zip"
    layer.write_bytes(zipped({"python/a-1.0.dist-info/METADATA": "Name: a\nVersion: 1.0\n"}))
    package = {"package": {"ecosystem": "PyPI", "name": "a"}}
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}]
    records = [{"id": f"X-{number}", "affected": [{**package, "ranges": ranges}]} for number in (1, 2)]
    lines, archive, directory = tmp_path / "all.ndjson", tmp_path / "all.zip", tmp_path / "all"
    lines.write_text("\n".join(map(json.dumps, records)))
    directory.mkdir()
    with zipfile.ZipFile(archive, "w") as zipped_records:
        for record in records:
            zipped_records.writestr(f"{record['id']}.json", json.dumps(record))
            (directory / f"{record['id']}.json").write_text(json.dumps(record))
    for source in (lines, archive, directory):
        done = quick("layer", "check", str(layer), "--no-prove", "--json", "--advisories", str(source))
        (finding,) = json.loads(done.stdout)["findings"]
        assert finding["code"] == "vulnerable-package"
        assert "X-1" in finding["reason"]
        assert "2.0" in finding["remedy"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a zip archive"),
        (("good.zip", "--runtime", "python9"), "--runtime 'python9' is not known; the nearest is 'python3.9'"),
        (("good.zip", "--architecture", "mips"), "--architecture 'mips' is not known"),
        (("good.zip", "--fail-on", "never"), "--fail-on takes"),
        (("good.zip", "--ignore", "nonsense"), "findings.md lists all"),
        (("good.zip", "--advisories", "nowhere"), "there is no file or directory nowhere with advisories"),
        (("no/such.zip",), "no file or directory"),
        (("good.zip", "--sarif", "/no/such/directory/x", "--no-prove"), "cannot write"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    quick: Callable[..., Done], good: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(good.parent)
    done = quick("layer", "check", *arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_what_is_no_archive_is_status_2(quick: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("no zip")
    done = quick("layer", "check", str(tmp_path / "x.zip"))
    assert done.returncode == 2
    assert b"not a zip archive" in done.stderr


def test_a_server_proves_the_archive_as_it_is(lamella: Any, server: Any, good: Path) -> None:
    finding = {
        "code": "import-failed",
        "severity": "error",
        "place": "python/fast.abi3.so",
        "reason": "import fast fails",
        "remedy": "Build it again.",
        "layer": "what the server calls it",
        "runtime": "python3.12",
    }
    proved = [{"runtime": "python3.12", "imports": 1, "failed": 1, "seconds": 0.5}]
    server.will_reply(200, {"findings": [finding], "proved": proved, "not_proved": []})
    done = lamella.run("layer", "check", str(good), *FOR_IT, "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert [(one["code"], one["layer"]) for one in answer["findings"]] == [("import-failed", "")]
    assert answer["proved"] == proved
    assert b"Tried in python3.12: 1 imports, 1 failed" in done.stderr
    (request,) = server.requests
    parts = urlsplit(request.path)
    assert (request.method, parts.path) == ("POST", "/_lamella/layers/prove")
    assert parse_qs(parts.query) == {"runtime": ["python3.12"], "architecture": ["x86_64"]}
    assert request.body == good.read_bytes()


def test_a_directory_is_proved_with_its_modes_and_links(lamella: Any, server: Any, tmp_path: Path) -> None:
    root = tmp_path / "layer"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "run").write_text("#!/bin/sh\n")
    (root / "bin" / "run").chmod(0o755)
    (root / "bin" / "link").symlink_to("run")
    server.will_reply(
        200, {"findings": [], "proved": [], "not_proved": [{"runtime": "python3.12", "reason": "absent"}]}
    )
    done = lamella.run("layer", "check", str(root), *FOR_IT)
    assert done.returncode == 0
    assert b"Not tried in python3.12: absent" in done.stderr
    sent = tmp_path / "sent.zip"
    sent.write_bytes(server.requests[0].body)
    with zipfile.ZipFile(sent) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        assert archive.read("bin/link") == b"run"
    assert modes == {"bin/run": 0o100755, "bin/link": 0o120777}


def test_without_a_server_one_line_says_how_and_prove_makes_it_an_error(lamella: Any, server: Any, good: Path) -> None:
    server.will_reply(404, {"message": "no such page"})
    done = lamella.run("layer", "check", str(good), *FOR_IT)
    assert done.returncode == 0
    assert b"Nothing was tried in a sandbox" in done.stderr
    done = lamella.run("layer", "check", str(good), *FOR_IT, "--prove")
    assert done.returncode == 3


def test_a_function_gives_layers_runtime_and_architecture(
    lamella: Any, server: Any, good: Path, bad: Path, tmp_path: Path
) -> None:
    arn = "arn:aws:lambda:us-east-1:000000000000:layer:fast:1"
    archive = bad.read_bytes()
    code = tmp_path / "code.zip"
    with zipfile.ZipFile(code, "w") as made:
        made.writestr("app.py", bytes(1000))

    def answer(handler: Any) -> None:
        if "/functions/" in handler.path:
            configuration = {
                "FunctionName": "photo",
                "Runtime": "python3.12",
                "Architectures": ["x86_64"],
                "Layers": [{"Arn": arn}],
                "PackageType": "Zip",
            }
            document: Any = {"Configuration": configuration, "Code": {"Location": f"{server.url}/code"}}
        elif "/layers" in handler.path:
            digest = base64.b64encode(hashlib.sha256(archive).digest()).decode()
            content = {"Location": f"{server.url}/layer", "CodeSha256": digest, "CodeSize": len(archive)}
            version = "2" if "fast/versions/2" in handler.path or "fast%3A2" in handler.path else "1"
            document = {"LayerVersionArn": arn[:-1] + version, "Version": int(version), "Content": content}
        else:
            handler.reply(200, code.read_bytes() if handler.path == "/code" else archive)
            return
        handler.reply(200, json.dumps(document).encode(), {"content-type": "application/json"})

    server.answer = answer
    lamella.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    done = lamella.run("layer", "check", "--function", "photo", "--no-prove", "--json")
    answered = json.loads(done.stdout)
    assert (answered["runtimes"], answered["architectures"]) == (["python3.12"], ["x86_64"])
    assert [finding["code"] for finding in answered["findings"]] == ["wrong-architecture"]
    newer = lamella.run("layer", "check", str(good), "fast:2", "--function", "photo", "--no-prove", "--json")
    found = json.loads(newer.stdout)["findings"]
    assert {finding["layer"] for finding in found} == {arn.replace("fast:1", "fast:2"), str(good)}
    together = lamella.run("layer", "check", str(good), "--function", "photo", "--no-prove", "--json")
    found = json.loads(together.stdout)["findings"]
    assert {finding["layer"] for finding in found} == {arn, str(good)}
    assert {"wrong-architecture", "overridden-files"} <= {finding["code"] for finding in found}


def test_it_reads_a_layer_whose_modes_are_windows(quick: Callable[..., Done], tmp_path: Path) -> None:
    layer = tmp_path / "layer.zip"
    layer.write_bytes(zipped({"bootstrap": File(b"#!/bin/sh\r\necho\r\n", 0o644)}))
    done = quick("layer", "check", str(layer), "--no-prove", "--json")
    found = [finding["code"] for finding in json.loads(done.stdout)["findings"]]
    assert found == ["not-executable", "windows-line-ends"]
