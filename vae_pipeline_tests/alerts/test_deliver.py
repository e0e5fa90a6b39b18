"""Every alert reaches every channel, in order and once, over real HTTP and SMTP, whatever dies meanwhile."""

import json
import logging
import os
import subprocess
import sys

import pytest
from aiosmtpd.controller import Controller
from pydantic import SecretStr

from infra.services.program import free_port
from vae_pipeline.alerts import deliver as delivering
from vae_pipeline.alerts.channels import open_channels
from vae_pipeline.alerts.deliver import LONGEST_PAUSE, MOST_AT_ONCE, deliver, pause, try_channels
from vae_pipeline.alerts.outbox import open_outbox
from vae_pipeline.errors import SettingError
from vae_pipeline.processes import locked
from vae_pipeline.settings import Settings
from vae_pipeline_tests.alerts.builders import Clock, Webhook, alert, settings


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def webhook():
    with Webhook().running() as running:
        yield running


def add(chosen, clock, *alerts):
    outbox = open_outbox(chosen)
    outbox.now = clock
    return outbox.add(alerts)


def story(count=3):
    """Alerts of several subjects, too few of a kind to be put together."""
    kinds = ("drift", "data", "promotion")
    return [alert(f"k{n}", kind=kinds[n % 3], subject=f"timeseries/{n % 2}", text=f"text {n}") for n in range(count)]


def bodies(webhook):
    return [message["message"].splitlines()[0] for message in webhook.got]


class TestOrder:
    def test_alerts_arrive_in_order_and_once(self, webhook, clock):
        chosen = settings(webhook.address)
        add(chosen, clock, *story(9))
        for _ in range(3):
            deliver(chosen, now=clock)
        assert bodies(webhook) == [f"text {n}" for n in range(9)]

    def test_a_channel_that_is_dead_at_first_is_told_all_of_it_once_it_lives(self, clock):
        webhook = Webhook()
        chosen = settings(webhook.address)
        add(chosen, clock, *story(6))
        for _ in range(5):
            assert deliver(chosen, now=clock).failed
            clock.time += LONGEST_PAUSE
        with webhook.running():
            deliver(chosen, now=clock)
            deliver(chosen, now=clock)
        assert bodies(webhook) == [f"text {n}" for n in range(6)]

    def test_a_channel_that_dies_half_way_goes_on_where_it_was(self, clock):
        webhook = Webhook(answer=lambda _: 200 if len(webhook.got) < 2 else 503)
        chosen = settings(webhook.address)
        add(chosen, clock, *story(6))
        with webhook.running():
            first = deliver(chosen, now=clock)
            assert len(first.delivered) == 2
            webhook.answer = lambda _: 200
            clock.time += LONGEST_PAUSE
            deliver(chosen, now=clock)
        assert bodies(webhook) == [f"text {n}" for n in range(6)]

    def test_a_message_that_is_never_taken_holds_up_its_own_subject_alone_and_is_given_up_in_the_end(self, clock):
        webhook = Webhook(answer=lambda message: 400 if "text 0" in message["message"] else 200)
        chosen = settings(webhook.address, alert_every=0)
        with webhook.running():
            add(chosen, clock, *story(4))
            deliver(chosen, now=clock)
            assert bodies(webhook) == ["text 1", "text 3"]
            for n in range(delivering._REFUSALS):
                add(chosen, clock, alert(f"more {n}", subject="vision/x"))
                clock.time += LONGEST_PAUSE
                deliver(chosen, now=clock)
        assert bodies(webhook)[-2:] == ["text 2", f"more {delivering._REFUSALS - 1}"]
        assert {tuple(kept.states.items()) for kept in open_outbox(chosen).last(99) if kept.alert.text == "text 0"} == {
            (("JSON", "refused"),)
        }


class TestDead:
    def test_one_dead_channel_holds_up_no_other(self, webhook, clock):
        chosen = settings(f"json://127.0.0.1:{free_port()}/", webhook.address)
        add(chosen, clock, *story())
        found = deliver(chosen, now=clock)
        assert bodies(webhook) == ["text 0", "text 1", "text 2"]
        assert dict(found.waiting) == {"JSON": 3, "JSON 2": 0}

    def test_pauses_grow_to_ten_minutes(self):
        assert [pause(n) for n in (0, 1, 2, 3, 7, 1000)] == [0, 15, 30, 60, 600, 600]

    def test_it_is_not_asked_before_its_pause_is_over(self, clock):
        webhook = Webhook(answer=lambda _: 500)
        chosen = settings(webhook.address)
        add(chosen, clock, alert())
        with webhook.running():
            assert deliver(chosen, now=clock).failed
            clock.time += pause(1) - 1
            assert not deliver(chosen, now=clock).failed
            clock.time += 1
            assert deliver(chosen, now=clock).failed

    @pytest.mark.parametrize("step", [-1.0, -1e8, 1e8])
    def test_a_clock_that_is_set_back_or_forth_ends_the_pause(self, clock, step):
        chosen = settings(f"json://127.0.0.1:{free_port()}/")
        add(chosen, clock, alert())
        assert deliver(chosen, now=clock).failed
        clock.time += step
        assert deliver(chosen, now=clock).failed

    def test_what_it_says_is_told(self, clock):
        with Webhook(answer=lambda _: 404).running() as webhook:
            chosen = settings(webhook.address)
            add(chosen, clock, alert())
            assert "error=404" in deliver(chosen, now=clock).told()


