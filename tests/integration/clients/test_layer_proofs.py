"""Layers of Node.js and Java, proved in the sandboxes of a real server."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.functions import archive
from tests.support.languages import NODES, host_java
from tests.support.server import LamellaServer
from tests.support.workshop import ask

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

MODULES = "nodejs/node_modules"


def package(name: str, code: str, **members: object) -> dict[str, str]:
    manifest = json.dumps({"name": name, "version": "1.0.0", "main": "main.js", **members})
    return {f"{MODULES}/{name}/package.json": manifest, f"{MODULES}/{name}/main.js": code}


def test_node_packages_are_required_or_imported(server: LamellaServer, installed: Callable[[str], str]) -> None:
    runtime = installed(NODES[0])
    content = archive(
        {
            **package("plain", "module.exports = require('modern-user') + 1", dependencies={"modern-user": "1"}),
            **package("modern-user", "module.exports = 1"),
            **package("modern", "import fs from 'node:fs'; export default fs;", type="module"),
            **package("modern-bad", "import x from 'nowhere'; export default x;", type="module"),
            **package("leaves", "process.exit(0)"),
            **package("kills", "process.kill(process.pid, 'SIGKILL')"),
            **package("throws", "throw new Error('why \\x1b[31m')"),
            **package("misses", "require('left-pad')"),
            **package("floods", "while (true) require('fs').writeSync(1, 'x'.repeat(65536))"),
            **package("forges", "console.log(JSON.stringify({nonce: '', index: 0, event: 'end', outcome: 'ok'}))"),
            **package("late", "setTimeout(() => { throw new Error('late') }, 0); Promise.reject(new Error('later'))"),
            "nodejs/own.cjs": "module.exports = require('plain')",
        }
    )
    status, document = ask(server, f"layers/prove?runtime={runtime}", content)
    assert status == 200, document
    found = {finding["place"].rpartition("/")[2]: finding for finding in document["findings"]}
    assert set(found) == {"modern-bad", "leaves", "kills", "throws", "misses", "floods"}
    assert "Add left-pad to package.json" in found["misses"]["remedy"]
    assert "Add nowhere to package.json" in found["modern-bad"]["remedy"]
    assert "status 0" in found["leaves"]["reason"]
    assert "signal 9" in found["kills"]["reason"]
    assert "\x1b" not in found["throws"]["reason"]
    assert "without end" in found["floods"]["reason"]
    assert document["proved"][0]["imports"] == 12


SOURCES = {
    "good/Good.java": "package good; public class Good { static { System.exit(3); } }",
    "driver/Driver.java": """
        package driver;
        public class Driver { public Driver() { throw new RuntimeException("no"); } }
    """,
    "needs/Needs.java": "package needs; public class Needs extends other.Other { }",
    "other/Other.java": "package other; public class Other { }",
}


def jars(directory: Path) -> dict[str, bytes]:
    """Jars, good and bad."""
    for name, text in SOURCES.items():
        (directory / name).parent.mkdir()
        (directory / name).write_text(text)
    subprocess.run(["javac", *SOURCES], cwd=directory, check=True)
    good = (directory / "good/Good.class").read_bytes()
    newer = good[:6] + (99).to_bytes(2, "big") + good[8:]
    driver = (directory / "driver/Driver.class").read_bytes()
    services = "META-INF/services/java.sql.Driver"
    return {
        "java/lib/good.jar": archive({"good/Good.class": good}),
        "java/lib/driver.jar": archive({"driver/Driver.class": driver, services: "# ours\ndriver.Driver\n"}),
        "java/lib/needs.jar": archive({"needs/Needs.class": (directory / "needs/Needs.class").read_bytes()}),
        "java/lib/newer.jar": archive({"newer/Newer.class": newer}),
        "java/lib/damaged.jar": archive({"x/X.class": b"\xca\xfe\xba\xbe nonsense"}),
        "java/lib/nothing.jar": archive({"readme.txt": "no classes"}),
        "java/lib/none.jar": b"no zip",
    }


@pytest.mark.skipif(shutil.which("javac") is None, reason="javac is not installed")
def test_classes_of_jars_are_loaded_and_drivers_made(
    server: LamellaServer, installed: Callable[[str], str], tmp_path: Path
) -> None:
    runtime = installed(host_java())
    status, document = ask(server, f"layers/prove?runtime={runtime}", archive(jars(tmp_path)))
    assert status == 200, document
    found = {finding["place"].removeprefix("java/lib/"): finding for finding in document["findings"]}
    assert set(found) == {"driver.jar", "needs.jar", "newer.jar", "damaged.jar", "none.jar"}
    assert {finding["code"] for finding in found.values()} == {"class-load-failed"}
    assert "the JDBC driver driver.Driver cannot be made" in found["driver.jar"]["reason"]
    assert "other/Other" in found["needs.jar"]["reason"]
    assert "It is for Java 55" in found["newer.jar"]["remedy"]
    assert document["proved"][0]["imports"] == 6
