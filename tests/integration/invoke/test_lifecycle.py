"""How invocations end, and what survives them: section 4 and 7 of the contract, with real sandboxes."""

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import PRELUDE, Function, bash, create
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

ECHO = 'while true; do next; respond "$BODY" >/dev/null; done\n'

# Does what the event says, then answers; an event of a JSON string is a line of bash.
OBEY = """
while true; do
    next
    eval "$(printf '%s' "$BODY" | sed 's/^"//; s/"$//; s/\\\\"/"/g')"
    respond "\\"${RESULT:-done}\\"" >/dev/null
done
"""


def exit_error(request_id: str, message: str) -> dict[str, str]:
    return {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {request_id} Error: {message}"}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exit 0", "Runtime exited without providing a reason"),
        ("exit 3", "Runtime exited with error: exit status 3"),
        ("kill -SEGV $$", "Runtime exited with error: signal: segmentation fault"),
        ("kill -KILL $$", "Runtime exited with error: signal: killed"),
        ("kill -TERM $$", "Runtime exited with error: signal: terminated"),
        ("kill -ABRT $$", "Runtime exited with error: signal: aborted"),
    ],
)
def test_an_exit_during_an_invocation(client: Any, how: str, message: str) -> None:
    """EX-65 and the table of EX-67; the next invocation works."""
    function = bash(client, OBEY)
    answer = function.invoke(how)
    assert (answer.status, answer.error) == (200, "Unhandled")
    assert answer.document == exit_error(answer.request_id, message)
    assert list(answer.document) == ["errorType", "errorMessage"]
    assert answer.tail.endswith("\tStatus: error\tError Type: Runtime.ExitError\n")
    assert function.invoke("true").document == "done"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exit 0", "Runtime exited without providing a reason"),
        ("exit 3", "Runtime exited with error: exit status 3"),
        ("kill -SEGV $$", "Runtime exited with error: signal: segmentation fault"),
        ("kill -KILL $$", "Runtime exited with error: signal: killed"),
    ],
)
def test_an_exit_during_init(client: Any, how: str, message: str) -> None:
    """Section 4.3: twice, and the second is the caller's."""
    function = bash(client, f"echo starting\n{how}\n")
    answer = function.invoke()
    assert answer.document == exit_error(answer.request_id, message)
    init, start, end, report = answer.tail.splitlines()[-4:]
    assert re.fullmatch(
        r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError", init
    )
    assert start == f"START RequestId: {answer.request_id} Version: $LATEST"
    assert end == f"END RequestId: {answer.request_id}"
    assert report.startswith(f"REPORT RequestId: {answer.request_id}\tDuration: ")
    assert function.invoke().document["errorType"] == "Runtime.ExitError"


def test_an_exit_between_invocations_is_nobodys_error(client: Any) -> None:
    """EX-66: the environment is discarded, and the next invocation gets a fresh one."""
    function = bash(client, 'while true; do next; respond "\\"$AWS_LAMBDA_LOG_STREAM_NAME\\"" >/dev/null; done')
    before = function.invoke().document  # with the log's tail it is answered when the environment is idle
    processes = _runtime_processes(function.name)
    for pid in processes:
        with suppress(ProcessLookupError):  # a curl that was about to end
            os.kill(pid, signal.SIGKILL)
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        pass  # until the server, their parent, has taken note
    after = function.invoke(tail=False)
    assert after.error is None
    assert after.document != before


def _runtime_processes(name: str) -> list[int]:
    """Host ids of the runtime's processes of a function; there must be some."""
    found = _running_processes(name)
    assert found
    return found


