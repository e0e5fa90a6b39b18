"""A service says what the detector says, of every medium, whatever else is in the batch."""

import base64
import io
import json
import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vae_pipeline.calibration.thresholds.quantiles import conformal
from vae_pipeline.detector.detector import Judged
from vae_pipeline.errors import DetectorError
from vae_pipeline.features.clips import read_clip
from vae_pipeline.features.log_mel import log_mel
from vae_pipeline.features.pictures import resized
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.body import CSV, JSON, MULTIPART, NPY, PARQUET, Body
from vae_pipeline.serving.model_server import ModelServer
from vae_pipeline.serving.refused import Refused
from vae_pipeline.serving.settings import ServiceSettings
from vae_pipeline_tests.detector.examples import columns_of

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def judged_together(served, *bodies, asked=None):
    """Samples of several requests, and scores and latents of each when all of their chunks are scored in one call."""
    samples = [served.samples(body, asked or Asked()) for body in bodies]
    found = served.judged([chunk.payload for each in samples for chunk in each.chunks])
    sizes = [chunk.size for each in samples for chunk in each.chunks]
    assert [len(part.score) for part in found] == sizes
    parts = iter(found)
    return samples, [Judged.joined([next(parts) for _ in each.chunks]) for each in samples]


def as_json(**content):
    return Body(JSON, json.dumps(content).encode())


def as_npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return Body(NPY, stream.getvalue())


def png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def form(*files):
    return Body(MULTIPART, b"", files)


def some_windows(detector, count, seed=0):
    """Windows in raw units around what is normal."""
    description, scaler = detector.description, detector.scaler
    random = np.random.default_rng(seed)
    shape = (count, len(description.inputs), description.window)
    return scaler.mean[0][:, None] + scaler.sd[0][:, None] * random.normal(scale=2, size=shape)


def some_images(count, seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (random.integers(20, 60), 40, 3)).astype(np.uint8) for _ in range(count)]


def wavs(packed):
    return sorted((packed.raw / "files").rglob("*.wav"))


def pictures(packed):
    return sorted((packed.raw / "files").rglob("*.png"))


def test_windows_of_several_requests_score_as_the_detector_says(packed_table):
    windows = some_windows(packed_table.detector, 300)
    served = packed_table.served()
    bodies = as_json(windows=windows[:2].tolist()), as_npy(windows[2:299]), as_npy(windows[299:].astype(np.float32))
    samples, found = judged_together(served, *bodies)
    expected = packed_table.detector.score_windows(windows).score
    np.testing.assert_allclose(np.concatenate([part.score for part in found]), expected, **CLOSE)
    assert [len(each.chunks) for each in samples] == [1, 2, 1]
    assert [part.latent.shape for part in found] == [(2, 3), (297, 3), (1, 3)]
    np.testing.assert_allclose(samples[1].inputs, windows[2:299].mean(axis=2))


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_tables_of_several_requests_score_as_the_detector_says(packed_table, kind):
    file = packed_table.raw / "test.parquet"
    table = pq.read_table(file)
    columns = columns_of(file)
    names = [name for name in columns if name.startswith("sensor") or name in ("unit", "time")]
    text = io.StringIO()
    text.write(",".join(names) + "\n")
    text.writelines(",".join(f"{columns[name][row]}" for name in names) + "\n" for row in range(table.num_rows))
    body = {
        "csv": Body(CSV, text.getvalue().encode()),
        "parquet": Body(PARQUET, file.read_bytes()),
        "json": as_json(columns={name: columns[name].tolist() for name in names}),
    }[kind]
    windows = some_windows(packed_table.detector, 3)
    (samples, *_), (found, others) = judged_together(packed_table.served(), body, as_npy(windows))
    expected = packed_table.detector.score_table(columns)
    np.testing.assert_allclose(found.score, expected.score, **CLOSE)
    np.testing.assert_allclose(others.score, packed_table.detector.score_windows(windows).score, **CLOSE)
    assert [name["row"] for name in samples.names] == (expected.row + 1).tolist()
    assert [name["unit"] for name in samples.names] == columns["unit"][expected.row].tolist()


