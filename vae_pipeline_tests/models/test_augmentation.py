import pytest
import torch

from vae_pipeline.models.augmentation import WindowAugmentation

LENGTHS = (1, 2, 3, 7, 50)


@pytest.mark.parametrize("length", LENGTHS)
def test_strength_zero_leaves_windows_as_they_are(length):
    windows = torch.randn(4, 3, length)
    assert torch.equal(WindowAugmentation()(windows), windows)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("change", [{"noise": 0.5}, {"magnitude": 0.5}, {"time_warp": 0.9}])
def test_shape_and_finiteness_survive(length, change):
    windows = torch.randn(4, 3, length)
    changed = WindowAugmentation(**change)(windows)
    assert changed.shape == windows.shape
    assert torch.isfinite(changed).all()


def test_the_windows_handed_over_are_not_touched():
    windows = torch.randn(4, 3, 7)
    before = windows.clone()
    WindowAugmentation(0.5, 0.5, 0.5)(windows)
    assert torch.equal(windows, before)


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.99])
def test_warp_keeps_end_rows_in_place(strength):
    windows = torch.randn(64, 3, 30)
    warped = WindowAugmentation(time_warp=strength)(windows)
    torch.testing.assert_close(warped[:, :, 0], windows[:, :, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(warped[:, :, -1], windows[:, :, -1], rtol=0, atol=1e-4)
    assert not torch.equal(warped, windows)


def test_warp_never_turns_time_back():
    ramp = torch.arange(40.0).expand(128, 1, 40)
    warped = WindowAugmentation(time_warp=0.99)(ramp)
    assert (warped.diff(dim=2) >= -1e-4).all()
    assert warped.min() >= 0
    assert warped.max() <= 39


def test_magnitude_is_one_factor_a_channel():
    factors = WindowAugmentation(magnitude=0.3)(torch.ones(16, 4, 9))
    assert torch.equal(factors, factors[:, :, :1].expand_as(factors))
    assert len(factors[:, :, 0].unique()) == 64


def test_noise_has_the_stated_deviation():
    torch.manual_seed(0)
    noise = WindowAugmentation(noise=0.2)(torch.zeros(200, 5, 20))
    assert noise.std() == pytest.approx(0.2, rel=0.02)
