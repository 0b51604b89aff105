"""All settings, with default and help.

Each is read from the variable MAILSHOT_<NAME>, else from `.env` in the project folder. docs/operating.md lists them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from io import StringIO
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mailshot import safe_files
from mailshot.errors import SettingsError, nearest

PREFIX = "MAILSHOT_"
MAX_BYTES = 64 * 1024
_WEBHOOK = "webhook_"
#: Begins the variables that hold the addresses of relays, one for each relay.
RELAY = "MAILSHOT_RELAY_"
_RELAY_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
#: A host or an IPv6 address in brackets, and a port.
_METRICS = re.compile(r"(?:(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):)?[1-9]\d{0,4}", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_NUMBERS = ("web_port", "inbox_smtp_port", "inbox_web_port", "connections", "lease", "dot_timeout", "batch",
            "signup_per_address", "signup_per_client", "signup_per_hour", "signup_days", "signup_seconds")  # fmt: skip
EXAMPLES = {
    "database": "sqlite:///mailshot.db or postgresql://user@host/name",
    "redis": "redis://127.0.0.1:6379/0",
    "smtp": "smtp://user:password@mail.example.com:587",
    "mailbox": "lmtp://127.0.0.1:8024, imaps://user:password@mail.example.com, maildir:/var/mail/mailshot, or pipe",
    "keys": "1:0123456789abcdef0123456789abcdef (make one with 'mailshot init')",
    "address_key": "32 or more hexadecimal digits, never changed afterwards",
    "base_url": "https://news.example.com",
    "trusted_proxies": "127.0.0.1, 10.0.0.0/8",
    "metrics": "127.0.0.1:9464",
}
#: Characters that must be escaped in a user name or password, and a % that begins no escape.
_UNESCAPED = re.compile(r"[#/?\[\]\\\s@]|%(?![0-9A-Fa-f]{2})")
ESCAPES = (
    "a user name or password must have # written as %23, / as %2F, ? as %3F, [ as %5B, ] as %5D, @ as %40, : as %3A "
    "and % as %25"
)


def _webhook(secret: str) -> Any:
    """Return the setting of a mail provider's webhook, which does not exist without it."""
    return Field(SecretStr(""), description=f"Webhook of {secret}; several are separated by commas.")