def _running_processes(name: str) -> list[int]:
    """Host ids of the processes that have a function's variables."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"AWS_LAMBDA_FUNCTION_NAME={name}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def test_a_timeout(client: Any) -> None:
    """EX-70 to EX-73: payload, report, /tmp kept, memory lost, the next invocation works."""
    script = """
    COUNT=0
    while true; do
        next; COUNT=$((COUNT + 1))
        [ "$BODY" = '"hang"' ] && { echo kept > /tmp/kept; sleep 60; }
        respond "\\"$COUNT $(cat /tmp/kept)\\"" >/dev/null
    done
    """
    function = bash(client, script, Timeout=1)
    hung = function.invoke("hang")
    assert (hung.status, hung.error) == (200, "Unhandled")
    assert hung.payload.decode() == (
        '{"errorType":"Sandbox.Timedout",'
        f'"errorMessage":"RequestId: {hung.request_id} Error: Task timed out after 1.00 seconds"}}'
    )
    report = hung.tail.splitlines()[-1]
    assert "\tDuration: 1000.00 ms\t" in report
    assert report.endswith("\tStatus: timeout")
    assert function.invoke("again", tail=False).document == "1 kept"


def test_a_runtime_that_does_not_ask_again_keeps_its_answer_and_times_out(client: Any, logs: Any) -> None:
    """EX-63, RT-39."""
    function = bash(client, "next; respond '\"answered\"' >/dev/null; sleep 60", Timeout=1)
    answer = function.invoke(tail=False)
    assert (answer.error, answer.document) == (None, "answered")
    (report,) = logs(function.name, until="REPORT")
    assert report.endswith("\tStatus: timeout")


def test_an_init_that_takes_too_long(client: Any) -> None:
    """EX-60, RT-64: the second try runs against the function's own timeout."""
    function = bash(client, "sleep 60", Timeout=1)
    answer = function.invoke()
    assert answer.document["errorType"] == "Sandbox.Timedout"
    assert "Phase: invoke\tStatus: timeout\n" in answer.tail


def test_an_init_has_no_cpu_limit(client: Any) -> None:
    """EX-62: none until the first `next`; the share of the function's memory from then on."""
    script = """
    curl -sS "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/ping" >/dev/null
    touch /tmp/here; until [ -e /tmp/go ]; do :; done
    next; touch /tmp/here; until [ -e /tmp/answer ]; do :; done
    respond 1 >/dev/null
    next
    """
    function = bash(client, script, MemorySize=442)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(function.invoke, tail=False)
        tmp = _tmp_of_runtime(function.name)
        _await_file(tmp / "here")
        during_init = _cpu_quota(function.name)
        (tmp / "here").unlink()
        (tmp / "go").touch()
        _await_file(tmp / "here")
        during_invoke = _cpu_quota(function.name)
        (tmp / "answer").touch()
        assert answer.result().error is None
    assert during_init is None
    assert during_invoke == pytest.approx(442 / 1769, rel=0.01)


def _tmp_of_runtime(name: str) -> Path:
    """`/tmp` of a function that is about to run, as the host sees it."""
    while not (found := _running_processes(name)):
        pass
    return Path(f"/proc/{min(found)}/root/tmp")


def _await_file(path: Path) -> None:
    while not path.exists():
        pass


def _cpu_quota(name: str) -> float | None:
    """Processors that the control group of a running function may use; `None` for no limit."""
    lines = Path(f"/proc/{min(_running_processes(name))}/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu,cpuacct"), Path("/sys/fs/cgroup/cpu")):
            for folder in (root / path[1:], *(root / path[1:]).parents):
                if (folder / "cpu.max").exists() and not controllers:
                    quota, period = (folder / "cpu.max").read_text().split()
                    if quota != "max":
                        return int(quota) / int(period)
                if (folder / "cpu.cfs_quota_us").exists() and "cpu" in controllers.split(","):
                    micros = int((folder / "cpu.cfs_quota_us").read_text())
                    if micros > 0:
                        return micros / int((folder / "cpu.cfs_period_us").read_text())
    return None


def test_out_of_memory(client: Any) -> None:
    """Table of EX-67, LG-11; others are not touched."""
    neighbour = bash(client, ECHO)
    neighbour.invoke(tail=False)
    function = bash(client, OBEY, MemorySize=512, Timeout=60)
    answer = function.invoke("exec dd if=/dev/zero of=/dev/null bs=1G")  # takes its memory in one step
    assert answer.document == exit_error(answer.request_id, "Runtime exited with error: signal: killed")
    assert answer.tail.endswith("\tStatus: error\tError Type: Runtime.OutOfMemory\n")
    used = re.search(r"Max Memory Used: (\d+) MB", answer.tail)
    assert used is not None
    assert 450 <= int(used[1]) <= 512
    assert function.invoke("true").document == "done"
    assert neighbour.invoke(1, tail=False).document == 1


def test_the_lines_of_a_cold_and_a_warm_invocation(client: Any) -> None:
    """LG-01, LG-07, LG-09, LG-10 over the full lines."""
    function = bash(
        client, "while true; do next; echo one; printf 'two\\rthree'; respond 1 >/dev/null; done", MemorySize=128
    )
    cold, warm = function.invoke(), function.invoke()
    identity = r"RequestId: [0-9a-f-]{36}"
    for answer, init in ((cold, r"\tInit Duration: \d+\.\d\d ms"), (warm, "")):
        start, one, rest, end, report = re.split("\n", answer.tail.removesuffix("\n"))
        assert start == f"START RequestId: {answer.request_id} Version: $LATEST"
        assert (one, rest) == ("one", "two\rthree")
        assert end == f"END RequestId: {answer.request_id}"
        assert re.fullmatch(
            rf"REPORT {identity}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB"
            rf"\tMax Memory Used: \d+ MB{init}\t",
            report,
        )


