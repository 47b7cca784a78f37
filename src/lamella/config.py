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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from lamella.neighbour.endpoint import Endpoint, parse_override

SYSTEM_FILE: Final = Path("/etc/lamella/lamella.toml")
PREFIX: Final = "LAMELLA_"
# Variables of the product that are not settings of the server.
RESERVED_VARIABLES: Final[Mapping[str, str]] = {
    "LAMELLA_CONFIG": "Path of the settings file; `--config` wins over it.",
    "LAMELLA_DEBUG": "If not empty, the command line shows tracebacks.",
    "LAMELLA_OPERATOR_KEY": "What the file `operator-key` of the server's data directory holds, for commands that are "
    "run elsewhere.",
}
# Source: the model's pattern for a region within an ARN.
_REGION: Final = re.compile(r"(eusc-)?[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]")
_HOST_NAME: Final = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_EMPTY_LIST: Final = "none"
_TRUTH: Final = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


class SettingsError(Exception):
    """A setting is unknown or unfit; the text is one line that names the value and where it came from."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `host` is a literal address, or `localhost`; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """As written in a URL: an IPv6 address stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HOST:PORT`.

        Raises:
            ValueError: It is neither.
        """
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*)):([0-9]{1,5})", text)
        if match is None or int(match[3]) > 65535:
            raise ValueError
        # An empty host, as in ":4566", means every interface wherever it is customary.
        host = match[1] or match[2] or "0.0.0.0"  # noqa: S104  (whether other machines may come in is decided below)
        if host != "localhost":
            try:
                ipaddress.ip_address(host)
            except ValueError:
                raise ValueError from None  # without its text: ours says what is expected
        return cls(host, int(match[3]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback


@dataclass(frozen=True, slots=True)
class Kind:
    """What values a setting takes.

    Attributes:
        expects: Completes "is not ...", for example `a whole number from 1 to 10`.
        from_text: Turns a variable's or flag's text into what a TOML file would hold. May raise `ValueError`.
        check: Turns what a TOML file holds into the value. Raises `ValueError`, with a text where `expects` says too
            little.
        secret: Whether a value may hold a password, so that no error repeats it.
    """

    expects: str
    from_text: Callable[[str], object]
    check: Callable[[object], object]
    secret: bool = False


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
        return self.kind is _SWITCH


def _switch_from_text(text: str) -> object:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise ValueError from None


def _check_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004  (one error for all that is unfit; its text is made by the caller)
    return value


_SWITCH: Final = Kind("true or false", _switch_from_text, _check_switch)


def _number(low: float, high: float, *, whole: bool, unit: str = "") -> Kind:
    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not low <= value <= high:
            raise ValueError
        return value if whole else float(value)

    expects = f"a {'whole ' if whole else ''}number{unit} from {low:g} to {high:g}"
    return Kind(expects, int if whole else float, check)


def _text(expects: str, accepts: Callable[[str], Any]) -> Kind:
    """A setting written as a string; `accepts` raises `ValueError` or returns the value."""

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("must be written in quotes")  # noqa: TRY004  (see _check_switch)
        return accepts(value)

    return Kind(expects, str, check)


def _matching(expects: str, pattern: re.Pattern[str]) -> Kind:
    def accept(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError
        return text

    return _text(expects, accept)


def _listed(expects: str, accepts: Callable[[str], object]) -> Kind:
    """Texts separated by commas, or the word `none`; each is what `accepts` does not raise `ValueError` for."""

    def accept(text: str) -> tuple[str, ...]:
        if text == _EMPTY_LIST:
            return ()
        items = tuple(part.strip() for part in text.split(","))
        for item in items:
            accepts(item)
        return items

    return _text(expects, accept)


_ORGANIZATION: Final = re.compile(r"o-[a-z0-9]{10,32}")  # source: the model's pattern for `OrganizationId`
_ACCOUNT: Final = re.compile(r"[0-9]{12}")


def _organizations_from_text(text: str) -> object:
    if text == _EMPTY_LIST:
        return {}
    pairs = [part.strip().partition("=") for part in text.split(",")]
    found = {account: organization for account, _, organization in pairs}
    if len(found) < len(pairs):
        raise ValueError  # an account in two organisations
    return found


def _check_organizations(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004  (see _check_switch)
    for account, organization in value.items():
        if not _ACCOUNT.fullmatch(account):
            raise ValueError
        if not isinstance(organization, str) or not _ORGANIZATION.fullmatch(organization):
            raise ValueError
    return MappingProxyType(value)


def _host_name(text: str) -> None:
    if _HOST_NAME.fullmatch(text) is None:
        raise ValueError


def _database() -> Kind:
    """`sqlite`, or a URL, which has a password as a rule."""
    url = re.compile(r"sqlite|postgres(ql)?(\+psycopg)?://[^\s]+")
    plain = _matching("sqlite, or a URL such as postgresql://user:password@host/database", url)
    return replace(plain, secret=True)


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError
    return Path(text).expanduser().absolute()


def _neighbour(text: str) -> str:
    if text not in ("auto", "off", "moto"):
        Endpoint.parse(text)
    return text


def _seconds(low: float, high: float) -> Kind:
    return _number(low, high, whole=False, unit=" of seconds")


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
        _text("an address and port such as 127.0.0.1:4566 or [::1]:4566", Address.parse),
        "Where the API is served. Port 0 takes a free one. An address that other machines reach needs "
        '`auth = "sigv4"`.',
    )
    auth: str = _row(
        "none",
        _matching("none or sigv4", re.compile("none|sigv4")),
        "Who may call: `none` is everybody on this machine, for whatever account; `sigv4` is who signs with an access "
        "key that `lamella key create` made.",
    )
    hosts: tuple[str, ...] = _row(
        (),
        _listed("none, or names such as lambda.example.com,*.lambda.example.com", _host_name),
        "Names, beside `localhost` and literal addresses, under which clients address the server, separated by commas. "
        "A `*.` in front stands for any one label. Requests for other names are refused.",
    )
    data: Path = field(
        default_factory=lambda: default_data_directory(os.environ, is_root=os.geteuid() == 0),
        metadata={
            "kind": _text("a path", _path),
            "meaning": "Directory for everything that is kept. It belongs to one server at a time. A relative path "
            "starts at the working directory.",
            "default": "/var/lib/lamella as root, else $XDG_DATA_HOME/lamella",
        },
    )
    database: str = _row(
        "sqlite",
        _database(),
        "Where all is kept but archives, logs and records: `sqlite`, a file in `data`, or the URL of a PostgreSQL "
        "database, which belongs to this data directory and to one server at a time. A URL with a password is better "
        "not given as a flag, which other users of the machine can see.",
    )
    region: str = _row(
        "us-east-1",
        _matching("the name of a region such as eu-central-1", _REGION),
        "Region of requests whose signature names none.",
    )
    account_id: str = _row(
        "000000000000",
        _matching("an account number of 12 digits", _ACCOUNT),
        "Account of requests whose access key is not itself an account number.",
    )
    organizations: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}),
        metadata={
            "kind": Kind(
                "none, or accounts with their organisations such as 111122223333=o-a1b2c3d4e5",
                _organizations_from_text,
                _check_organizations,
            ),
            "meaning": "The organisation of each account that is in one, for policies that let an organisation in. "
            "In the settings file it is a table of its own, `[organizations]`, with a line such as "
            '`"111122223333" = "o-a1b2c3d4e5"` for each account.',
            "default": _EMPTY_LIST,
        },
    )
    sandbox_runtime: str = _row(
        "crun",
        _matching("crun, runc, or the absolute path of an OCI runtime", re.compile(r"crun|runc|/[^\0]+")),
        "Program that makes sandboxes: `crun`, `runc`, or the absolute path of another OCI runtime.",
    )
    cpu_limits: bool = _row(
        default=True,
        kind=_SWITCH,
        meaning="Whether a function's share of CPU time follows its memory, 1769 MB being one processor, as on AWS.",
    )
    dev_shm: bool = _row(default=False, kind=_SWITCH, meaning="Whether sandboxes have `/dev/shm`. On AWS they do not.")
    network: str = _row(
        "auto",
        _matching("auto, none, nat or host", re.compile("auto|none|nat|host")),
        "What functions reach beside Lambda's API: `none` nothing; `nat` other machines, by address translation, but "
        "not this one; `host` whatever this machine reaches, its own loopback included. `auto` is `nat` where this "
        "machine can, and else `none`, with a warning.",
    )
    network_limit: str = _row(
        "same",
        _matching("same, none, nat or host", re.compile("same|none|nat|host")),
        "The most that a function gets by its tag `lamella:network`: `none`, `nat` or `host`. `same` is what `network` "
        "says, so that a tag can ask for less only.",
    )
    network_blocked: tuple[str, ...] = _row(
        (),
        _listed("none, or networks such as 10.0.0.0/8,192.168.1.7", ipaddress.IPv4Network),
        "Networks that functions with `nat` may not reach, separated by commas. Link-local addresses, where clouds "
        "have their metadata, are never reached.",
    )
    network_dns: tuple[str, ...] = _row(
        (),
        _listed("none, or IPv4 addresses such as 192.0.2.53", ipaddress.IPv4Address),
        "Name servers of functions with `nat`, separated by commas. `none` stands for those of this machine, or for "
        "those behind a stub on loopback such as that of systemd-resolved.",
    )
    neighbour: str = _row(
        "auto",
        _text("auto, off, moto, or a URL such as http://127.0.0.1:4567", _neighbour),
        "Who answers on this endpoint for the services that are not Lambda's, S3 and SQS among them: `moto`, as a "
        "child process of the server; the server of another URL; or `off`, nobody. `auto` is moto if it is installed "
        "(`pip install 'lamella[neighbour]'`), started with the first request that needs it.",
    )
    neighbour_services: tuple[str, ...] = _row(
        (),
        _listed("none, or services with their URLs such as s3=http://127.0.0.1:9000", parse_override),
        "Single services that another server answers for, by the name that signatures have for them, separated by "
        "commas: `s3=http://127.0.0.1:9000,sqs=http://127.0.0.1:9324`.",
    )
    freeze: bool = _row(
        default=True,
        kind=_SWITCH,
        meaning="Whether an environment is frozen between invocations, so that its threads stand still, as on AWS.",
    )
    max_environments: int = field(
        default_factory=lambda: default_max_environments(_machine_memory_mib()),
        metadata={
            "kind": _number(1, 100_000, whole=True),
            "meaning": "How many execution environments this node keeps at once, over all functions. An invocation "
            "that needs one more waits.",
            "default": f"100, or one for each {_MIB_PER_ENVIRONMENT} MiB of the machine's memory if that is less",
        },
    )
    queue_timeout_s: float = _row(
        30.0,
        _seconds(1, 900),
        "How long an invocation waits when `max_environments` is reached. After that it is refused with 429.",
    )
    idle_timeout_s: float = _row(
        300.0, _seconds(0, 86_400), "How long an environment waits for its next invocation before it is retired."
    )
    spare_sandboxes: int = _row(
        4,
        _number(0, 1000, whole=True),
        "How many sandboxes are made ahead of need, one each for the function versions that were changed or started "
        "last. A cold start that finds one takes less than half the time; each costs about half a MiB.",
    )
    init_timeout_s: float = _row(10.0, _seconds(0.1, 900), "How long the init phase may take. On AWS it is 10 s.")
    stream_rate_limit: bool = _row(
        default=False,
        kind=_SWITCH,
        meaning="Whether streamed responses are slowed down as on AWS: 6 MiB at any speed, then 2 MiB/s.",
    )
    allow_deprecated_runtimes: bool = _row(
        default=False,
        kind=_SWITCH,
        meaning="Whether functions may be created with runtimes that AWS no longer accepts.",
    )
    limits: str = _row(
        "aws",
        _matching("aws or relaxed", re.compile("aws|relaxed")),
        "Whose limits hold: `aws` is AWS's; `relaxed` lets archives, layers, variables, timeouts and memory be larger, "
        "and says in the log and in a header of the answer what AWS would have refused.",
    )
    async_retry_scale: float = _row(
        1.0,
        _number(0.001, 1.0, whole=False),
        "What all waits and ages of asynchronous events are multiplied by, for tests: with 0.01 an event is tried "
        "again after 0.6 s and 1.2 s instead of one and two minutes.",
    )
    async_history: int = _row(
        10_000,
        _number(100, 1_000_000, whole=True),
        "How many asynchronous events are remembered after their end, over all functions, for `lamella events`.",
    )
    state_delay_s: float = _row(
        0.25,
        _seconds(0, 60),
        "How long a function stays `Pending`, or an update `InProgress`, so that clients see it and wait, as on AWS.",
    )
    drain_timeout_s: float = _row(
        30.0, _seconds(0, 3600), "How long running invocations may take to end when the server is asked to stop."
    )
    flight_recorder: bool = _row(
        default=True,
        kind=_SWITCH,
        meaning="Whether what happens to each execution environment is recorded, payloads included, for "
        "`lamella trace`; records of failures are kept in the data directory.",
    )
    log_level: str = _row(
        "info",
        _matching("debug, info, warning or error", re.compile("debug|info|warning|error")),
        "Least severe record of the server's own log: `debug`, `info`, `warning` or `error`.",
    )
    log_format: str = _row(
        "text",
        _matching("text or json", re.compile("text|json")),
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
        return ",".join(value) or _EMPTY_LIST
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
