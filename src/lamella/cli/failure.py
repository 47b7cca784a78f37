"""How a command ends: exit statuses, and the error that carries one to `main`."""

from enum import IntEnum


class Status(IntEnum):
    """Exit statuses of every command; the reference page prints the docstring of each from `MEANINGS`."""

    OK = 0
    NEGATIVE = 1
    USAGE = 2
    API = 3
    BUG = 70
    INTERRUPTED = 130


MEANINGS = {
    Status.OK: "It worked.",
    Status.NEGATIVE: (
        "It ran, and the answer is no: the function returned an error (`invoke`), this host cannot run sandboxes "
        "(`doctor`), the project could not be written (`init`), "
        "the layer could not be built or is bigger than it may be (`layer build`) or is not sound "
        "(`layer check`), two layers are not the same (`layer diff`), a function could not follow a channel "
        "(`channel`), a zip is not what it should be (`layer mirror`), the server could not start (`serve`), an answer "
        "was not the same (`trace --replay`), a runtime or an extension has faults (`runtime verify`, "
        "`extension verify`), there is one of the faults asked for (`fleet audit`), a plan must not be "
        "applied or a function failed (`fleet plan`, `fleet apply`)."
    ),
    Status.USAGE: "The command line or a setting is wrong.",
    Status.API: "The server answered with an error, or could not be reached.",
    Status.BUG: "A fault of Lamella itself. `--debug` shows where.",
    Status.INTERRUPTED: "Ended by Ctrl-C. `serve` and `logs --follow`, which are ended that way, end with 0.",
}


class CommandError(Exception):
    """A command cannot go on. The text is one line: what happened, where, and what to do next."""

    def __init__(self, text: str, status: Status = Status.API) -> None:
        super().__init__(text)
        self.status = status