class Settings(BaseModel):
    """All settings of one installation. Secrets never show in a repr.

    Only `load_settings` looks at the environment and at `.env`; made directly, it holds its arguments and the defaults.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, validate_default=True)

    project: Path = Field(Path("."), description="Folder that contains rules/ and templates/.")
    database: str = Field("sqlite:///mailshot.db", repr=False, description="Database URL: a SQLite file or PostgreSQL.")
    redis: str = Field("", repr=False, description="Redis URL of the queue; empty: run in one process (embedded).")
    smtp: SecretStr = Field(SecretStr("smtp://127.0.0.1:1025"), description="SMTP server that mails are sent through.")
    relay: Mapping[str, SecretStr] = Field(
        {}, description="Relays by name, of senders with `through`: MAILSHOT_RELAY_<NAME>=smtp://…, any number."
    )
    mailbox: SecretStr = Field(
        SecretStr(""),
        description="Where bounces and replies arrive: an lmtp://, smtp://, imaps:// or maildir: address, or pipe. "
        "Without it, mails contain no addresses for replies or for unsubscribing by mail.",
    )
    webhook_standard: SecretStr = _webhook("our own format, signed as Standard Webhooks say: whsec_… secret")
    webhook_ses: SecretStr = _webhook("Amazon SES: ARN of the SNS topic")
    webhook_sendgrid: SecretStr = _webhook("SendGrid: verification key of the event webhook")
    webhook_mailgun: SecretStr = _webhook("Mailgun: HTTP webhook signing key")
    webhook_postmark: SecretStr = _webhook("Postmark: user:password, or a token")
    webhook_resend: SecretStr = _webhook("Resend: whsec_… secret")
    webhook_brevo: SecretStr = _webhook("Brevo: token, or user:password")
    webhook_mailjet: SecretStr = _webhook("Mailjet: user:password")
    starttls: str = Field("auto", description="auto (required unless loopback), required or never.")
    dkim_keys: Path = Field(
        Path("dkim"),
        description="Folder of the private DKIM keys, relative to the project; `mailshot dkim key` writes into it.",
    )
    keys: SecretStr = Field(SecretStr(""), description="Signing keys 'id:hex,id:hex'; the first signs, all verify.")
    address_key: SecretStr = Field(SecretStr(""), description="Key of the address hashes in the suppression list.")
    operator: str = Field(
        "", max_length=100, description="Who works on the command line, for the audit log; empty: the system's user."
    )
    base_url: str = Field(
        "http://127.0.0.1:8080",
        description="Public URL of the tracking and preference pages. The default uses MAILSHOT_WEB_PORT.",
    )
    web_host: str = Field("127.0.0.1", description="Address the web process listens on.")
    web_port: int = Field(8080, ge=1, le=65535, description="Port the web process listens on.")
    trusted_proxies: str = Field(
        "",
        description="Addresses of reverse proxies whose X-Forwarded-For is trusted, separated by commas; empty: none.",
    )
    metrics: str = Field(
        "",
        description="Address and port for Prometheus, such as 127.0.0.1:9464; empty: none. Each process has its own "
        "port, counted from this one.",
    )
    log_format: str = Field("text", description="text, or json: one JSON object a line.")
    inbox_smtp_port: int = Field(1025, ge=1, le=65535, description="SMTP port of the local mail catcher.")
    inbox_web_port: int = Field(8025, ge=1, le=65535, description="Web port of the local mail catcher.")
    connections: int = Field(20, ge=1, le=200, description="SMTP connections of each worker process.")
    lease: float = Field(30.0, ge=1, description="Seconds after which an unrenewed claim on a delivery expires.")
    dot_timeout: float = Field(600.0, ge=60, description="Seconds to wait for the reply to the final dot (RFC 5321).")
    batch: int = Field(2000, ge=1, description="Deliveries processed per queue message.")
    signup_per_address: int = Field(1, ge=1, description="Sign-up mails to one address in 24 hours.")
    signup_per_client: int = Field(20, ge=1, description="Sign-ups from one network address in an hour.")
    signup_per_hour: int = Field(500, ge=1, description="Sign-up mails in an hour, in total.")
    signup_days: int = Field(7, ge=1, le=90, description="Days until an unconfirmed sign-up is deleted.")
    signup_seconds: float = Field(3.0, ge=0, description="Seconds for which the sign-up page must have been shown.")

    @field_validator(*_NUMBERS, mode="before")
    @classmethod
    def _digits(cls, value: Any) -> object:
        # Python alone would also take 1_000, +5, 1e3, inf and digits of other scripts.
        if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
            raise ValueError("must be a number in digits")
        return value

    @model_validator(mode="after")
    def _follow_web_port(self) -> Settings:
        """Without a public address, links in mails lead to the port on this machine."""
        if "base_url" not in self.model_fields_set:
            self.__dict__["base_url"] = f"http://127.0.0.1:{self.web_port}"
        return self

    @field_validator("database")
    @classmethod
    def _database(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "postgresql://", "postgres://")):
            raise ValueError("must be a sqlite:/// or postgresql:// address")
        if value == "sqlite:///" or not _split(value).path.strip("/"):
            raise ValueError("must name the file or database")
        return value

    @field_validator("redis")
    @classmethod
    def _redis(cls, value: str) -> str:
        if value and _server(value).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must be a redis:// address, or empty")
        return value

    @field_validator("smtp")
    @classmethod
    def _smtp(cls, value: SecretStr) -> SecretStr:
        return _check_smtp(value)

    @field_validator("relay")
    @classmethod
    def _relay(cls, value: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        for name, address in value.items():
            try:
                _check_smtp(address)
            except ValueError as error:
                raise PydanticCustomError("relay", "{why}", {"why": str(error), "relay": name}) from None
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _trusted_proxies(cls, value: str) -> str:
        for proxy in _listed(value):
            try:
                ip_network(proxy)
            except ValueError:
                raise ValueError("must be IP addresses or networks, separated by commas") from None
        return value

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        if _split(value).scheme not in ("http", "https") or not _split(value).hostname:
            raise ValueError("must be an http(s) address")
        return value.rstrip("/")

    @field_validator("starttls")
    @classmethod
    def _starttls(cls, value: str) -> str:
        if value not in ("auto", "required", "never"):
            raise ValueError("must be auto, required or never")
        return value

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, value: str) -> str:
        if value and not (_METRICS.fullmatch(value.strip()) and int(value.rpartition(":")[2]) <= 65535):
            raise ValueError("must be an address and a port, or a port alone")
        return value.strip()

    @field_validator("log_format")
    @classmethod
    def _log_format(cls, value: str) -> str:
        if value not in ("text", "json"):
            raise ValueError("must be text or json")
        return value

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Where metrics are served, as host and first port; None: nowhere. A port alone is one of 127.0.0.1."""
        host, _, port = self.metrics.rpartition(":")
        return (host.strip("[]") or "127.0.0.1", int(port)) if port else None

    @property
    def proxies(self) -> list[str]:
        """The addresses and networks of trusted proxies."""
        return _listed(self.trusted_proxies)

    @property
    def webhooks(self) -> dict[str, str]:
        """The secrets of webhooks by the provider's name; "" for one that is not set up."""
        names = (name for name in type(self).model_fields if name.startswith(_WEBHOOK))
        return {name.removeprefix(_WEBHOOK): getattr(self, name).get_secret_value() for name in names}

    @property
    def dkim_folder(self) -> Path:
        """The folder of the private DKIM keys."""
        return self.project / self.dkim_keys

    @property
    def embedded(self) -> bool:
        """Whether the queue lives in this process."""
        return not self.redis

    @property
    def database_url(self) -> str:
        """The database's address, a relative SQLite path taken from the project folder."""
        head, separator, path = self.database.partition("sqlite:///")
        if separator and not head and path and not path.startswith(("/", ":")):
            return f"sqlite:///{(self.project / path).resolve()}"
        return self.database


