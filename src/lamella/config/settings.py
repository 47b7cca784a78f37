"""Settings of a node: one table, from which file, environment, flags and the reference page are derived.

A setting is a field of `Settings`; its metadata says what values it takes and what it means. Later sources win:
defaults, the TOML file, `LAMELLA_*` variables, flags. What nobody knows is an error, never ignored: a misspelt limit
that is silently not in force is worse than a server that does not start.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from lamella.config import kinds
from lamella.config.kinds import Address, Kind
from lamella.images.allowed import Registry
from lamella.neighbour.endpoint import parse_override

SYSTEM_FILE: Final = Path("/etc/lamella/lamella.toml")
PREFIX: Final = "LAMELLA_"
# Variables of the product that are not settings of the server.
RESERVED_VARIABLES: Final[Mapping[str, str]] = {
    "LAMELLA_CONFIG": "Path of the settings file; `--config` wins over it.",
    "LAMELLA_DEBUG": "If not empty, the command line shows tracebacks.",
    "LAMELLA_OPERATOR_KEY": "What the file `operator-key` of the server's data directory holds, for commands that are "
    "run elsewhere.",
}


class SettingsError(Exception):
    """A setting is unknown or unfit; the text is one line that names the value and where it came from."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the settings table."""

    name: str
    kind: Kind
    meaning: str
    default: str

    @property
    def flag(self) -> str:
        """As given on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """As given in the environment."""
        return PREFIX + self.name.upper()

    @property
    def is_switch(self) -> bool:
        """Whether it is true or false, so that its flag takes no value."""
        return self.kind is kinds.SWITCH


_MIB_PER_ENVIRONMENT: Final = 64
"""What a small function in an interpreter takes, with its sandbox; most of what it uses of libraries is shared."""


def default_max_environments(memory_mib: int) -> int:
    """As many environments as a machine with so much memory is sure to hold, if functions are small; 100 at most."""
    return max(1, min(100, memory_mib // _MIB_PER_ENVIRONMENT))


def _machine_memory_mib() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024**2


def _row(default: object, kind: Kind, meaning: str) -> Any:  # Any: as `dataclasses.field`, whose result fits any type
    return field(default=default, repr=not kind.secret, metadata={"kind": kind, "meaning": meaning})


def default_data_directory(environ: Mapping[str, str], *, is_root: bool) -> Path:
    """Where state is kept unless told otherwise. Source for others than root: XDG Base Directory Specification 0.8."""
    if is_root:
        return Path("/var/lib/lamella")
    home = Path(environ.get("HOME") or "~").expanduser()
    return Path(environ.get("XDG_DATA_HOME") or home / ".local/share") / "lamella"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a node runs. Each field is documented by its row; `docs/reference/settings.md` is made from them."""

    listen: Address = _row(  # noqa: RUF009  (as `field`, it makes a row, not a value)
        Address("127.0.0.1", 4566),
        kinds.written("an address and port such as 127.0.0.1:4566 or [::1]:4566", Address.parse),
        "Where the API is served. Port 0 takes a free one. An address that other machines reach needs "
        '`auth = "sigv4"`.',
    )
    auth: str = _row(
        "none",
        kinds.matching("none or sigv4", re.compile("none|sigv4")),
        "Who may call: `none` is everybody on this machine, for whatever account; `sigv4` is who signs with an access "
        "key that `lamella key create` made.",
    )
    hosts: tuple[str, ...] = _row(
        (),
        kinds.listed("none, or names such as lambda.example.com,*.lambda.example.com", kinds.host_name),
        "Names, beside `localhost` and literal addresses, under which clients address the server, separated by commas. "
        "A `*.` in front stands for any one label. Requests for other names are refused.",
    )
    data: Path = field(
        default_factory=lambda: default_data_directory(os.environ, is_root=os.geteuid() == 0),
        metadata={
            "kind": kinds.written("a path", kinds.path),
            "meaning": "Directory for everything that is kept. It belongs to one server at a time. A relative path "
            "starts at the working directory.",
            "default": "/var/lib/lamella as root, else $XDG_DATA_HOME/lamella",
        },
    )
    database: str = _row(
        "sqlite",
        kinds.database(),
        "Where all is kept but archives, logs and records: `sqlite`, a file in `data`, or the URL of a PostgreSQL "
        "database, which belongs to this data directory and to one server at a time. A URL with a password is better "
        "not given as a flag, which other users of the machine can see.",
    )
    region: str = _row(
        "us-east-1",
        kinds.matching("the name of a region such as eu-central-1", kinds.REGION),
        "Region of requests whose signature names none.",
    )
    account_id: str = _row(
        "000000000000",
        kinds.matching("an account number of 12 digits", kinds.ACCOUNT),
        "Account of requests whose access key is not itself an account number.",
    )
    organizations: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}),
        metadata={
            "kind": kinds.ORGANIZATIONS,
            "meaning": "The organisation of each account that is in one, for policies that let an organisation in. "
            "In the settings file it is a table of its own, `[organizations]`, with a line such as "
            '`"111122223333" = "o-a1b2c3d4e5"` for each account.',
            "default": kinds.EMPTY_LIST,
        },
    )
    sandbox_runtime: str = _row(
        "crun",
        kinds.matching("crun, runc, or the absolute path of an OCI runtime", re.compile(r"crun|runc|/[^\0]+")),
        "Program that makes sandboxes: `crun`, `runc`, or the absolute path of another OCI runtime.",
    )
    cpu_limits: bool = _row(
        default=True,
        kind=kinds.SWITCH,
        meaning="Whether a function's share of CPU time follows its memory, 1769 MB being one processor, as on AWS.",
    )
    dev_shm: bool = _row(
        default=False, kind=kinds.SWITCH, meaning="Whether sandboxes have `/dev/shm`. On AWS they do not."
    )
    network: str = _row(
        "auto",
        kinds.matching("auto, none, nat or host", re.compile("auto|none|nat|host")),
        "What functions reach beside Lambda's API: `none` nothing; `nat` other machines, by address translation, but "
        "not this one; `host` whatever this machine reaches, its own loopback included. `auto` is `nat` where this "
        "machine can, and else `none`, with a warning.",
    )
    network_limit: str = _row(
        "same",
        kinds.matching("same, none, nat or host", re.compile("same|none|nat|host")),
        "The most that a function gets by its tag `lamella:network`: `none`, `nat` or `host`. `same` is what `network` "
        "says, so that a tag can ask for less only.",
    )
    network_blocked: tuple[str, ...] = _row(
        (),
        kinds.listed("none, or networks such as 10.0.0.0/8,192.168.1.7", ipaddress.IPv4Network),
        "Networks that functions with `nat` may not reach, separated by commas. Link-local addresses, where clouds "
        "have their metadata, are never reached.",
    )
    network_dns: tuple[str, ...] = _row(
        (),
        kinds.listed("none, or IPv4 addresses such as 192.0.2.53", ipaddress.IPv4Address),
        "Name servers of functions with `nat`, separated by commas. `none` stands for those of this machine, or for "
        "those behind a stub on loopback such as that of systemd-resolved.",
    )
    neighbour: str = _row(
        "auto",
        kinds.written("auto, off, moto, or a URL such as http://127.0.0.1:4567", kinds.neighbour),
        "Who answers on this endpoint for the services that are not Lambda's, S3 and SQS among them: `moto`, as a "
        "child process of the server; the server of another URL; or `off`, nobody. `auto` is moto if it is installed "
        "(`pip install 'lamella[neighbour]'`), started with the first request that needs it.",
    )
    neighbour_services: tuple[str, ...] = _row(
        (),
        kinds.listed("none, or services with their URLs such as s3=http://127.0.0.1:9000", parse_override),
        "Single services that another server answers for, by the name that signatures have for them, separated by "
        "commas: `s3=http://127.0.0.1:9000,sqs=http://127.0.0.1:9324`.",
    )
    image_registries: tuple[str, ...] = _row(
        ("ecr", "public.ecr.aws"),
        kinds.listed(
            "none, or registries such as public.ecr.aws,localhost:5000,ecr=http://127.0.0.1:5000", Registry.parse
        ),
        "Registries that container images may be fetched from, as clients name them, separated by commas. `ecr` stands "
        "for all private registries of ECR (`111122223333.dkr.ecr.us-east-1.amazonaws.com`), `any` for whatever there "
        "is, at addresses that only the server reaches as well. `NAME=URL` says which registry stands for one: with "
        "`ecr=http://127.0.0.1:5000` AWS's names are served by your own. Registries on loopback are asked by HTTP, "
        "others by HTTPS.",
    )
    image_auth_file: Path | None = field(
        default=None,
        metadata={
            "kind": kinds.written(
                "a path, or the word usual", lambda text: None if text == "usual" else kinds.path(text)
            ),
            "meaning": "File with credentials for registries, as `docker login`, `podman login` and `skopeo login` "
            "write it, read anew for each image. `usual` stands for where these programs keep it for the user who runs "
            "the server: `$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`, "
            "`~/.docker/config.json`.",
            "default": "usual",
        },
    )
    image_paths: tuple[Path, ...] = _row(
        (),
        kinds.PATHS,
        "Directories of the server's machine below which clients may name container images, such as "
        "`oci:/srv/images/hello`, separated by commas. The server reads what is there with its own rights.",
    )
    freeze: bool = _row(
        default=True,
        kind=kinds.SWITCH,
        meaning="Whether an environment is frozen between invocations, so that its threads stand still, as on AWS.",
    )
    max_environments: int = field(
        default_factory=lambda: default_max_environments(_machine_memory_mib()),
        metadata={
            "kind": kinds.number(1, 100_000, whole=True),
            "meaning": "How many execution environments this node keeps at once, over all functions. An invocation "
            "that needs one more waits.",
            "default": f"100, or one for each {_MIB_PER_ENVIRONMENT} MiB of the machine's memory if that is less",
        },
    )
    queue_timeout_s: float = _row(
        30.0,
        kinds.seconds(1, 900),
        "How long an invocation waits when `max_environments` is reached. After that it is refused with 429.",
    )
    idle_timeout_s: float = _row(
        300.0, kinds.seconds(0, 86_400), "How long an environment waits for its next invocation before it is retired."
    )
    spare_sandboxes: int = _row(
        4,
        kinds.number(0, 1000, whole=True),
        "How many sandboxes are made ahead of need, one each for the function versions that were changed or started "
        "last. A cold start that finds one takes less than half the time; each costs about half a MiB.",
    )
    init_timeout_s: float = _row(10.0, kinds.seconds(0.1, 900), "How long the init phase may take. On AWS it is 10 s.")
    stream_rate_limit: bool = _row(
        default=False,
        kind=kinds.SWITCH,
        meaning="Whether streamed responses are slowed down as on AWS: 6 MiB at any speed, then 2 MiB/s.",
    )
    allow_deprecated_runtimes: bool = _row(
        default=False,
        kind=kinds.SWITCH,
        meaning="Whether functions may be created with runtimes that AWS no longer accepts.",
    )
    limits: str = _row(
        "aws",
        kinds.matching("aws or relaxed", re.compile("aws|relaxed")),
        "Whose limits hold: `aws` is AWS's; `relaxed` lets archives, layers, variables, timeouts and memory be larger, "
        "and says in the log and in a header of the answer what AWS would have refused. Rates are no limits then, and "
        "the log tells of what would have been throttled.",
    )
    layer_gate: str = _row(
        "warn",
        kinds.matching("off, warn or enforce", re.compile("off|warn|enforce")),
        "Whether layers are checked when they are published: `warn` checks those that declare compatible runtimes "
        "afterwards, in the background, and tells the log; `enforce` checks all beforehand and refuses those with "
        "which functions would fail; `off` checks none.",
    )
    scaling_rate: int = _row(
        1_000,
        kinds.number(1, 100_000, whole=True),
        "How many new execution environments a function gets in ten seconds; invocations that need more are refused "
        "with 429. On AWS it is 1,000.",
    )
    async_retry_scale: float = _row(
        1.0,
        kinds.number(0.001, 1.0, whole=False),
        "What all waits and ages of asynchronous events are multiplied by, for tests: with 0.01 an event is tried "
        "again after 0.6 s and 1.2 s instead of one and two minutes.",
    )
    async_history: int = _row(
        10_000,
        kinds.number(100, 1_000_000, whole=True),
        "How many asynchronous events are remembered after their end, over all functions, for `lamella events`.",
    )
    state_delay_s: float = _row(
        0.25,
        kinds.seconds(0, 60),
        "How long a function stays `Pending`, or an update `InProgress`, so that clients see it and wait, as on AWS.",
    )
    drain_timeout_s: float = _row(
        30.0, kinds.seconds(0, 3600), "How long running invocations may take to end when the server is asked to stop."
    )
    flight_recorder: bool = _row(
        default=True,
        kind=kinds.SWITCH,
        meaning="Whether what happens to each execution environment is recorded, payloads included, for "
        "`lamella trace`; records of failures are kept in the data directory.",
    )
    log_level: str = _row(
        "info",
        kinds.matching("debug, info, warning or error", re.compile("debug|info|warning|error")),
        "Least severe record of the server's own log: `debug`, `info`, `warning` or `error`.",
    )
    log_format: str = _row(
        "text",
        kinds.matching("text or json", re.compile("text|json")),
        "Form of the server's own log: `text` to read, or `json`, one object per line.",
    )

    @classmethod
    def load(
        cls,
        flags: Mapping[str, str | None],
        environ: Mapping[str, str],
        *,
        is_root: bool = True,
        system_file: Path = SYSTEM_FILE,
    ) -> Self:
        """Put the settings together from all sources.

        Args:
            flags: By name of setting; `None` where the flag was not given. `config` may name a settings file.
            environ: An empty variable counts as absent.
            is_root: Decides where `data` is by default.
            system_file: Read if there is one and neither flag nor variable names another. A `lamella.toml` of the
                working directory is never read by itself: who runs the server as root in a directory of somebody
                else's would run it with somebody else's settings.

        Raises:
            SettingsError: A source cannot be read, or holds an unknown name or an unfit value; or other machines could
                come in unasked.
        """
        values: dict[str, object] = {"data": default_data_directory(environ, is_root=is_root)}
        file, named_by = flags.get("config"), "flag --config"
        if not file:
            file, named_by = environ.get("LAMELLA_CONFIG"), "environment variable LAMELLA_CONFIG"
        if file:
            values.update(_from_file(Path(file), named_by))
        elif system_file.exists():
            values.update(_from_file(system_file, ""))
        values.update(_from_environment(environ))
        values.update(_from_flags(flags))
        settings = cls(**values)  # type: ignore[arg-type]  # each value has passed the check of its own row
        if settings.auth == "none" and not settings.listen.is_loopback:
            raise SettingsError(
                f"listen = {settings.listen} would let other machines in without asking who they are: set "
                'auth = "sigv4" and make keys with "lamella key create", or listen on a loopback address such as '
                "127.0.0.1:4566"
            )
        return settings


