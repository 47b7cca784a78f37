"""The platform's own log lines in text format (rules LG-01 to LG-08)."""

import math
from typing import Final

from lamella.lifecycle.commands import RecordEnd, RecordExtension, RecordInit, RecordRestore, Status
from lamella.lifecycle.telemetry_events import Api, Subscription
from lamella.ports.runtimes import RuntimePack

_MIB: Final = 1024 * 1024


def init_start(pack: RuntimePack, region: str) -> bytes:
    """First line of a log stream."""
    return f"INIT_START Runtime Version: {pack.version}\tRuntime Version ARN: {runtime_arn(pack, region)}\n".encode()


def runtime_arn(pack: RuntimePack, region: str) -> str:
    """What AWS calls the ARN of a runtime version; the pack's digest stands for the version."""
    return pack.arn or f"arn:aws:lambda:{region}::runtime:{pack.digest}"


def init_report(record: RecordInit, *, always: bool = False) -> bytes:
    """The line of an init that went wrong; on demand a good one has none (LG-05).

    A good one that is provisioned shows no status, like RESTORE_REPORT.

    The duration is the measured one: the real service, too, shows 9999.xx to 10000.xx ms for a timeout (EX-60).
    """
    line = f"INIT_REPORT Init Duration: {record.duration_s * 1000:.2f} ms\tPhase: {record.phase}"
    if record.status is Status.SUCCESS:
        return f"{line}\n".encode() if always else b""
    return f"{line}\t{_status(record.status, record.error_type)}\n".encode()


def restore_start(pack: RuntimePack, region: str) -> bytes:
    """The line before the restore of a function with snapshots (LG-06)."""
    arn = runtime_arn(pack, region)
    return f"RESTORE_START Runtime Version: {pack.version}\tRuntime Version ARN: {arn}\n".encode()


def restore_report(record: RecordRestore) -> bytes:
    """The line after it (LG-06): a good one shows no status, as in logs of the real service since 2023."""
    line = f"RESTORE_REPORT Restore Duration: {record.duration_s * 1000:.2f} ms"
    status = "" if record.status is Status.SUCCESS else f"\t{_status(record.status, record.error_type)}"
    return f"{line}{status}\n".encode()


def extension(record: RecordExtension) -> bytes:
    """The line of an extension at the end of init (LG-08).

    Names come from inside the sandbox; one with a line feed must not pass for a line of its own.
    """
    line = f"EXTENSION\tName: {_one_line(record.name)}\tState: {record.state}\tEvents: [{', '.join(record.events)}]"
    error = f"\tError Type: {_one_line(record.error_type)}" if record.error_type else ""
    return f"{line}{error}\n".encode(errors="replace")


def subscription(name: str, subscribed: Subscription) -> bytes:
    """The line of an extension that subscribes to telemetry (7.1)."""
    word = "TELEMETRY" if subscribed.api is Api.TELEMETRY else "LOGS"
    types = ", ".join(kind.capitalize() for kind in subscribed.types)
    return f"{word}\tName: {_one_line(name)}\tState: Subscribed\tTypes: [{types}]\n".encode(errors="replace")


def xray(trace_id: str) -> bytes:
    """The line after REPORT with active tracing (LG-03); empty if the invocation is not sampled.

    The segment is the one that the runtime is told as parent of its own.
    """
    parts = dict(part.split("=", 1) for part in trace_id.split(";") if "=" in part)
    if parts.get("Sampled") != "1":
        return b""
    line = f"XRAY TraceId: {parts.get('Root', '')}\tSegmentId: {parts.get('Parent', '')}\tSampled: true\t\n"
    return line.encode(errors="replace")


def start(request_id: str, version: str) -> bytes:
    """The START line."""
    return f"START RequestId: {request_id} Version: {version}\n".encode()


def end(record: RecordEnd, *, memory_mib: int, memory_peak_bytes: int) -> bytes:
    """The END and REPORT lines (LG-01, LG-02, LG-11)."""
    request_id = record.invocation.request_id
    init = ""
    if record.init_duration_s is not None:
        init = f"\tInit Duration: {record.init_duration_s * 1000:.2f} ms"
    if record.restore_duration_s is not None:
        restore_ms = record.restore_duration_s * 1000
        init += f"\tRestore Duration: {restore_ms:.2f} ms\tBilled Restore Duration: {_whole(restore_ms)} ms"
    tail = "\t" if record.status is Status.SUCCESS else f"\t{_status(record.status, record.error_type)}"
    return (
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: {record.duration_s * 1000:.2f} ms"
        f"\tBilled Duration: {billed_ms(record)} ms\tMemory Size: {memory_mib} MB"
        f"\tMax Memory Used: {used_mib(memory_mib, memory_peak_bytes)} MB{init}{tail}\n"
    ).encode()


def billed_ms(record: RecordEnd) -> int:
    """What is billed (7.2): the invocation and the init, or restore, that came before it."""
    total_ms = record.duration_s * 1000
    if record.init_duration_s is not None:
        total_ms += record.init_duration_s * 1000
    if record.restore_duration_s is not None:
        total_ms += _whole(record.restore_duration_s * 1000)
    return _whole(total_ms)


def used_mib(memory_mib: int, memory_peak_bytes: int) -> int:
    """`Max Memory Used` (LG-11)."""
    used = -(-memory_peak_bytes // _MIB)
    return used if used < memory_mib else memory_mib  # noqa: FURB136  # part of every invocation, and `min` costs more


def _whole(duration_ms: float) -> int:
    # Rounded first, so that binary fractions do not bill a millisecond that REPORT does not show.
    return math.ceil(round(duration_ms, 2))


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _status(status: Status, error_type: str) -> str:
    # REPORT knows `timeout` and `error` only; `failure` is a word of the Telemetry API.
    if status is Status.TIMEOUT:
        return "Status: timeout"
    return f"Status: error\tError Type: {error_type}"
