"""``vae-pipeline alerts`` and ``metrics``, as a person types them."""

import pytest

from infra.services.program import free_port
from vae_pipeline.alerts.outbox import open_outbox
from vae_pipeline.cli import main
from vae_pipeline.settings import load_settings
from vae_pipeline_tests.alerts.builders import Webhook, alert


@pytest.fixture
def command(monkeypatch, capsys):
    def run(*arguments, channels=""):
        monkeypatch.setenv("VAE_PIPELINE_ALERTS", channels)
        load_settings.cache_clear()
        status = main(["alerts", *arguments])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_what_was_told_is_listed_with_what_waits(command):
    assert command() == (0, "nothing was told yet\n")
    open_outbox(load_settings()).add([alert(text="drifts"), alert()])
    status, printed = command()
    assert status == 0
    for text in ("2026-03-01 12:00:00", "warning", "timeseries/FD001", "waits", "drifts (and 1 more times)"):
        assert text in printed


def test_delivered_is_shown_by_channel(command):
    open_outbox(load_settings()).add([alert()])
    with Webhook().running() as webhook:
        both = f"{webhook.address} json://127.0.0.1:{free_port()}/"
        status, printed = command("--deliver", channels=both)
        assert status == 1
        assert "JSON took 'timeseries/FD001: drift'" in printed
    _, printed = command(channels=both)
    assert "JSON delivered" in printed
    assert "JSON 2: took 0 messages, 1 alerts wait; 1 attempts in vain" in printed


def test_a_test_alert_says_of_each_channel_whether_it_works(command):
    with Webhook().running() as webhook:
        assert command("--test", channels=webhook.address) == (0, "JSON: took the test alert\n")
    status, printed = command("--test", channels=f"{webhook.address} nothing://here")
    assert status == 1
    assert "JSON: did not take the test alert: A Connection error" in printed
    assert "address 2 of 2" in printed


def test_without_channels_a_test_says_what_to_set(command):
    status, printed = command("--test")
    assert status == 1
    assert "set VAE_PIPELINE_ALERTS" in printed


def test_a_number_that_cannot_be_is_refused(command):
    assert command("--last", "0") == (1, "vae-pipeline: --last 0: at least 1\n")