def _table() -> Iterator[Setting]:
    for row in fields(Settings):
        default = row.metadata.get("default") or _as_text(row.default)
        yield Setting(row.name, row.metadata["kind"], row.metadata["meaning"], default)


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or kinds.EMPTY_LIST
    return f"{value:g}" if isinstance(value, float) else str(value)


SETTINGS: Final[Mapping[str, Setting]] = {row.name: row for row in _table()}


def _from_file(path: Path, named_by: str) -> Iterator[tuple[str, object]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        because = f" (from {named_by})" if named_by else ""
        raise SettingsError(f"cannot read the settings file {path}{because}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} is not TOML: {error}") from error
    for name, value in content.items():
        where = f"settings file {path}, {name}"
        if name not in SETTINGS:
            raise SettingsError(f"{where}: there is no such setting; the nearest is {_nearest(name, SETTINGS)}")
        yield name, _checked(SETTINGS[name], value, value, where)


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    by_variable = {setting.variable: setting for setting in SETTINGS.values()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable in RESERVED_VARIABLES or not text:
            continue
        where = f"environment variable {variable}"
        if variable not in by_variable:
            nearest = _nearest(variable, [*by_variable, *RESERVED_VARIABLES])
            raise SettingsError(f"{where}: there is no such setting; the nearest is {nearest}")
        setting = by_variable[variable]
        yield setting.name, _from_text(setting, text, where)


def _from_flags(flags: Mapping[str, str | None]) -> Iterator[tuple[str, object]]:
    for name, text in flags.items():
        if text is None or name == "config":
            continue
        if name not in SETTINGS:
            raise SettingsError(f"flag --{name}: there is no such setting; the nearest is {_nearest(name, SETTINGS)}")
        yield name, _from_text(SETTINGS[name], text, f"flag {SETTINGS[name].flag}")


def _from_text(setting: Setting, text: str, where: str) -> object:
    try:
        value = setting.kind.from_text(text)
    except ValueError:
        raise SettingsError(f"{where}: {_shown(setting, text)} is not {setting.kind.expects}") from None
    return _checked(setting, value, text, where)


def _checked(setting: Setting, value: object, shown: object, where: str) -> object:
    try:
        return setting.kind.check(value)
    except ValueError as error:
        reason = str(error) or f"is not {setting.kind.expects}"
        raise SettingsError(f"{where}: {_shown(setting, shown)} {reason}") from None


def _shown(setting: Setting, value: object) -> str:
    return "the value" if setting.kind.secret else repr(value)


def _nearest(name: str, known: Iterable[str]) -> str:
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]
