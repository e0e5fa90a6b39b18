"""What waits in the outbox goes to every channel: in order per subject, at least once, and once where nothing dies.

A process that is killed after a channel took a message and before that is noted sends it again. A channel that is dead
is asked again after pauses that grow; nothing else waits for it. One that works but does not take a certain message
holds up the subject of that message alone.
"""

import datetime as dt
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from vae_pipeline.alerts.alert import Alert
from vae_pipeline.alerts.channels import Channel, open_channels
from vae_pipeline.alerts.messages import Message, messages
from vae_pipeline.alerts.outbox import ChannelState, Kept, Outbox, open_outbox
from vae_pipeline.processes import locked
from vae_pipeline.settings import Settings
from vae_pipeline.storage import told

__all__ = ["LONGEST_PAUSE", "MOST_AT_ONCE", "Delivery", "Tried", "deliver", "pause", "try_channels"]

MOST_AT_ONCE = 5
"""Messages about a subject that a channel is sent within VAE_PIPELINE_ALERT_EVERY; what is more waits."""
LONGEST_PAUSE = 600.0
_FIRST_PAUSE = 15.0
_REFUSALS = 20
"""So often a channel that takes other messages is asked to take one; then it is given up, and said so."""
_PROBES = 2
"""Messages in a row that a channel does not take before it is held to be dead."""


class Delivery(NamedTuple):
    """What came of a delivery.

    Attributes:
        delivered: messages that were taken, as title and label of the channel.
        failed: attempts in vain, as label and reason.
        waiting: alerts that wait on, by label.
        wrong: sentences about addresses that are none.
        channels: how many there are.
        busy: whether another process is delivering; then nothing was done.
    """

    delivered: tuple[tuple[str, str], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    waiting: tuple[tuple[str, int], ...] = ()
    wrong: tuple[str, ...] = ()
    channels: int = 0
    busy: bool = False

    def told(self) -> str:
        """All of it in a few sentences."""
        if self.busy:
            return "another process is delivering"
        if not self.channels:
            nothing = "no channel is set: set VAE_PIPELINE_ALERTS; vae-pipeline alerts shows what there is"
            return "; ".join((*self.wrong, nothing))
        parts = [f"{label} took {title!r}" for title, label in self.delivered]
        parts += [f"{label} did not take a message: {reason}" for label, reason in self.failed]
        parts += [f"{count} wait for {label}" for label, count in self.waiting if count]
        return "; ".join((*parts, *self.wrong)) or "nothing waits"


class Tried(NamedTuple):
    """A test alert on a channel: why it was in vain, or None."""

    label: str
    reason: str | None


def deliver(settings: Settings, *, now: Callable[[], float] = time.time, seconds: float = 40.0) -> Delivery:
    """Send what waits, for about ``seconds`` at the most.

    Args:
        settings: name the channels.
        now: the clock, seconds since 1970.
        seconds: after which no further message is begun.

    Raises:
        SettingError: the file of addresses cannot be read.
        StorageError: the outbox cannot be read or written.
    """
    channels, wrong = open_channels(settings)
    if not channels:
        return Delivery(wrong=tuple(wrong))
    outbox = open_outbox(settings)
    outbox.now = now
    with told(outbox.folder):
        outbox.folder.mkdir(parents=True, exist_ok=True)
    with locked(outbox.folder, wait=False) as alone:
        if not alone:
            return Delivery(channels=len(channels), busy=True)
        states = outbox.meet({channel.id: channel.label for channel in channels})
        end = time.monotonic() + seconds
        passes = [
            _Pass(outbox, channel, states[channel.id], settings.alert_every * 60.0, end)
            for channel in sorted(channels, key=lambda channel: states[channel.id].failures)
        ]
        for each in passes:
            each.run()
        after = outbox.channels()
    return Delivery(
        delivered=tuple((title, each.channel.label) for each in passes for title in each.delivered),
        failed=tuple((each.channel.label, reason) for each in passes for reason in each.failed),
        waiting=tuple((channel.label, after[channel.id].waiting) for channel in channels),
        wrong=tuple(wrong),
        channels=len(channels),
    )


def try_channels(settings: Settings) -> tuple[list[Tried], list[str]]:
    """Send a test alert to every channel at once, past the outbox; gives what came of it and sentences as `Delivery`.

    Raises:
        SettingError: the file of addresses cannot be read.
    """
    channels, wrong = open_channels(settings)
    when = dt.datetime.now(dt.UTC)
    text = "This is a test: alerts of vae-pipeline arrive here."
    test = Alert(kind="test", severity="info", subject="vae-pipeline", text=text, time=when, key="test")
    (message,) = messages([Kept(0, test, 0.0, 0, 0, None, {})])
    found = [Tried(channel.label, channel.send(message.title, message.body, "info")) for channel in channels]
    return found, wrong


def pause(failures: int) -> float:
    """Seconds until the next attempt after so many in vain: 15, doubled each time, ten minutes at the most."""
    return 0.0 if failures < 1 else min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 30), LONGEST_PAUSE)