def test_clips_of_several_requests_score_as_the_detector_says(packed_sound):
    files = wavs(packed_sound)
    bodies = (
        Body("audio/wav", files[0].read_bytes()),
        form(*((f"f{n}", file.name, file.read_bytes()) for n, file in enumerate(files[1:5]))),
        Body("audio/x-wav", files[5].read_bytes()),
    )
    samples, found = judged_together(packed_sound.served(), *bodies)
    expected = packed_sound.detector.score_clips(files[:6]).score
    np.testing.assert_allclose(np.concatenate([part.score for part in found]), expected, **CLOSE)
    assert [name["name"] for each in samples for name in each.names] == [
        "clip",
        *(file.name for file in files[1:5]),
        "clip",
    ]
    sound = packed_sound.detector.sound
    for inputs, file in zip(np.concatenate([each.inputs for each in samples]), files, strict=False):
        np.testing.assert_allclose(inputs, log_mel(read_clip(file, sound), sound).mean(axis=0), rtol=1e-4)


def test_images_of_several_requests_score_as_the_detector_says(packed_image):
    files = pictures(packed_image)[:20]
    bodies = (
        Body("image/png", files[0].read_bytes()),
        form(*(("files", file.name, file.read_bytes()) for file in files[1:])),
    )
    samples, found = judged_together(packed_image.served(), *bodies)
    expected = [image.score for image in packed_image.detector.score_pictures(files)]
    np.testing.assert_allclose(np.concatenate([part.score for part in found]), expected, **CLOSE)
    size = packed_image.detector.description.size
    for inputs, file in zip(np.concatenate([each.inputs for each in samples]), files, strict=True):
        small = resized(np.asarray(Image.open(file).convert("RGB")), size)
        slow = [np.mean([[pixel[colour] for pixel in row] for row in small.tolist()]) for colour in range(3)]
        np.testing.assert_allclose(inputs, slow)


def test_images_as_an_array_score_as_the_detector_says(packed_image):
    images = np.stack([image[:20] for image in some_images(3)])
    (samples,), (found,) = judged_together(packed_image.served(), as_npy(images))
    np.testing.assert_allclose(found.score, packed_image.detector.score_arrays(images).score, **CLOSE)
    assert [name["name"] for name in samples.names] == ["image 1", "image 2", "image 3"]


def pairs_body(windows, images):
    return as_json(
        pairs=[
            {
                **({} if window is None else {"window": window.tolist()}),
                **({} if image is None else {"image": base64.b64encode(png(image)).decode()}),
            }
            for window, image in zip(windows, images, strict=True)
        ]
    )


