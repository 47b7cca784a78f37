import dataclasses
from pathlib import Path
from typing import Final

import pytest

from lamella.config.kinds import Address
from lamella.config.settings import RESERVED_VARIABLES, SETTINGS, Settings, SettingsError, default_max_environments


def load(
    flags: dict[str, str | None] | None = None,
    environ: dict[str, str] | None = None,
    *,
    file: str | None = None,
    tmp_path: Path | None = None,
    is_root: bool = True,
) -> Settings:
    system_file = Path("/nonexistent/lamella.toml")
    if file is not None:
        assert tmp_path is not None
        system_file = tmp_path / "lamella.toml"
        system_file.write_text(file, encoding="utf-8")
    return Settings.load(flags or {}, environ or {}, is_root=is_root, system_file=system_file)


def test_the_defaults() -> None:
    settings = load()
    assert str(settings.listen) == "127.0.0.1:4566"
    assert settings.data == Path("/var/lib/lamella")
    assert (settings.region, settings.account_id) == ("us-east-1", "000000000000")
    assert (settings.queue_timeout_s, settings.idle_timeout_s, settings.init_timeout_s) == (30.0, 300.0, 10.0)
    assert 1 <= settings.max_environments <= 100
    assert (settings.cpu_limits, settings.dev_shm, settings.freeze) == (True, False, True)


@pytest.mark.parametrize(
    ("memory_mib", "environments"), [(32, 1), (512, 8), (1024, 16), (6399, 99), (6400, 100), (64_000, 100)]
)
def test_a_machine_with_little_memory_keeps_fewer_environments(memory_mib: int, environments: int) -> None:
    assert default_max_environments(memory_mib) == environments


def test_each_default_is_fit_for_its_own_row() -> None:
    """Else the reference page would document a value that the server refuses."""
    settings = load()
    for row in SETTINGS.values():
        if row.name not in {"data", "max_environments"}:  # whose defaults depend on the machine
            assert load({row.name: row.default}) == settings, row.name


def test_a_later_source_wins(tmp_path: Path) -> None:
    file = 'region = "eu-west-1"\naccount_id = "111111111111"\nlog_level = "error"\n'
    environ = {"LAMELLA_ACCOUNT_ID": "222222222222", "LAMELLA_LOG_LEVEL": "warning"}
    settings = load({"log_level": "debug"}, environ, file=file, tmp_path=tmp_path)
    assert (settings.region, settings.account_id, settings.log_level) == ("eu-west-1", "222222222222", "debug")


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load({"region": None, "config": None}, {"LAMELLA_REGION": "eu-west-1"}).region == "eu-west-1"


def test_an_empty_variable_counts_as_absent() -> None:
    assert load({}, {"LAMELLA_REGION": "", "LAMELLA_CONFIG": ""}).region == "us-east-1"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.local/share/lamella"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "/data"}, "/data/lamella"),
    ],
)
def test_data_of_a_user_is_in_the_users_own_directory(environ: dict[str, str], expected: str) -> None:
    assert load({}, environ, is_root=False).data == Path(expected)


def test_a_relative_data_path_becomes_absolute() -> None:
    assert load({"data": "state"}).data == Path.cwd() / "state"


