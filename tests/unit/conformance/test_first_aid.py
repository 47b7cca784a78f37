"""Why runtimes do not start, and what they are given."""

import pytest

from lamella.conformance.first_aid import Aid, Kind, diagnose
from lamella.conformance.runtime_scenario import Beginning, Opening
from lamella.ports.sandbox import ExitStatus

ENDED = Beginning.ENDED
ENV = "/usr/bin/env"
NO_FILE = "fork/exec /opt/bootstrap: no such file or directory"


def opening(beginning: Beginning, output: str = "", detail: str = "") -> Opening:
    return Opening(beginning, detail, output.encode(), ExitStatus(1))


@pytest.mark.parametrize(
    ("seen", "interpreter", "check", "aid"),
    [
        (opening(Beginning.NOT_STARTED, detail=NO_FILE), "/usr/bin/python3", "start-interpreter", "python3"),
        (opening(Beginning.NOT_STARTED, detail=NO_FILE), "/bin/sh", "start-program", None),
        (opening(Beginning.NOT_STARTED, detail=NO_FILE), "/bin/sh\r", "start-program", None),
        (opening(Beginning.NOT_STARTED, detail="fork/exec /opt/x: permission denied"), "", "start-program", None),
        (opening(ENDED, "/usr/bin/env: 'ruby': No such file or directory"), ENV, "start-interpreter", "ruby"),
        (opening(ENDED, "env: \u2018node\u2019: No such file or directory"), ENV, "start-interpreter", "node"),
        (opening(ENDED, "ModuleNotFoundError: No module named 'requests'"), "", "start-modules", "requests"),
        (opening(ENDED, "ModuleNotFoundError: No module named 'flask'"), "", "start-modules", None),
        (opening(ENDED, "Error: Cannot find module 'axios'"), "", "start-modules", None),
        (opening(ENDED, "cannot load such file -- sinatra (LoadError)"), "", "start-modules", None),
        (opening(ENDED, "ModuleNotFoundError: No module named 'app.verify'"), "", "start-code", ""),
        (opening(ENDED, "Error: Cannot find module '/opt/app/verify'"), "", "start-code", None),
        (opening(ENDED, "out of luck"), "", "start-ready", None),
        (opening(Beginning.SILENT, "No module named 'requests'"), "", "start-ready", None),
        (opening(Beginning.INIT_ERROR, "", '{"errorMessage":"No handler"}'), "", "start-ready", None),
    ],
)  # fmt: skip
def test_a_diagnosis(seen: Opening, interpreter: str, check: str, aid: str | None) -> None:
    found = diagnose(seen, interpreter=interpreter, handler="app/verify.handler", has=lambda path: path == "/bin/sh")
    assert found.check == check
    assert (None if found.aid is None else found.aid.name) == aid


def test_every_aid_is_named_in_the_report() -> None:
    assert [Aid(kind, "it").describe().startswith("To see further, ") for kind in Kind] == [True, True, True]