@pytest.mark.parametrize("seed", range(3))
def test_pairs_of_several_requests_score_as_the_detector_says_whatever_is_missing(packed_pair, seed):
    windows, images = list(some_windows(packed_pair.detector.windows, 9, seed)), some_images(9, seed)
    missing = np.random.default_rng(seed).permutation(9)
    for place in missing[:3]:
        windows[place] = None
    for place in missing[3:6]:
        images[place] = None
    bodies = [pairs_body(windows[part], images[part]) for part in (slice(0, 1), slice(1, 6), slice(6, 9))]
    samples, found = judged_together(packed_pair.served(), *bodies)
    nothing = np.full_like(next(window for window in windows if window is not None), np.nan)
    given_windows = np.stack([nothing if window is None else window for window in windows])
    expected = packed_pair.detector.score_pairs(given_windows, images).score
    np.testing.assert_allclose(np.concatenate([part.score for part in found]), expected, **CLOSE)
    size = packed_pair.detector.images.description.size
    slow = [
        [*window.mean(axis=1), *(np.full(3, np.nan) if image is None else resized(image, size).mean(axis=(0, 1)))]
        for window, image in zip(given_windows, images, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate([each.inputs for each in samples]), slow)
    latent = np.concatenate([part.latent for part in found])
    np.testing.assert_array_equal(
        np.isnan(latent).any(axis=1), [a is None or b is None for a, b in zip(windows, images, strict=True)]
    )


def test_a_pair_as_a_form_is_the_same_as_in_json(packed_pair):
    (window,), (image,) = some_windows(packed_pair.detector.windows, 1), some_images(1)
    seen = ("window", "w.npy", as_npy(window).content)
    told = ("window", "", json.dumps(window.tolist()).encode())
    shown = ("image", "i.png", png(image))
    cases = [
        (form(seen, shown), pairs_body([window], [image])),
        (form(shown, told), pairs_body([window], [image])),
        (form(seen), pairs_body([window], [None])),
        (form(shown), pairs_body([None], [image])),
    ]
    for one, other in cases:
        _, found = judged_together(packed_pair.served(), one, other)
        np.testing.assert_allclose(found[0].score, found[1].score, **CLOSE)


@st.composite
def tables(draw):
    """Rows of a few units in any order, with gaps: unit, time and two sensors."""
    rows = draw(st.integers(20, 70))
    units = draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))
    times = draw(st.permutations(range(rows)))
    values = st.one_of(st.none(), st.floats(-1e6, 1e6, allow_nan=False))
    readings = draw(st.lists(st.lists(values, min_size=4, max_size=4), min_size=rows, max_size=rows))
    return units, times, readings


@settings(max_examples=40)
@given(tables())
def test_means_of_a_table_are_those_of_the_rows_of_each_window(packed_table, table):
    units, times, readings = table
    description = packed_table.detector.description
    columns = {"unit": [f"pump {unit}" for unit in units], "time": list(times)}
    columns |= {name: [row[place] for row in readings] for place, name in enumerate(description.inputs)}
    served, body = packed_table.served(max_rows=100), as_json(columns=columns)
    if max(units.count(unit) for unit in range(3)) < description.window:
        with pytest.raises(Refused, match="windows: there are none"):
            served.samples(body, Asked(gaps=True))
        return
    samples = served.samples(body, Asked(gaps=True))
    expected = []
    for unit in dict.fromkeys(units):
        mine = sorted((place for place in range(len(units)) if units[place] == unit), key=lambda place: times[place])
        for end in range(description.window, len(mine) + 1):
            known = [
                [v for p in mine[end - description.window : end] if (v := readings[p][s]) is not None] for s in range(4)
            ]
            means = [sum(values) / len(values) if values else np.nan for values in known]
            expected.append((mine[end - 1] + 1, f"pump {unit}", means))
    assert [(name["row"], name["unit"]) for name in samples.names] == [each[:2] for each in expected]
    np.testing.assert_allclose(samples.inputs, [each[2] for each in expected], rtol=1e-6, atol=1e-6)
    short = [f"pump {unit}" for unit in dict.fromkeys(units) if units.count(unit) < description.window]
    assert len(samples.notes) == bool(short)
    assert all(unit in samples.notes[0] for unit in short)


def test_one_broken_reading_does_not_spoil_the_means_of_others(packed_table):
    rows = np.random.default_rng(0).normal(5, 1, (60, 4))
    rows[3] = 1e20
    columns = {name: rows[:, place].tolist() for place, name in enumerate(packed_table.detector.description.inputs)}
    samples = packed_table.served().samples(as_json(columns=columns), Asked())
    slow = [rows[end - 20 : end].mean(axis=0) for end in range(20, 61)]
    np.testing.assert_allclose(samples.inputs, slow, rtol=1e-6)


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_whole_numbers_that_name_units_stay_whole(packed_table, kind):
    import pyarrow as pa

    rows = 20
    columns = {"unit": [7] * rows, "time": list(range(rows))}
    columns |= {name: [1.5] * rows for name in packed_table.detector.description.inputs}
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    body = {
        "csv": Body(CSV, "\n".join(lines).encode()),
        "parquet": Body(PARQUET, stream.getvalue()),
        "json": as_json(columns=columns),
    }[kind]
    samples = packed_table.served().samples(body, Asked())
    assert samples.names == [{"name": "7, row 20", "unit": "7", "row": 20}]