class TestFile:
    def test_types_are_those_of_toml(self, tmp_path: Path) -> None:
        settings = load(
            file="cpu_limits = false\nmax_environments = 7\nidle_timeout_s = 1.5\ninit_timeout_s = 3\n",
            tmp_path=tmp_path,
        )
        assert (settings.cpu_limits, settings.max_environments) == (False, 7)
        assert (settings.idle_timeout_s, settings.init_timeout_s) == (1.5, 3.0)
        assert isinstance(settings.init_timeout_s, float)

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("lsten = 1", "lamella.toml, lsten: there is no such setting; the nearest is listen"),
            ("[sandbox_run]\ntime = 1", "sandbox_run: there is no such setting; the nearest is sandbox_runtime"),
            ("account_id = 123456789012", "account_id: 123456789012 must be written in quotes"),
            ('cpu_limits = "true"', "cpu_limits: 'true' is not true or false"),
            ("cpu_limits = 1", "cpu_limits: 1 is not true or false"),
            ("max_environments = true", "max_environments: True is not a whole number from 1 to 100000"),
            ("max_environments = 2.0", "is not a whole number"),
            ("idle_timeout_s = nan", "idle_timeout_s: nan is not a number of seconds from 0 to 86400"),
            ("idle_timeout_s = ", "lamella.toml is not TOML: "),
            ('auth = "iam"', "auth: 'iam' is not none or sigv4"),
            ('hosts = "a.example,*"', "hosts: 'a.example,*' is not none, or names such as lambda.example.com"),
            ('hosts = "http://a.example"', "is not none, or names"),
            ('hosts = "a.*.example"', "is not none, or names"),
        ],
    )
    def test_what_is_unfit_is_named_with_its_place(self, content: str, expected: str, tmp_path: Path) -> None:
        with pytest.raises(SettingsError) as caught:
            load(file=content, tmp_path=tmp_path)
        assert expected in str(caught.value)
        assert str(tmp_path) in str(caught.value)

    def test_flag_wins_over_variable_wins_over_system_file(self, tmp_path: Path) -> None:
        for name in ("flag", "variable"):
            (tmp_path / name).write_text(f'data = "/{name}"', encoding="utf-8")
        environ = {"LAMELLA_CONFIG": str(tmp_path / "variable")}
        flags: dict[str, str | None] = {"config": str(tmp_path / "flag")}
        assert load({}, {}, file='data = "/system"', tmp_path=tmp_path).data == Path("/system")
        assert load({}, environ, file='data = "/system"', tmp_path=tmp_path).data == Path("/variable")
        assert load(flags, environ, file='data = "/system"', tmp_path=tmp_path).data == Path("/flag")

    def test_a_file_that_was_named_must_be_there(self) -> None:
        with pytest.raises(SettingsError, match=r"/nowhere.toml \(from flag --config\): No such file"):
            load({"config": "/nowhere.toml"})
        with pytest.raises(SettingsError, match=r"from environment variable LAMELLA_CONFIG"):
            load({}, {"LAMELLA_CONFIG": "/nowhere.toml"})


class TestEnvironment:
    @pytest.mark.parametrize("text", ["true", "1", "YES", "on"])
    def test_a_switch_is_on(self, text: str) -> None:
        assert load({}, {"LAMELLA_DEV_SHM": text}).dev_shm is True

    @pytest.mark.parametrize(
        ("variable", "text", "expected"),
        [
            (
                "LAMELLA_LISTN",
                "x",
                "environment variable LAMELLA_LISTN: there is no such setting; the nearest is LAMELLA_LISTEN",
            ),
            (
                "LAMELLA_MAX_ENVIRONMENTS",
                "many",
                "LAMELLA_MAX_ENVIRONMENTS: 'many' is not a whole number from 1 to 100000",
            ),
            ("LAMELLA_MAX_ENVIRONMENTS", "0", "'0' is not a whole number"),
            ("LAMELLA_FREEZE", "maybe", "'maybe' is not true or false"),
            ("LAMELLA_REGION", "Mars", "'Mars' is not the name of a region such as eu-central-1"),
            ("LAMELLA_ACCOUNT_ID", "\u0660" * 12, "is not an account number of 12 digits"),
            ("LAMELLA_SANDBOX_RUNTIME", "docker", "'docker' is not crun, runc, or the absolute path of an OCI runtime"),
            ("LAMELLA_LOG_FORMAT", "xml", "'xml' is not text or json"),
        ],
    )
    def test_what_is_unfit_is_named_with_its_variable(self, variable: str, text: str, expected: str) -> None:
        with pytest.raises(SettingsError) as caught:
            load({}, {variable: text})
        assert expected in str(caught.value)

    def test_variables_of_the_product_that_are_no_settings_are_left_alone(self) -> None:
        assert load({}, dict.fromkeys(RESERVED_VARIABLES.keys() - {"LAMELLA_CONFIG"}, "1")) == load()

    def test_variables_of_others_are_left_alone(self) -> None:
        assert load({}, {"REGION": "eu-west-1", "lamella_region": "eu-west-1"}) == load()


class TestFlags:
    def test_an_unfit_value_is_named_with_its_flag(self) -> None:
        with pytest.raises(SettingsError, match="flag --drain-timeout-s: 'long' is not a number of seconds"):
            load({"drain_timeout_s": "long"})

    def test_an_unknown_flag_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="nearest is region"):
            load({"regoin": "x"})


class TestListen:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("127.8.9.1:80", "127.8.9.1", 80),
            ("[::1]:4566", "::1", 4566),
            ("localhost:1", "localhost", 1),
        ],
    )
    def test_loopback_is_accepted_and_printed_as_written(self, text: str, host: str, port: int) -> None:
        assert Address.parse(text) == Address(host, port)
        assert str(Address.parse(text)) == text

    @pytest.mark.parametrize(
        "text", ["0.0.0.0:4566", ":4566", "[::]:4566", "192.168.1.2:80", "[::ffff:192.168.1.2]:80", "169.254.100.1:80"]
    )
    def test_addresses_that_others_reach_are_refused(self, text: str) -> None:
        with pytest.raises(SettingsError, match=r"let other machines in without asking .* auth = \"sigv4\""):
            load({"listen": text})
        assert not load({"listen": text, "auth": "sigv4"}).listen.is_loopback

    def test_without_a_host_it_is_every_interface(self) -> None:
        assert load({"listen": ":80", "auth": "sigv4"}).listen == Address("0.0.0.0", 80)

    @pytest.mark.parametrize(
        "text", ["127.0.0.1", "4566", "127.0.0.1:65536", "::1:4566", "localhost.evil.example:80", "[x]:1", "a b:1"]
    )
    def test_what_is_no_address_is_refused(self, text: str) -> None:
        with pytest.raises(SettingsError, match="is not an address and port such as"):
            load({"listen": text})