def load_settings(project: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of the project folder. Raises SettingsError naming the variable, with an example."""
    seen = os.environ if environment is None else environment
    folder = project or Path(seen.get(PREFIX + "PROJECT", "."))
    variables = {**_dotenv(folder / ".env"), **{name: value for name, value in seen.items() if name.startswith(PREFIX)}}
    known = {PREFIX + name.upper(): name for name in Settings.model_fields if name != "relay"}
    relays = {name: value for name, value in variables.items() if name.startswith(RELAY)}
    unknown = sorted(variables.keys() - known.keys() - relays.keys())
    unknown = [name for name in unknown if not name.startswith(PREFIX + "TEST_")]
    if unknown:
        raise SettingsError(f"{unknown[0]} is not a setting.", nearest(unknown[0], known))
    values: dict[str, Any] = {known[name]: value for name, value in variables.items() if name in known}
    values["relay"] = {_relay_name(name): SecretStr(value) for name, value in relays.items()}
    try:
        return Settings(**{**values, "project": folder})
    except ValidationError as error:
        raise _errors(error) from None


def _relay_name(variable: str) -> str:
    """Return the name of the relay whose address a variable holds. Raises SettingsError."""
    name = variable.removeprefix(RELAY)
    if not _RELAY_NAME.fullmatch(name):
        remedy = f"Write A-Z, 0-9 and _, beginning with a letter: {RELAY}OWN for the relay 'own'."
        raise SettingsError(f"{variable} does not end with the name of a relay.", remedy)
    return name.lower()


def _dotenv(path: Path) -> dict[str, str]:
    try:
        # It may be a link: secrets are often kept elsewhere and linked to. What it leads to must be a small file.
        text = safe_files.read_bytes(path.resolve(), most=MAX_BYTES).decode()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.", "Make it a text file of settings.") from None
    variables = dotenv_values(stream=StringIO(text.removeprefix("\ufeff")))
    return {name: value for name, value in variables.items() if name.startswith(PREFIX) and value is not None}


def _errors(error: ValidationError) -> SettingsError:
    item = error.errors(include_input=False)[0]
    if relay := item.get("ctx", {}).get("relay"):
        return SettingsError(f"{RELAY}{str(relay).upper()}: {item['msg']}.", f"Example: {EXAMPLES['smtp']}")
    name = str(item["loc"][0]).lower()
    message = str(item["msg"]).removeprefix("Value error, ")
    example = EXAMPLES.get(name, f"{PREFIX}{name.upper()}={Settings.model_fields[name].default}")
    return SettingsError(f"{PREFIX}{name.upper()}: {message[:1].lower()}{message[1:]}.", f"Example: {example}")


def _listed(value: str) -> list[str]:
    return [item for item in map(str.strip, value.split(",")) if item]


def _check_smtp(value: SecretStr) -> SecretStr:
    """Return the address of an SMTP server. Raises ValueError without any of it in the message."""
    parts = _server(value.get_secret_value())
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("must be smtp://host:port or smtps://host:port")
    return value


def _server(value: str) -> SplitResult:
    """Take the address of a server apart. Raises ValueError where user name or password are not escaped."""
    user, separator, _ = value.partition("://")[2].rpartition("@")
    if separator and _UNESCAPED.search(user):
        raise ValueError(ESCAPES)
    return _split(value)


def _split(value: str) -> SplitResult:
    """Take an address apart. Raises ValueError without any of it in the message, for it may hold a password."""
    try:
        parts = urlsplit(value)
        assert parts.port is None or parts.port >= 0  # reading the port raises ValueError for one that is none
    except ValueError:
        raise ValueError(f"cannot be read as an address. {ESCAPES[:1].upper()}{ESCAPES[1:]}") from None
    return parts
