"""What values settings take: addresses, numbers, texts of a form, lists; and how each is read and checked."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from lamella.neighbour.endpoint import Endpoint

# Source: the model's pattern for a region within an ARN.
REGION: Final = re.compile(r"(eusc-)?[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]")
_HOST_NAME: Final = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
EMPTY_LIST: Final = "none"
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


def _switch_from_text(text: str) -> object:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise ValueError from None


def _check_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004  (one error for all that is unfit; its text is made by the caller)
    return value


SWITCH: Final = Kind("true or false", _switch_from_text, _check_switch)


def number(low: float, high: float, *, whole: bool, unit: str = "") -> Kind:
    """A number within bounds that belong to it; `unit` completes its name in errors."""

    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not low <= value <= high:
            raise ValueError
        return value if whole else float(value)

    expects = f"a {'whole ' if whole else ''}number{unit} from {low:g} to {high:g}"
    return Kind(expects, int if whole else float, check)


def written(expects: str, accepts: Callable[[str], Any]) -> Kind:
    """A setting written as a string; `accepts` raises `ValueError` or returns the value."""

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("must be written in quotes")  # noqa: TRY004  (see _check_switch)
        return accepts(value)

    return Kind(expects, str, check)


def matching(expects: str, pattern: re.Pattern[str]) -> Kind:
    """A string that the pattern matches as a whole."""

    def accept(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError
        return text

    return written(expects, accept)


def listed(expects: str, accepts: Callable[[str], object]) -> Kind:
    """Texts separated by commas, or the word `none`; each is what `accepts` does not raise `ValueError` for."""

    def accept(text: str) -> tuple[str, ...]:
        if text == EMPTY_LIST:
            return ()
        items = tuple(part.strip() for part in text.split(","))
        for item in items:
            accepts(item)
        return items

    return written(expects, accept)


_ORGANIZATION: Final = re.compile(r"o-[a-z0-9]{10,32}")  # source: the model's pattern for `OrganizationId`
ACCOUNT: Final = re.compile(r"[0-9]{12}")


def _organizations_from_text(text: str) -> object:
    if text == EMPTY_LIST:
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
        if not ACCOUNT.fullmatch(account):
            raise ValueError
        if not isinstance(organization, str) or not _ORGANIZATION.fullmatch(organization):
            raise ValueError
    return MappingProxyType(value)


ORGANIZATIONS: Final = Kind(
    "none, or accounts with their organisations such as 111122223333=o-a1b2c3d4e5",
    _organizations_from_text,
    _check_organizations,
)


def host_name(text: str) -> None:
    """Raise `ValueError` unless it is a name of a host, which may begin with `*.`."""
    if _HOST_NAME.fullmatch(text) is None:
        raise ValueError


def database() -> Kind:
    """`sqlite`, or a URL, which has a password as a rule."""
    url = re.compile(r"sqlite|postgres(ql)?(\+psycopg)?://[^\s]+")
    plain = matching("sqlite, or a URL such as postgresql://user:password@host/database", url)
    return replace(plain, secret=True)


def path(text: str) -> Path:
    """An absolute path from any; raises `ValueError` if it can be none."""
    if not text or "\0" in text:
        raise ValueError
    return Path(text).expanduser().absolute()


def _paths(text: str) -> tuple[Path, ...]:
    return () if text == EMPTY_LIST else tuple(path(part.strip()) for part in text.split(","))


PATHS: Final = written("none, or paths such as /srv/images,/var/lib/images", _paths)


def neighbour(text: str) -> str:
    """Raise `ValueError` unless it is a word or a URL that `neighbour` takes."""
    if text not in ("auto", "off", "moto"):
        Endpoint.parse(text)
    return text


def seconds(low: float, high: float) -> Kind:
    """A time within bounds."""
    return number(low, high, whole=False, unit=" of seconds")