def test_settings_are_values() -> None:
    settings = load()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.region = "eu-west-1"  # type: ignore[misc]  # the point of the test
    assert dataclasses.replace(settings, region="eu-west-1").region == "eu-west-1"


def test_names_of_the_server() -> None:
    assert load({"hosts": "lambda.example.com, *.lambda.example.com"}).hosts == (
        "lambda.example.com",
        "*.lambda.example.com",
    )


def test_lists_are_separated_by_commas() -> None:
    settings = load({"network_blocked": "10.0.0.0/8, 192.0.2.7", "network_dns": "none"})
    assert (settings.network_blocked, settings.network_dns) == (("10.0.0.0/8", "192.0.2.7"), ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("network_blocked", "10.0.0.1/8"),
        ("network_blocked", "fd00::/8"),
        ("network_blocked", "10.0.0.0/8,"),
        ("network_dns", "ns.example.org"),
        ("network_dns", "192.0.2.0/24"),
    ],
)
def test_what_is_no_list_of_addresses_is_refused(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"flag --{name.replace('_', '-')}: "):
        load({name: text})


class TestOrganizations:
    EXPECTED: Final = {"111122223333": "o-a1b2c3d4e5", "444455556666": "o-a1b2c3d4e5"}

    def test_in_a_file_they_are_a_table(self, tmp_path: Path) -> None:
        file = '[organizations]\n"111122223333" = "o-a1b2c3d4e5"\n"444455556666" = "o-a1b2c3d4e5"\n'
        assert load(file=file, tmp_path=tmp_path).organizations == self.EXPECTED

    def test_elsewhere_they_are_pairs(self) -> None:
        pairs = "111122223333=o-a1b2c3d4e5, 444455556666=o-a1b2c3d4e5"
        assert load({"organizations": pairs}).organizations == self.EXPECTED
        assert load({}, {"LAMELLA_ORGANIZATIONS": pairs}).organizations == self.EXPECTED
        assert load().organizations == load({"organizations": "none"}).organizations == {}

    @pytest.mark.parametrize(
        "text",
        [
            "111122223333",
            "111122223333=",
            "=o-a1b2c3d4e5",
            "1111=o-a1b2c3d4e5",
            "111122223333=o-short",
            "111122223333=O-A1B2C3D4E5",
            "111122223333=o-a1b2c3d4e5,111122223333=o-zzzzzzzzzz",
        ],
    )
    def test_what_is_unfit(self, text: str) -> None:
        with pytest.raises(SettingsError, match="is not none, or accounts with their organisations"):
            load({"organizations": text})

    @pytest.mark.parametrize(
        "file", ['organizations = "none"', "[organizations]\n111122223333 = 7", "[organizations]\na = 'b'"]
    )
    def test_what_is_unfit_in_a_file(self, file: str, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="is not none, or accounts with their organisations"):
            load(file=file, tmp_path=tmp_path)


class TestDatabase:
    @pytest.mark.parametrize(
        "value",
        [
            "sqlite",
            "postgresql://u:p@db.example/lamella",
            "postgresql+psycopg://u@/lamella?host=/run/postgresql",
            "postgres://db",
        ],
    )
    def test_is_sqlite_or_a_url(self, value: str) -> None:
        assert load({"database": value}).database == value

    @pytest.mark.parametrize("value", ["mysql://u:hunter2@h/d", "postgresql:u:hunter2", "postgresql://u:hunter 2@h"])
    def test_a_password_is_not_repeated(self, value: str, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"LAMELLA_DATABASE: the value is not sqlite, or a URL") as caught:
            load({}, {"LAMELLA_DATABASE": value})
        assert "hunter" not in str(caught.value)
        with pytest.raises(SettingsError, match=r"lamella.toml, database: the value is not") as caught:
            load(file=f'database = "{value}"', tmp_path=tmp_path)
        assert "hunter" not in str(caught.value)

    def test_a_password_is_not_shown_with_the_settings(self) -> None:
        assert "hunter2" not in repr(load({"database": "postgresql://u:hunter2@h/d"}))
