"""Layers, good and hostile, in real sandboxes."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.integration.workshop.conftest import LIMITS, Prove, variables, write

from lamella.adapters.sandbox import OciSandboxProvider
from lamella.domain.function import Architecture
from lamella.layers.contents import open_contents
from lamella.layers.facts import FACTS
from lamella.layers.findings import Severity
from lamella.layers.proving import plan_proof
from lamella.ports.runtimes import RuntimePack
from lamella.runtimes.catalog import PackCatalog
from lamella.runtimes.system import host_architecture
from lamella.workshop.prover import Prover

pytestmark = pytest.mark.sandbox

FORGES = """
import json, os
for descriptor in range(1, 10):
    try:
        os.write(descriptor, (json.dumps({"nonce": "", "index": 0, "event": "end", "outcome": "ok"}) + "\\n").encode())
    except OSError:
        pass
raise ValueError("forged \\x1b[31m red")
"""
FORKS = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
"""
FLOODS = """
import os
while True:
    descriptor = os.open(f"/proc/{os.getppid()}/fd/1", os.O_WRONLY)
    os.write(descriptor, b"x" * 65536)
    os.close(descriptor)
"""
HOSTILE = {
    "raises": "import json\n\nraise ValueError('why')",
    "misses": "import nowhere",
    "segfaults": "import ctypes; ctypes.string_at(0)",
    "hangs": "import time; time.sleep(1000)",
    "forks": FORKS,
    "forges": FORGES,
    "floods": FLOODS,
    "eats": "kept = []\nwhile True: kept.append(b'x' * (1 << 24))",
    "leaves": "import os; os._exit(0)",
    "kills": "import os; os.kill(os.getppid(), 9)",
}


async def test_one_bad_module_does_no_harm_to_the_others(prove: Prove) -> None:
    files = {f"python/{name}.py": text for name, text in HOSTILE.items()}
    proof = await prove({**files, "python/aaa.py": "", "python/zzz.py": "import aaa, boto3"})
    found = {finding.place.removeprefix("python/").removesuffix(".py"): finding for finding in proof.findings}
    # The import of "forks" is sound, and what it leaves behind is killed; that of "kills" may be over before it is.
    assert set(found) - {"kills"} == set(HOSTILE) - {"forks", "kills"}
    assert proof.imports == len(HOSTILE) + 2
    assert all(finding.severity is Severity.ERROR for finding in found.values())
    assert found["raises"].code == "import-failed"
    assert "ValueError: why (at /opt/python/raises.py:3)" in found["raises"].reason
    assert "Add the package that brings the module nowhere" in found["misses"].remedy
    assert "segmentation fault" in found["segfaults"].reason
    assert found["hangs"].code == "probe-timeout"
    assert "\x1b" not in found["forges"].reason
    assert "without end" in found["floods"].reason
    assert "more memory" in found["eats"].reason
    assert "status 0" in found["leaves"].reason
    assert "kills" not in found or "signal 9" in found["kills"].reason


async def test_modules_find_each_other_as_in_a_function(prove: Prove) -> None:
    proof = await prove(
        {
            "python/lib/python3.11/site-packages/first.py": "import os\nassert os.environ['AWS_REGION'] == 'us-east-1'",
            "python/second.py": "import first, sys\nassert 'third' in sys.path[-1]",
            "python/third.pth": "import sys; sys.path.append('/opt/third')",
            "python/reads.py": "import boto3, pathlib\nassert boto3.__file__.startswith('/var/runtime')",
            "python/writes.py": "open('/opt/python/x', 'w')",
            "python/home.py": "open('/tmp/x', 'w'); import os; assert os.getuid() == 993",
        }
    )
    assert [(finding.place, finding.code) for finding in proof.findings] == [("python/writes.py", "import-failed")]
    assert "Read-only file system" in proof.findings[0].reason


async def test_programs_and_scripts(prove: Prove) -> None:
    true = Path(shutil.which("true") or "").read_bytes()
    proof = await prove(
        {
            "bin/good": true,
            # The same program, but for the name of one library.
            "bin/lacks": true.replace(b"libc.so.6", b"libq.so.6"),
            "bin/musl": true.replace(b"/lib64/ld-linux-x86-64.so.2", b"/lib/ld-musl-nowhere.so.1\0\0"),
            "bin/script": "#!/usr/bin/env -S bash -e\necho",
            "bin/php": "#!/usr/bin/php\n",
            "bin/env": "#!/usr/bin/env ruby\n",
            "bin/crlf": "#!/bin/bash\r\necho\r\n",
            "bin/plain": "#!/bin/bash\n",
            "extensions/none": "echo",
        },
        runtime="provided.al2023",
    )
    found = {finding.place: finding for finding in proof.findings}
    assert set(found) == {"bin/lacks", "bin/musl", "bin/php", "bin/env", "bin/crlf", "bin/plain", "extensions/none"}
    assert found["bin/lacks"].code == "loader-failed"
    assert "Put libq.so.6 into the layer's lib/" in found["bin/lacks"].remedy
    assert "/lib/ld-musl-nowhere.so.1" in found["bin/musl"].reason
    assert "/usr/bin/php is not found" in found["bin/php"].reason
    assert "ruby is not found on PATH" in found["bin/env"].reason
    assert "CR LF" in found["bin/crlf"].reason
    assert "no x bit" in found["bin/plain"].reason
    assert "#!" in found["extensions/none"].reason


async def test_a_layer_with_nothing_to_try_needs_no_sandbox(prove: Prove) -> None:
    proof = await prove({"etc/config.json": "{}"})
    assert (proof.imports, proof.failed, proof.findings) == (0, 0, ())


@pytest.mark.parametrize("after_s", [0.0, 0.4])
async def test_a_proof_that_is_cancelled_leaves_nothing(
    provider: OciSandboxProvider, catalog: PackCatalog, tmp_path: Path, after_s: float
) -> None:
    layer = tmp_path / "layer"
    write(layer, {"python/hangs.py": "import time; time.sleep(1000)"})
    with open_contents(layer) as contents:
        targets = plan_proof([contents], FACTS["python3.11"], Architecture(host_architecture()))
    begun = asyncio.Event()

    def noticed(pack: RuntimePack) -> dict[str, str]:
        begun.set()
        return variables(256)(pack)

    prover = Prover(provider, tmp_path / "workshop", noticed, LIMITS)
    work = asyncio.create_task(prover.prove(catalog.find("python3.11", host_architecture()), [layer], targets))
    await begun.wait()
    await asyncio.wait({work}, timeout=after_s)  # as its process starts, and while it is listened to
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not provider._sandboxes
    assert not list((tmp_path / "workshop").iterdir())


async def test_what_there_is_no_time_for_is_named(
    provider: OciSandboxProvider, catalog: PackCatalog, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    write(layer, {f"python/m{number}.py": "import time; time.sleep(1000)" for number in range(4)})
    with open_contents(layer) as contents:
        targets = plan_proof([contents], FACTS["python3.11"], Architecture(host_architecture()))
    limits = type(LIMITS)(target_s=0.6, runtime_s=1.0)
    prover = Prover(provider, tmp_path / "workshop", variables(256), limits)
    proof = await prover.prove(catalog.find("python3.11", host_architecture()), [layer], targets)
    assert [finding.code for finding in proof.findings] == ["probe-timeout", "not-proved"]
    assert "for want of time" in proof.findings[-1].reason
