"""Where alerts go: e-mail, SMS, Slack, webhooks and over a hundred more, all by Apprise.

Addresses hold passwords and tokens. They stand in no log, no error and no file of ours: a channel is known by a label
such as ``Slack`` and by a keyed hash of its address.
"""

import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from vae_pipeline.alerts.alert import SEVERITIES, Severity, level
from vae_pipeline.errors import SettingError
from vae_pipeline.settings import Settings
from vae_pipeline.storage import told, write_bytes

__all__ = ["Channel", "addresses", "open_channels"]

_TIMEOUT = 10.0
_LEAST = re.compile(rf"({'|'.join(SEVERITIES)})=(.+)", re.DOTALL)
_QUIET = {
    "apprise": logging.WARNING,
    "urllib3": logging.INFO,
    "requests_oauthlib": logging.INFO,
    "oauthlib": logging.INFO,
}
"""Loggers that name addresses below these levels."""


class Channel:
    """One address that alerts are sent to.

    Attributes:
        id: the same for the same address, and says nothing of it.
        label: its name for people, such as ``Slack``.
        least: alerts below this severity are not sent.
    """

    def __init__(self, service: Any, id_: str, label: str, least: Severity, secrets_: tuple[str, ...]) -> None:
        self.id, self.label = id_, label
        self.least: Severity = least
        self._service, self._secrets = service, secrets_

    def __repr__(self) -> str:
        return f"Channel({self.label!r})"

    def wants(self, severity: Severity) -> bool:
        """Whether alerts of this severity are sent."""
        return level(severity) >= level(self.least)

    def send(self, title: str, body: str, severity: Severity, *, over: bool = False) -> str | None:
        """Send a message, for ten seconds at the most; gives why it was in vain, or None when it was taken."""
        from apprise import Apprise, AppriseResultStatus, NotifyType

        types = dict(zip(SEVERITIES, (NotifyType.INFO, NotifyType.WARNING, NotifyType.FAILURE), strict=True))
        sender = Apprise(self._service)
        try:
            with _discreet():
                found = sender.notify(
                    body,
                    title,
                    notify_type=NotifyType.SUCCESS if over else types[severity],
                    body_format="text",
                    timeout=_TIMEOUT,
                )
        except Exception as error:  # what a plugin may raise is its own affair; the alert waits on
            return self._safe(type(error).__name__)
        if found:
            return None
        if found.status == AppriseResultStatus.TIMEOUT:
            return f"no answer within {_TIMEOUT:.0f} s"
        said = [entry.message for service in found for attempt in service for entry in attempt]
        return self._safe(said[-1]) if said else "the message was not taken"

    def _safe(self, text: str) -> str:
        """The text with every part of the address taken out."""
        for part in self._secrets:
            text = text.replace(part, "…")
        return " ".join(text.split())[:200]


def addresses(settings: Settings) -> list[str]:
    """The addresses that are set, those of the file last; lines that begin with # are left out.

    Raises:
        SettingError: the file cannot be read.
    """
    found = settings.alerts.get_secret_value().split() if settings.alerts else []
    if settings.alerts_file is not None:
        file = settings.alerts_file.expanduser()
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text"
            msg = f"{file}: cannot be read ({reason}); check VAE_PIPELINE_ALERTS_FILE"
            raise SettingError(msg) from error
        found += [address for line in lines if not line.lstrip().startswith("#") for address in line.split()]
    return list(dict.fromkeys(found))


def open_channels(settings: Settings) -> tuple[list[Channel], list[str]]:
    """The channels that are set, and a sentence for each address that is none.

    Raises:
        SettingError: the file of addresses cannot be read.
    """
    stated = addresses(settings)
    if not stated:
        return [], []
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(app_id="vae-pipeline", app_desc="vae-pipeline", storage_mode="memory", async_mode=False)
    key = _key(settings.home / "alerts")
    found: list[Channel] = []
    wrong: list[str] = []
    labels: Counter[str] = Counter()
    for number, item in enumerate(stated, start=1):
        match = _LEAST.fullmatch(item)
        least, address = cast("tuple[Severity, str]", match.groups()) if match else ("info", item)
        with _discreet():
            service = Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
        if service is None:
            wrong.append(
                f"address {number} of {len(stated)} in VAE_PIPELINE_ALERTS and VAE_PIPELINE_ALERTS_FILE is none that "
                "Apprise knows: see docs/alerts.md"
            )
            continue
        name = str(service.service_name)
        labels[name] += 1
        label = name if labels[name] == 1 else f"{name} {labels[name]}"
        id_ = hmac.new(key, item.encode(), hashlib.sha256).hexdigest()[:16]
        found.append(Channel(service, id_, label, least, _parts(address)))
    return found, wrong


def _parts(address: str) -> tuple[str, ...]:
    """What must not be shown of an address: all but its scheme, this machine's names, and numbers of a network."""
    rest = address.partition("://")[2]
    parts = {part for piece in re.split(r"[/:@?&=,#]", rest) for part in (piece, unquote(piece))}
    return tuple(sorted((part for part in parts if len(part) >= 3 and not _is_near(part)), key=len, reverse=True))


def _is_near(part: str) -> bool:
    if part == "localhost":
        return True
    try:
        return ipaddress.ip_address(part) is not None
    except ValueError:
        return False


def _key(folder: Path) -> bytes:
    """The key of this home's hashes, made when it is first needed."""
    file = folder / "key"
    if not file.exists():
        write_bytes(file, secrets.token_hex(16).encode())
        file.chmod(0o600)
    with told(file):
        return file.read_bytes()


@contextmanager
def _discreet() -> Iterator[None]:
    """Keep Apprise's messages from the logs of this process, and those of HTTP clients that name the address."""
    loggers = {logging.getLogger(name): least for name, least in _QUIET.items()}
    before = {logger: logger.level for logger in loggers}
    logging.getLogger("apprise").propagate = False  # what it says is part of its result
    for logger, least in loggers.items():
        logger.setLevel(max(logger.level, least))
    try:
        yield
    finally:
        for logger, level_ in before.items():
            logger.setLevel(level_)
