"""`lamella doctor`: whether this host can run sandboxes. Works without a server."""

import dataclasses

import typer

from lamella.cli import output
from lamella.cli.failure import Status
from lamella.cli.options import Json, examples, with_settings
from lamella.config.settings import Settings


def doctor(settings: Settings, *, json_: Json = False) -> None:
    """Say whether this host can run sandboxes, what is missing, and the command that mends it.

    Looks, and changes nothing. The exit status is 0 if functions can run, else 1.
    """
    # Here and not above, as in `serve`.
    from lamella.app.main import diagnose

    problems = diagnose(settings)
    able = all(problem.ok or not problem.fatal for problem in problems)
    if json_:
        output.write_json({"ok": able, "checks": [dataclasses.asdict(problem) for problem in problems]})
    else:
        output.write_table(
            ("", "check", "found", "remedy"),
            [(_mark(ok=p.ok, fatal=p.fatal), p.check, p.detail, "" if p.ok else p.remedy) for p in problems],
        )
        output.say("This host can run functions." if able else "This host cannot run functions yet: see 'remedy'.")
    raise typer.Exit(Status.OK if able else Status.NEGATIVE)


def _mark(*, ok: bool, fatal: bool) -> str:
    return "ok" if ok else "missing" if fatal else "advice"


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = examples("lamella doctor", "lamella doctor --sandbox-runtime runc --json")
    app.command("doctor", epilog=epilog)(with_settings(doctor, ("data", "sandbox_runtime")))