class TestLimits:
    def test_a_subject_sends_five_messages_and_the_rest_later_as_one(self, webhook, clock):
        chosen = settings(webhook.address)
        for n in range(12):
            add(chosen, clock, alert(f"k{n}"))
            deliver(chosen, now=clock)
        assert len(webhook.got) == MOST_AT_ONCE
        add(chosen, clock, alert("other", subject="vision/bottle"))
        deliver(chosen, now=clock)
        assert webhook.titles[-1] == "vision/bottle: drift"
        clock.time += chosen.alert_every * 60
        deliver(chosen, now=clock)
        assert webhook.titles[-1] == "7 alerts: drift"
        assert len(webhook.got) == MOST_AT_ONCE + 2

    def test_a_clock_that_is_set_back_does_not_make_a_subject_wait(self, webhook, clock):
        chosen = settings(webhook.address)
        for n in range(MOST_AT_ONCE):
            add(chosen, clock, alert(f"k{n}"))
            deliver(chosen, now=clock)
        clock.time -= 1e6
        add(chosen, clock, alert("later"))
        deliver(chosen, now=clock)
        assert len(webhook.got) == MOST_AT_ONCE + 1

    def test_no_message_is_begun_when_time_is_up(self, webhook, clock):
        chosen = settings(webhook.address)
        add(chosen, clock, alert())
        assert deliver(chosen, now=clock, seconds=-1.0).waiting == (("JSON", 1),)
        assert webhook.got == []


class TestEnds:
    def test_the_end_is_told_after_the_alarm(self, webhook, clock):
        chosen = settings(webhook.address)
        add(chosen, clock, alert(), alert(over=True, severity="info"))
        deliver(chosen, now=clock)
        assert webhook.titles == ["timeseries/FD001: drift", "timeseries/FD001: drift is over"]
        assert [message["type"] for message in webhook.got] == ["warning", "success"]

    def test_a_channel_for_what_is_critical_hears_of_the_end_of_what_it_was_told(self, webhook, clock):
        chosen = settings(f"critical={webhook.address}")
        critical = alert("hot", severity="critical", subject="a")
        mild = alert("mild", subject="b")
        ends = [each.model_copy(update={"over": True, "severity": "info"}) for each in (critical, mild)]
        add(chosen, clock, critical, mild, *ends)
        deliver(chosen, now=clock)
        assert webhook.titles == ["a: drift", "a: drift is over"]
        assert dict(deliver(chosen, now=clock).waiting) == {"JSON": 0}


class TestNewChannel:
    def test_is_told_what_nobody_was_told(self, webhook, clock):
        add(settings(), clock, *story(2))
        assert deliver(settings(), now=clock).told().startswith("no channel is set")
        deliver(settings(webhook.address), now=clock)
        assert bodies(webhook) == ["text 0", "text 1"]

    def test_is_not_told_what_others_were_told(self, webhook, clock):
        add(settings(), clock, *story(2))
        deliver(settings(webhook.address), now=clock)
        with Webhook().running() as other:
            both = settings(webhook.address, other.address)
            deliver(both, now=clock)
            add(both, clock, alert("new"))
            deliver(both, now=clock)
        assert bodies(other) == ["new"]
        assert bodies(webhook) == ["text 0", "text 1", "new"]


KILLED_WHILE_SENDING = """
import os, signal
from vae_pipeline.alerts.channels import Channel
from vae_pipeline.alerts.deliver import deliver
from vae_pipeline.settings import load_settings
send = Channel.send
def killed(*given, **more):
    assert send(*given, **more) is None
    os.kill(os.getpid(), signal.SIGKILL)
Channel.send = killed
deliver(load_settings())
"""