class _Pass:
    """One channel, gone through once."""

    def __init__(self, outbox: Outbox, channel: Channel, state: ChannelState, every: float, end: float) -> None:
        self.outbox, self.channel, self.state, self.every, self.end = outbox, channel, state, every, end
        self.delivered: list[str] = []
        self.failed: list[str] = []
        self._held: set[str] = set()  # subjects whose next message has to wait, and all after it
        self._refused: list[Message] = []

    def run(self) -> None:
        """Send what is due."""
        if self._rests(self.state.failures, self.state.tried):
            return
        self._refusals = self.outbox.refusals(self.channel.id)
        in_vain = 0
        needed = self._needed()
        self._held = {subject for subject in {kept.alert.subject for kept in needed} if not self._due(subject)}
        for message in messages([kept for kept in needed if kept.alert.subject not in self._held]):
            if time.monotonic() > self.end:
                break
            if not all(self._due(subject) for subject in message.subjects):
                self._held.update(message.subjects)
                continue
            reason = self.channel.send(message.title, message.body, message.severity, over=message.over)
            if reason is None:
                self.outbox.record(self.channel.id, message.alerts, "delivered", uuid.uuid4().hex)
                self.delivered.append(message.title)
                in_vain = 0
                continue
            self.outbox.record_failure(self.channel.id, reason)
            self.failed.append(reason)
            self._refused.append(message)
            self._held.update(message.subjects)
            in_vain += 1
            if in_vain == _PROBES:
                break
        self._conclude()

    def _rests(self, failures: int, tried: float) -> bool:
        """Whether a pause is not over; one that lies in the future, after the clock was set back, is."""
        return failures > 0 and 0 <= self.outbox.now() - tried < pause(failures)

    def _needed(self) -> list[Kept]:
        """What waits and is wanted; the rest is noted as skipped."""
        waiting = self.outbox.waiting(self.channel.id)
        wanted = {kept.id for kept in waiting if kept.ends is None and self.channel.wants(kept.alert.severity)}
        for kept in waiting:
            if kept.ends is not None and (kept.ends in wanted or self.outbox.was_delivered(self.channel.id, kept.ends)):
                wanted.add(kept.id)
        skipped = [kept.id for kept in waiting if kept.id not in wanted]
        if skipped:
            self.outbox.record(self.channel.id, skipped, "skipped")
        return [kept for kept in waiting if kept.id in wanted]

    def _due(self, subject: str) -> bool:
        if subject in self._held or self._rests(*self._refusals.get(subject, (0, 0.0))):
            return False
        return not self.every or self.outbox.sent(self.channel.id, subject, self.every) < MOST_AT_ONCE

    def _conclude(self) -> None:
        if not self.failed:
            return
        if not self.delivered:
            self.outbox.record_dead(self.channel.id)
            return
        for message in self._refused:
            known = max(self._refusals.get(subject, (0, 0.0))[0] for subject in message.subjects)
            if known + 1 >= _REFUSALS:
                self.outbox.record(self.channel.id, message.alerts, "refused")
            else:
                self.outbox.record_refusal(self.channel.id, message.subjects)