def test_the_tail_is_cut_in_front(client: Any) -> None:
    """LG-10."""
    function = bash(client, "while true; do next; seq 1 5000; respond 1 >/dev/null; done")
    answer = function.invoke()
    assert len(answer.tail.encode()) == 4096
    assert "\n5000\nEND RequestId" in answer.tail
    assert answer.tail.endswith("\t\n")


def test_every_line_reaches_the_log(client: Any, logs: Any) -> None:
    """LG-09: INIT_START first, lines in order, both streams in one."""
    function = bash(client, "echo init; while true; do next; echo out; echo err >&2; respond 1 >/dev/null; done")
    function.invoke(tail=False)
    lines = logs(function.name, until="REPORT", whole=True)
    assert lines[0].startswith("INIT_START Runtime Version: provided:al2023.v")
    assert lines[1] == "init"
    assert lines[2].startswith("START RequestId: ")
    assert lines[3:5] == ["out", "err"]
    assert lines[5].startswith("END RequestId: ")


def test_nothing_runs_between_invocations(client: Any) -> None:
    """Section 4 and architecture "The life of an invocation": the environment is frozen."""
    script = """
    ( n=0; while true; do n=$((n + 1)); echo $n > /tmp/n.new; mv /tmp/n.new /tmp/n; done ) &
    while true; do next; respond "$(cat /tmp/n)" >/dev/null; done
    """
    function = bash(client, script)
    function.invoke()  # with the log's tail it is answered when the environment is idle, so there is only one
    before = function.invoke().document
    other = bash(client, ECHO)  # takes a while: thousands of rounds of the counter if it ran
    other.invoke(tail=False)
    after = function.invoke(tail=False).document
    assert before <= after < before + 1000


def test_no_entry_point(client: Any) -> None:
    """EN-20, EN-22."""
    function = create(client, {"handler.sh": "true"})
    answer = function.invoke()
    assert answer.document == {
        "errorType": "Runtime.InvalidEntrypoint",
        "errorMessage": f"RequestId: {answer.request_id} Error: "
        "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
    }
    assert answer.tail.endswith("Status: error\tError Type: Runtime.InvalidEntrypoint\n")


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        ("#!/bin/sh\n", 0o644, "permission denied"),
        ("#!/no/such/interpreter\n", 0o755, "no such file or directory"),
        ("just text\n", 0o755, "exec format error"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(44), 0o755, "exec format error"),
    ],
)
def test_an_entry_point_that_cannot_run(client: Any, content: str | bytes, mode: int, reason: str) -> None:
    """EN-22 and the table of EX-67: x bit, interpreter, format, architecture."""
    answer = create(client, {"bootstrap": content}, mode=mode).invoke()
    assert answer.document["errorType"] == "Runtime.InvalidEntrypoint"
    assert answer.document["errorMessage"].endswith(f"Error: fork/exec /var/task/bootstrap: {reason}")


def test_the_variables_of_a_custom_runtime(client: Any) -> None:
    """EN-01, EN-03: the exact set."""
    script = "V=$(env -0 | sort -z | tr '\\0' '\\n')\nwhile true; do next; respond \"$V\" >/dev/null; done"
    function = bash(
        client, script, Environment={"Variables": {"MINE": "a=b", "LANG": "C", "TZ": "UTC"}}, MemorySize=256
    )
    pairs = dict(line.split("=", 1) for line in function.invoke(tail=False).payload.decode().splitlines())
    # The first two are the shell's own; the OCI runtime adds HOME, which AWS does not set (docs/fidelity.md).
    for other in ("_", "OLDPWD", "HOME"):
        pairs.pop(other, None)
    secrets = {
        name: pairs.pop(name)
        for name in ("AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_METADATA_TOKEN", "AWS_SECRET_ACCESS_KEY", "SHLVL")
    }
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", secrets["AWS_LAMBDA_LOG_STREAM_NAME"])
    assert pairs == {
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://169.254.100.1:4566",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_METADATA_API": "169.254.100.1:9001",
        "AWS_LAMBDA_RUNTIME_API": "169.254.100.1:9001",
        "AWS_REGION": "us-east-1",
        "AWS_SESSION_TOKEN": "lamella",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LANG": "C",
        "LD_LIBRARY_PATH": (
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
        ),
        "MINE": "a=b",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "PWD": "/var/task",
        "TZ": "UTC",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "_HANDLER": "function.handler",
    }


