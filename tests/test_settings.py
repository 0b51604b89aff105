"""Checks that a bad setting names itself, with an example, wherever it stands."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from mailshot import settings
from mailshot.deliver.smtp import Server
from mailshot.errors import SettingsError, Unavailable
from mailshot.store import engine
from mailshot.store.engine import Store

BAD = {
    "DATABASE": ["mysql://x", "mailshot.db", "sqlite:///", "postgresql://u@h:port/x", "postgresql://h"],
    "REDIS": ["http://x", "redis://h:99999"],
    "SMTP": ["mail.example.com", "http://x", "smtp://", "smtp://h:99999", "smtp://[::1"],
    "STARTTLS": ["yes", ""],
    "TRUSTED_PROXIES": ["proxy", "10.0.0.1/8", "127.0.0.1 ::1"],
    "BASE_URL": ["news.example.com", "ftp://x", "https://", "https://h:x"],
    "WEB_PORT": ["0", "65536", "http", ""],
    "INBOX_SMTP_PORT": ["-1"],
    "INBOX_WEB_PORT": ["1.5"],
    "CONNECTIONS": ["0", "201"],
    "LEASE": ["0", "soon"],
    "DOT_TIMEOUT": ["59"],
    "BATCH": ["0"],
    "METRICS": ["on", "0", "127.0.0.1", "127.0.0.1:", "h:65536", "::1:9464", "http://127.0.0.1:9464", "h:94 64"],
    "LOG_FORMAT": ["xml", "JSON", ""],
}
EACH = [(name, value) for name, values in BAD.items() for value in values]


@pytest.mark.parametrize(("name", "value"), EACH)
@pytest.mark.parametrize("in_file", [False, True])
def test_a_bad_value_names_its_variable_and_an_example(tmp_path: Path, name: str, value: str, in_file: bool) -> None:
    if in_file:
        (tmp_path / ".env").write_text(f"MAILSHOT_{name}={value}\n")
    with pytest.raises(SettingsError) as caught:
        settings.load_settings(tmp_path, {} if in_file else {f"MAILSHOT_{name}": value})
    assert caught.value.message.startswith(f"MAILSHOT_{name}: ")
    assert caught.value.remedy.startswith("Example: ")
    assert caught.value.exit_code == 3


def test_an_unknown_variable_is_refused_in_both_places(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Did you mean 'MAILSHOT_SMTP'"):
        settings.load_settings(tmp_path, {"MAILSHOT_SMPT": "x"})
    (tmp_path / ".env").write_text("MAILSHOT_ADRESS_KEY=x\nOTHER=y\n")
    with pytest.raises(SettingsError, match="Did you mean 'MAILSHOT_ADDRESS_KEY'"):
        settings.load_settings(tmp_path, {})


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAILSHOT_WEB_PORT=81\nMAILSHOT_BATCH=7\n")
    loaded = settings.load_settings(tmp_path, {"MAILSHOT_WEB_PORT": "82"})
    assert (loaded.web_port, loaded.batch, loaded.project) == (82, 7, tmp_path)
    assert loaded.database_url == f"sqlite:///{tmp_path / 'mailshot.db'}"


def test_a_given_environment_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = settings.load_settings(tmp_path, {})
    for name, value in {"WEB_PORT": "83", "KEYS": "1:" + "ab" * 16, "DATABASE": "nonsense", "PROJECT": "/"}.items():
        monkeypatch.setenv(f"MAILSHOT_{name}", value)
    monkeypatch.setenv("mailshot_batch", "9")
    assert settings.load_settings(tmp_path, {}) == defaults
    assert settings.load_settings(None, {"MAILSHOT_PROJECT": str(tmp_path), "MAILSHOT_BATCH": "7"}).batch == 7
    monkeypatch.setenv("MAILSHOT_DATABASE", "sqlite:///other.db")
    assert settings.load_settings(tmp_path).web_port == 83


def test_links_lead_to_the_web_port_unless_an_address_is_given(tmp_path: Path) -> None:
    assert settings.load_settings(tmp_path, {"MAILSHOT_WEB_PORT": "8090"}).base_url == "http://127.0.0.1:8090"
    variables = {"MAILSHOT_WEB_PORT": "8090", "MAILSHOT_BASE_URL": "https://news.example.com"}
    assert settings.load_settings(tmp_path, variables).base_url == "https://news.example.com"
    assert settings.load_settings(tmp_path, {}).base_url == "http://127.0.0.1:8080"


def test_secrets_do_not_show(tmp_path: Path) -> None:
    loaded = settings.load_settings(tmp_path, {"MAILSHOT_KEYS": "1:" + "ab" * 16, "MAILSHOT_SMTP": "smtp://u:canary@h"})
    assert "canary" not in repr(loaded)
    assert "abab" not in repr(loaded)
    with pytest.raises(SettingsError) as caught:
        settings.load_settings(tmp_path, {"MAILSHOT_SMTP": "smtps://u:canary@h:99999"})
    assert "canary" not in str(caught.value)


SECRETS = [
    "hun#ter2",
    "hun/ter2",
    "hun?ter2",
    "hun[ter2",
    "hun]ter2",
    "hun%ter2",
    "hun@ter2",
    "#hunter2",
    "hunter2%",
    "hu nter2",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    ("name", "address"), [("smtp", "smtp://user:{}@mail.example.com:587"), ("redis", "redis://:{}@127.0.0.1:6379/0")]
)
def test_a_password_that_must_be_escaped_gets_a_hint_without_showing_any_of_it(
    tmp_path: Path, name: str, address: str, secret: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        settings.load_settings(tmp_path, {f"MAILSHOT_{name.upper()}": address.format(secret)})
    message = str(refused.value)
    assert "%23" in message
    for at in range(len(secret) - 2):
        assert secret[at : at + 3] not in message
    escaped = settings.load_settings(tmp_path, {f"MAILSHOT_{name.upper()}": address.format(quote(secret, safe=""))})
    assert escaped


def test_a_database_address_is_shown_without_its_password() -> None:
    for url in ("postgresql://a:hunter2@127.0.0.1:9/x", "postgresql://127.0.0.1:9/x?user=a&password=hunter2"):
        store = Store.open(url)
        assert "hunter2" not in engine.database_location(store.engine)
        with pytest.raises(Unavailable) as refused, store.read():
            pass
        assert "hunter2" not in str(refused.value)


def test_a_server_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(Server.parse("smtp://user:hunter2@mail.example.com", "auto"))


@pytest.mark.parametrize("kind", ["pipe", "folder", "large"])
def test_settings_that_are_no_small_file_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ".env"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(3 << 30)
    with pytest.raises(SettingsError, match="cannot be read"):
        settings.load_settings(tmp_path, {})


def test_settings_may_be_a_link_to_where_secrets_are_kept(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\ufeffMAILSHOT_BATCH=7\n", encoding="utf-8")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/.env").symlink_to(tmp_path / "secret")
    assert settings.load_settings(tmp_path / "shop", {}).batch == 7


def test_any_number_of_relays_can_be_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAILSHOT_RELAY_SES_2=smtps://u:canary@ses.example\n", encoding="utf-8")
    loaded = settings.load_settings(tmp_path, {"MAILSHOT_RELAY_OWN": "smtp://u:canary@own.example:587"})
    assert {name: address.get_secret_value() for name, address in loaded.relay.items()} == {
        "own": "smtp://u:canary@own.example:587",
        "ses_2": "smtps://u:canary@ses.example",
    }
    assert "canary" not in repr(loaded)
    assert settings.load_settings(tmp_path, {"MAILSHOT_RELAY_SES_2": "smtp://other"}).relay["ses_2"]


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("MAILSHOT_RELAY_OWN", "http://u:canary@h", "MAILSHOT_RELAY_OWN: must be smtp://host:port"),
        ("MAILSHOT_RELAY_OWN", "smtp://u:canary#@h", "MAILSHOT_RELAY_OWN: a user name or password must have #"),
        ("MAILSHOT_RELAY_OWN", "smtp://u:canary@h:99999", "MAILSHOT_RELAY_OWN: cannot be read as an address"),
        ("MAILSHOT_RELAY_OWN", "", "MAILSHOT_RELAY_OWN: must be smtp://host:port"),
        ("MAILSHOT_RELAY_own", "smtp://h", "MAILSHOT_RELAY_own does not end with the name of a relay"),
        ("MAILSHOT_RELAY_", "smtp://h", "MAILSHOT_RELAY_ does not end with the name of a relay"),
        ("MAILSHOT_RELAY", "smtp://h", "MAILSHOT_RELAY is not a setting"),
    ],
)
def test_a_wrong_relay_is_refused_without_its_password(tmp_path: Path, name: str, address: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as refused:
        settings.load_settings(tmp_path, {name: address})
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("", None),
        ("9464", ("127.0.0.1", 9464)),
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("metrics.internal:1", ("metrics.internal", 1)),
        ("[::1]:9464", ("::1", 9464)),
    ],
)
def test_the_address_of_metrics_is_on_this_machine_unless_it_says_otherwise(
    tmp_path: Path, value: str, address: tuple[str, int] | None
) -> None:
    assert settings.load_settings(tmp_path, {"MAILSHOT_METRICS": value}).metrics_address == address
