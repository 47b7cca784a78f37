"""`lamella extension verify` against a real server: what a user sees."""

import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.support.extensions import PYTHON, WELL
from tests.support.functions import archive
from tests.support.server import LamellaServer
from tests.support.workshop import ask

from lamella.cli.main import main

pytestmark = pytest.mark.sandbox

LISTING = Path(__file__).parents[1] / "integration" / "conformance" / "patients" / "telemetry-extension"


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Verify = Callable[..., Done]


@pytest.fixture
def verify(server: LamellaServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    """The command in this process, which saves a second each time."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["lamella", "extension", "verify", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Done(int(ended.value.code or 0), told.out, told.err)

    return run


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "well.py"
    path.write_text(WELL)
    path.chmod(0o755)
    return path


def test_a_program_that_does_what_it_has_to(verify: Verify, program: Path, tmp_path: Path) -> None:
    """Given as a file; the report is for people."""
    done = verify(program, "--only", "registers,ends,asks-again", "--all", "--junit", tmp_path / "it.xml")
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        ["Playing: ordinary life", f"Played in {PYTHON} (x86_64)."],
    )
    rows = [line for line in done.stdout.splitlines() if line.startswith("pass")]
    assert [row.split()[2] for row in rows] == ["registers:", "asks-again:", "ends:"]
    assert done.stdout.splitlines()[-1].startswith("well.py: 3 passed, 0 failed in ")
    assert len(ET.parse(tmp_path / "it.xml").findall(".//testcase")) == 3


def test_a_layer_version_with_a_fault(server: LamellaServer, verify: Verify) -> None:
    """It is played in the runtimes that it declares; the report is for machines."""
    files = {"extensions/telemetry-extension": LISTING.read_text()}
    made = server.boto3().publish_layer_version(
        LayerName="listing", Content={"ZipFile": archive(files)}, CompatibleRuntimes=[PYTHON, "python3.14"]
    )
    done = verify(made["LayerVersionArn"], "--only", "starts,modules,telemetry-subscribes", "--json")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "lamella: failed: modules, telemetry-subscribes"
    report = json.loads(done.stdout)
    assert {row["id"]: row["verdict"] for row in report["checks"]} == {
        "starts": "pass",
        "modules": "fail",
        "telemetry-subscribes": "fail",
    }
    assert report["notes"][1:] == ["It was lent the module requests, so that the rest could be seen."]
    assert "No module named 'requests'" in report["output"]


def test_archives_and_directories(verify: Verify, program: Path, tmp_path: Path) -> None:
    (tmp_path / "layer" / "extensions").mkdir(parents=True)
    program.rename(tmp_path / "layer" / "extensions" / "one.py")
    (tmp_path / "layer" / "extensions" / "README").write_text("no program")
    chosen = ("--extension", "one.py", "--only", "files,starts")
    done = verify(tmp_path / "layer", *chosen)
    assert done.returncode == 1
    assert "README: fork/exec /opt/extensions/README: permission denied" in done.stdout
    with zipfile.ZipFile(tmp_path / "layer.zip", "w") as made:
        made.write(tmp_path / "layer" / "extensions" / "one.py", "extensions/one.py")
    assert verify(tmp_path / "layer.zip", *chosen).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["nowhere"], 2, "there is no file or directory 'nowhere'"),
        (["{layer}"], 3, "There are several extensions, so name one of them: a, b."),
        (["{layer}", "--extension", "c"], 3, "There is no extension 'c'; there is a, b."),
        (["{layer}", "--extension", "a", "--only", "nonsense"], 3, "There is no check 'nonsense'"),
        (["{layer}", "--extension", "a", "--runtime", "ruby3.9"], 3, "Runtime ruby3.9 is not installed"),
        (["{layer}", "--extension", "a", "--collector", "A B"], 3, "The collector is named by a variable"),
        (["{layer}", "--extension", "a", "--variable", "A"], 3, "A variable is NAME=value"),
        (["arn:aws:lambda:us-east-1:000000000000:layer:none:1"], 3, "There is no layer version"),
        (["{empty}"], 3, "There is no extension: the layers have no file in a folder 'extensions'."),
    ],
)
def test_what_cannot_be(verify: Verify, tmp_path: Path, arguments: list[str], status: int, told: str) -> None:
    layer, empty = tmp_path / "layer.zip", tmp_path / "empty"
    layer.write_bytes(archive({"extensions/a": WELL, "extensions/b": WELL}))
    empty.mkdir()
    done = verify(*(argument.format(layer=layer, empty=empty) for argument in arguments))
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr


def test_a_layer_of_another_account_is_none(server: LamellaServer) -> None:
    made = server.boto3().publish_layer_version(LayerName="mine", Content={"ZipFile": archive({"extensions/a": WELL})})
    query = f"layer={made['LayerVersionArn']}&account=111111111111"
    status, answer = ask(server, f"conformance/extension?{query}", b"")
    assert (status, answer["error"]) == (404, f"There is no layer version {made['LayerVersionArn']}.")