class TestProcesses:
    def run(self, code, webhook):
        environment = {**os.environ, "VAE_PIPELINE_ALERTS": webhook.address}
        return subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode

    def test_one_that_is_killed_between_sending_and_noting_sends_that_message_twice_and_no_other(self, webhook, clock):
        chosen = settings(webhook.address)
        add(chosen, clock, *story(3))
        assert self.run(KILLED_WHILE_SENDING, webhook) == -9
        assert bodies(webhook) == ["text 0"]
        deliver(chosen, now=clock)
        assert bodies(webhook) == ["text 0", "text 0", "text 1", "text 2"]

    def test_one_that_is_killed_before_sending_loses_nothing(self, webhook, clock):
        chosen = settings(webhook.address)
        add(chosen, clock, *story(2))
        assert self.run(KILLED_WHILE_SENDING.replace("    assert send(*given, **more) is None\n", ""), webhook) == -9
        deliver(chosen, now=clock)
        assert bodies(webhook) == ["text 0", "text 1"]

    def test_two_at_once_do_not_send_the_same(self, webhook, clock):
        chosen = settings(webhook.address)
        add(chosen, clock, alert())
        with locked(open_outbox(chosen).folder):
            found = deliver(chosen, now=clock)
        assert found.busy
        assert found.told() == "another process is delivering"
        assert webhook.got == []


class Mailbox:
    def __init__(self):
        self.got = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        self.got.append(envelope)
        return "250 OK"


def test_mail_arrives_at_a_real_mail_server(clock):
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        chosen = settings(
            f"mailto://127.0.0.1:{controller.port}?from=pipeline@plant.example&to=operator@plant.example&mode=insecure"
        )
        add(chosen, clock, alert(text="bearing <b>4</b> & 5"))
        found = deliver(chosen, now=clock)
    finally:
        controller.stop()
    assert len(found.delivered) == 1, found
    (mail,) = mailbox.got
    assert mail.rcpt_tos == ["operator@plant.example"]
    text = mail.content.decode()
    assert "Subject: timeseries/FD001: drift" in text
    assert "<b>4</b>" not in text.partition("text/html")[2]


class TestSecrets:
    TOKEN = "s3cr3t-t0ken-value"  # noqa: S105

    def test_no_address_stands_in_logs_errors_or_files(self, clock, caplog, home):
        with Webhook(answer=lambda _: 403).running() as webhook, caplog.at_level(logging.DEBUG):
            address = f"json://user:{self.TOKEN}@127.0.0.1:{webhook.port}/{self.TOKEN}?-key={self.TOKEN}"
            chosen = settings(address, f"nothing://{self.TOKEN}")
            add(chosen, clock, alert())
            found = deliver(chosen, now=clock)
            tried = try_channels(chosen)
        channels = open_channels(chosen)
        kept = b"".join(path.read_bytes() for path in (home / "alerts").iterdir())
        assert found.failed
        assert len(found.wrong) == 1
        for shown in (repr(chosen), repr(found), found.told(), repr(tried), repr(channels), caplog.text):
            assert self.TOKEN not in shown
        assert self.TOKEN.encode() not in kept

    def test_what_a_channel_says_is_shown_without_its_address(self):
        (channel,), _ = open_channels(settings(f"json://127.0.0.1/{self.TOKEN}/a%20b%20c"))
        assert channel._safe(f"no {self.TOKEN} and a%20b%20c and 'a b c' at 127.0.0.1") == (
            "no … and … and '…' at 127.0.0.1"
        )


class TestAddresses:
    def test_of_the_file_are_channels_too_and_comments_are_not(self, tmp_path, webhook):
        file = tmp_path / "channels"
        file.write_text(
            f"# the plant's webhook\n{webhook.address}\n\nwarning=json://127.0.0.1/other {webhook.address}\n"
        )
        chosen = Settings(alerts=SecretStr(webhook.address), alerts_file=file)
        found, wrong = open_channels(chosen)
        assert ([channel.label for channel in found], wrong) == (["JSON", "JSON 2"], [])
        assert [channel.least for channel in found] == ["info", "warning"]

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(SettingError, match=r"none: cannot be read .* check VAE_PIPELINE_ALERTS_FILE"):
            deliver(Settings(alerts_file=tmp_path / "none"))

    def test_one_that_is_none_holds_up_no_other(self, webhook, clock):
        chosen = settings("nothing at all", webhook.address)
        add(chosen, clock, alert())
        found = deliver(chosen, now=clock)
        assert len(webhook.got) == 1
        assert "address 1 of 4" in found.told()

    @pytest.mark.parametrize(
        ("address", "label"),
        [
            ("mailtos://user:password@example.com?to=a@example.com", "E-Mail"),
            (
                "twilio://AC735c307c62944b5a:e29dfbcebf390dee9@15551230001/15551230002",
                "Twilio",
            ),
            ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts", "Slack"),
            ("jsons://hooks.example.com/alerts", "JSON"),
        ],
    )
    def test_of_the_documentation_are_known(self, address, label):
        (channel,), wrong = open_channels(settings(address))
        assert (channel.label, wrong) == (label, [])


def test_a_test_alert_says_which_channels_work(webhook, clock):
    found, wrong = try_channels(settings(webhook.address, f"json://127.0.0.1:{free_port()}/"))
    assert [one.reason is None for one in found] == [True, False]
    assert json.loads(json.dumps(webhook.got))[0]["title"] == "vae-pipeline: test"
    assert wrong == []
