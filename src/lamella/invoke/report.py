"""The platform's own log lines in text format (rules LG-01 to LG-08)."""

import math
from typing import Final

from lamella.lifecycle.commands import RecordEnd, RecordInit, Status
from lamella.ports.runtimes import RuntimePack

_MIB: Final = 1024 * 1024


def init_start(pack: RuntimePack, region: str) -> bytes:
    """First line of a log stream."""
    arn = f"arn:aws:lambda:{region}::runtime:{pack.digest}"
    return f"INIT_START Runtime Version: {pack.version}\tRuntime Version ARN: {arn}\n".encode()


def init_report(record: RecordInit) -> bytes:
    """The line of an init that went wrong; on demand a good one has none (LG-05).

    The duration is the measured one: the real service, too, shows 9999.xx to 10000.xx ms for a timeout (EX-60).
    """
    if record.status is Status.SUCCESS:
        return b""
    line = f"INIT_REPORT Init Duration: {record.duration_s * 1000:.2f} ms\tPhase: {record.phase}"
    return f"{line}\t{_status(record.status, record.error_type)}\n".encode()


def start(request_id: str, version: str) -> bytes:
    """The START line."""
    return f"START RequestId: {request_id} Version: {version}\n".encode()


def end(record: RecordEnd, *, memory_mib: int, memory_peak_bytes: int) -> bytes:
    """The END and REPORT lines (LG-01, LG-02, LG-11)."""
    request_id = record.invocation.request_id
    duration_ms = record.duration_s * 1000
    init = ""
    billed_ms = duration_ms
    if record.init_duration_s is not None:
        init_ms = record.init_duration_s * 1000
        billed_ms += init_ms
        init = f"\tInit Duration: {init_ms:.2f} ms"
    # Rounded first, so that binary fractions do not bill a millisecond that the line above does not show.
    billed = math.ceil(round(billed_ms, 2))
    used_mib = min(memory_mib, -(-memory_peak_bytes // _MIB))
    tail = "\t" if record.status is Status.SUCCESS else f"\t{_status(record.status, record.error_type)}"
    return (
        f"END RequestId: {request_id}\n"
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\tBilled Duration: {billed} ms"
        f"\tMemory Size: {memory_mib} MB\tMax Memory Used: {used_mib} MB{init}{tail}\n"
    ).encode()


def _status(status: Status, error_type: str) -> str:
    # REPORT knows `timeout` and `error` only; `failure` is a word of the Telemetry API.
    if status is Status.TIMEOUT:
        return "Status: timeout"
    return f"Status: error\tError Type: {error_type}"