def test_the_threshold_is_the_models_own_unless_another_is_asked_for(packed):
    served = packed.served()
    own, normal = packed.detector.description.threshold, packed.detector.reference["scores"]
    assert served.threshold(None, None) == own
    stated = served.threshold(3.25, None)
    assert (stated.value, stated.method, stated.false_alarm_rate) == (3.25, "stated", None)
    assert stated.decide(np.array([3.25, 3.2500001])).tolist() == [False, True]
    for rate in (0.05, 0.1, 0.5):
        assert served.threshold(None, rate) == conformal(normal, rate)


def test_a_threshold_that_cannot_be_had_is_refused(packed_table):
    served = packed_table.served()
    with pytest.raises(Refused, match="not both") as both:
        served.threshold(1.0, 0.1)
    with pytest.raises(Refused, match="false_alarm_rate: ") as rare:
        served.threshold(None, 1.0)
    assert (both.value.status, both.value.field) == (422, "threshold")
    assert (rare.value.status, rare.value.field) == (422, "false_alarm_rate")


def test_windows_are_explained_as_the_detector_does(packed_table):
    windows = some_windows(packed_table.detector, 3)
    found = list(packed_table.served().explained(as_npy(windows), Asked(top=2)))
    assert found == packed_table.detector.explain_windows(windows)[:2]


@pytest.mark.parametrize("asked", [Asked(), Asked(top=3), Asked(row=40)])
def test_tables_are_explained_as_the_detector_does(packed_table, asked):
    file = packed_table.raw / "test.parquet"
    rows = None if asked.row is None else [asked.row - 1]
    found = list(packed_table.served().explained(Body(PARQUET, file.read_bytes()), asked))
    assert found == packed_table.detector.explain_table(columns_of(file), rows, top=asked.top)
    assert len(found) == asked.top
    assert asked.row in (None, found[0].row)


def test_rows_that_end_no_window_are_not_explained(packed_table):
    file = packed_table.raw / "test.parquet"
    for row in (1, 19, 10**6):
        with pytest.raises(DetectorError, match=f"row {row}: no window ends there"):
            list(packed_table.served().explained(Body(PARQUET, file.read_bytes()), Asked(row=row)))
    columns = {name: [1.0] * 19 for name in packed_table.detector.description.inputs}
    with pytest.raises(Refused, match="there are none"):
        list(packed_table.served().explained(as_json(columns=columns), Asked()))


def test_clips_are_explained_as_the_detector_does(packed_sound):
    named = [(file.name, file.read_bytes()) for file in wavs(packed_sound)[:3]]
    found = list(packed_sound.served().explained(form(*(("f", *each) for each in named)), Asked(top=2)))
    assert found == packed_sound.detector.explain_clips(named[:2])


def test_images_are_explained_as_the_detector_does(packed_image):
    named = [(file.name, file.read_bytes()) for file in pictures(packed_image)[:2]]
    found = list(packed_image.served().explained(form(*(("f", *each) for each in named)), Asked(top=2)))
    assert found == [each.explanation for each in packed_image.detector.explain_pictures(named)]


def test_pairs_are_explained_as_the_detector_does(packed_pair):
    windows, images = some_windows(packed_pair.detector.windows, 3), some_images(3)
    body = pairs_body([windows[0], None, windows[2]], [images[0], images[1], None])
    found = list(packed_pair.served().explained(body, Asked(top=3)))
    one = packed_pair.detector.explain_pairs
    assert found == [
        *one(windows[:1], images[:1], ["pair 1"]),
        *one(None, images[1:2], ["pair 2"]),
        *one(windows[2:], None, ["pair 3"]),
    ]
    for explanation in found:
        assert sum(part.share for part in explanation.modalities) == pytest.approx(1.0)