def test_the_values_of_variables_pass_as_they_are(client: Any) -> None:
    """EN-05: equals signs, line feeds, any UTF-8."""
    given = {"A1": "a=b=", "B_2": "two\nlines ü \N{SNOWMAN}", "c3": ""}
    script = 'while true; do next; respond "$A1|$B_2|$c3|${c3-unset}" >/dev/null; done'
    answer = bash(client, script, Environment={"Variables": given}).invoke(tail=False)
    assert answer.payload.decode() == f"{given['A1']}|{given['B_2']}||"


def test_the_file_system(client: Any) -> None:
    """Section 6.2, EN-21: what exists, and what can be written."""
    script = """
    while true; do
        next
        R=("$(pwd)" "$(id -un)" "$(stat -c %a /tmp)" "$(ls -d /dev/shm 2>/dev/null)" "$(readlink /proc/self/fd/0)")
        for place in / /var/task /opt /var/runtime /etc /usr /dev /home; do
            touch "$place/x" 2>/dev/null && R+=("$place is writable")
        done
        touch /tmp/x && R+=("/tmp is writable")
        respond "$(printf '%s\\n' "${R[@]}")" >/dev/null
    done
    """
    assert bash(client, script).invoke(tail=False).payload.decode().splitlines() == [
        "/var/task",
        "sbx_user1051",
        "1777",
        "",
        "/dev/null",
        "/tmp is writable",
    ]


def test_concurrent_invocations_get_environments_of_their_own(client: Any) -> None:
    """b13 of the comparison with peers: one environment, one invocation at a time."""
    script = """
    while true; do
        next
        [ -e /tmp/busy ] && { respond '"shared"' >/dev/null; continue; }
        touch /tmp/busy; sleep 0.2; rm /tmp/busy
        respond "\\"$AWS_LAMBDA_LOG_STREAM_NAME\\"" >/dev/null
    done
    """
    function = bash(client, script)
    with ThreadPoolExecutor(6) as threads:
        streams = list(threads.map(lambda _: function.invoke(tail=False).document, range(6)))
    assert len(set(streams)) == 6
    assert function.invoke(tail=False).document in streams


def test_a_client_that_calls_again_at_once_stays_with_its_environment(server: LamellaServer, client: Any) -> None:
    """The moment between answer and `next` does not cause a second cold start."""
    packs = json.loads(server.lamella("runtime", "list", "--json").stdout)["runtimes"]
    runtime = next(pack["name"] for pack in packs if pack["name"].startswith("python3."))
    code = "import os\ndef handler(event, context):\n    return os.environ['AWS_LAMBDA_LOG_STREAM_NAME']\n"
    function = create(client, {"app.py": code}, runtime=runtime, handler="app.handler", MemorySize=1769)
    assert len({function.invoke(tail=False).document for _ in range(50)}) == 1


def test_an_update_takes_a_new_environment(client: Any) -> None:
    function = bash(client, 'while true; do next; respond "\\"$WORD\\"" >/dev/null; done')
    assert function.invoke(tail=False).document == ""
    client.update_function_configuration(FunctionName=function.name, Environment={"Variables": {"WORD": "new"}})
    client.get_waiter("function_updated_v2").wait(
        FunctionName=function.name, WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    assert function.invoke(tail=False).document == "new"


def test_a_runtime_from_a_layer_and_a_function_from_elsewhere(client: Any) -> None:
    """EN-20: the bootstrap is in /opt, the handler in /var/task."""
    from tests.support.functions import ROLE, archive, wait_active  # used here alone

    zipped = archive({"bootstrap": PRELUDE + 'source "$LAMBDA_TASK_ROOT/$_HANDLER.sh"\n' + _SERVE})
    arn = client.publish_layer_version(LayerName="bash-runtime", Content={"ZipFile": zipped})["LayerVersionArn"]
    for word in ("one", "two"):
        name = f"from-layer-{word}"
        client.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Handler="main",
            Role=ROLE,
            Layers=[arn],
            Code={"ZipFile": archive({"main.sh": f"handle() {{ echo '\"{word}\"'; }}\n"})},
        )
        wait_active(client, name)
        assert Function(client, name).invoke(tail=False).document == word


_SERVE = 'while true; do next; respond "$(handle "$BODY")" >/dev/null; done\n'