def black(side):
    stream = io.BytesIO()
    Image.new("1", (side, side)).save(stream, "PNG")
    return stream.getvalue()


def requests_of(pictures):
    """Bodies of the same pictures for a model of images and one of pairs."""
    yield "packed_image", form(*(("f", f"{place}.png", picture) for place, picture in enumerate(pictures)))
    yield "packed_pair", as_json(pairs=[{"image": base64.b64encode(picture).decode()} for picture in pictures])


@pytest.fixture
def no_decoding(monkeypatch):
    for name in ("served_images", "served_pairs"):
        monkeypatch.setattr(f"vae_pipeline.serving.{name}.decoded", pytest.fail, raising=False)


def test_pictures_that_are_too_many_pixels_together_are_refused_by_their_headers(request, no_decoding):
    for name, body in requests_of([black(90)] * 5):
        served = request.getfixturevalue(name).served(max_pixels=10_000)
        for read in (served.samples, lambda *given, served=served: list(served.explained(*given))):
            with pytest.raises(Refused, match="40,500 pixels together are more than the 40,000 allowed") as refusal:
                read(body, Asked(top=5))
            assert (refusal.value.status, refusal.value.field) == (413, "files" if body.files else "pairs")


def test_a_picture_counts_as_what_it_becomes(packed_image, no_decoding):
    size = packed_image.detector.description.size
    served = packed_image.served(max_pixels=size**2)
    with pytest.raises(Refused, match=f"{5 * size**2:,} pixels together"):
        served.samples(form(*(("f", "a.png", black(16)) for _ in range(5))), Asked())
    with pytest.raises(Refused, match=f"{5 * size**2:,} pixels together"):
        served.samples(as_npy(np.zeros((5, 16, 16, 3), np.uint8)), Asked())


def test_only_what_is_explained_is_decoded_and_counted(request):
    for name, body in requests_of([black(90), b"no picture", black(90)]):
        served = request.getfixturevalue(name).served(max_pixels=10_000)
        assert len(list(served.explained(body, Asked(top=1)))) == 1


def test_more_pairs_than_allowed_are_refused_before_any_is_read(packed_pair, no_decoding):
    served, body = packed_pair.served(max_samples=2), as_json(pairs=[{"image": "no base64!"}] * 3)
    for read in (served.samples, lambda *given: list(served.explained(*given))):
        with pytest.raises(Refused, match="pairs: 3 are more than the 2 allowed"):
            read(body, Asked())


def test_arrays_of_images_with_sides_too_short_are_refused(packed_image):
    with pytest.raises(Refused, match="sides of 16 pixels at least"):
        packed_image.served().samples(as_npy(np.zeros((2, 15, 40, 3), np.uint8)), Asked())


def test_one_picture_is_decoded_at_a_time(request):
    pictures = [black(1500)] * 6  # 6.75 MB each
    for name, body in requests_of(pictures):
        served = request.getfixturevalue(name).served()
        tracemalloc.start()
        served.samples(body, Asked())
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 20e6


def test_a_body_of_another_kind_is_refused(packed):
    for kind in ("", "text/plain", "application/octet-stream"):
        with pytest.raises(Refused, match=r"Content-Type: .* reads") as refusal:
            packed.served().samples(Body(kind, b"1"), Asked())
        assert refusal.value.status == 415


def test_a_server_carries_models_of_its_line_alone(packed_table, packed_image):
    for folders in ([packed_image.folder], [packed_table.folder, packed_image.folder]):
        with pytest.raises(DetectorError, match=r"vision-part.* is of the line vision"):
            ModelServer("timeseries", folders, ServiceSettings(log="off"))


def test_a_server_carries_one_model_of_a_dataset(packed_table):
    with pytest.raises(DetectorError, match="tiny"):
        ModelServer("timeseries", [packed_table.folder] * 2, ServiceSettings(log="off"))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(DetectorError, match=r"model\.json: is no packed model"):
        ModelServer("timeseries", [tmp_path], ServiceSettings(log="off"))
