"""A detector of images scores files as it scores cached pixels, shows where, and never reads a test label."""

import json
import shutil

import numpy as np
import pytest

from vae_pipeline.calibration.maps import MAPS, MapScorer, NormalMaps, evidence
from vae_pipeline.detector import image_calibration
from vae_pipeline.detector.calibrate import calibrate
from vae_pipeline.detector.detector import Detector
from vae_pipeline.detector.image_calibration import MARGIN, calibrate_images, chosen_form
from vae_pipeline.detector.images import ImageDetector, full_size
from vae_pipeline.detector.report import FormFigure
from vae_pipeline.detector.session import IMAGE_BATCH
from vae_pipeline.errors import CalibrationError, DataError, DetectorError
from vae_pipeline.features.image_set import ImageSet
from vae_pipeline.features.pictures import decode_picture
from vae_pipeline.records import ImageCalibration
from vae_pipeline_tests.detector.image_examples import draw_image_network, made_images


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    return draw_image_network(tmp_path_factory.mktemp("headless") / "network", head=False)


def recalibrated(example, *, images=None, network=None, **calibration):
    dataset = example.dataset.model_copy(update={"calibration": ImageCalibration(**calibration)})
    return calibrate_images(dataset, "0a1b", images or example.images, network or example.network)


def arrays_of(detector):
    return {**detector.fitted_arrays(), **detector.reference}


def assert_alike(one, other):
    assert one.description == other.description
    for name, values in arrays_of(one).items():
        np.testing.assert_array_equal(values, arrays_of(other)[name], err_msg=name)


def test_files_get_the_scores_of_the_cached_pixels(image_example):
    detector, files = image_example.detector, image_example.files()
    cached = detector.score_images(image_example.images.pixels)
    scored = list(detector.score_pictures(files))
    assert [image.name for image in scored] == [str(file) for file in files]
    np.testing.assert_allclose([image.score for image in scored], cached.score, rtol=0, atol=1e-9)
    assert [image.alarm for image in scored] == cached.alarm.tolist()


def test_bytes_and_arrays_get_the_scores_of_their_files(image_example):
    detector, files = image_example.detector, image_example.files()[:3]
    by_file = [image.score for image in detector.score_pictures(files)]
    from_bytes = list(detector.score_pictures([(file.name, file.read_bytes()) for file in files]))
    assert [image.name for image in from_bytes] == [file.name for file in files]
    assert [image.score for image in from_bytes] == by_file
    arrays = np.stack([decode_picture(file, file.name, 10**6) for file in files])
    np.testing.assert_array_equal(detector.score_arrays(arrays).score, by_file)


def test_order_and_batches_do_not_matter(image_example):
    detector, pixels = image_example.detector, image_example.images.pixels
    assert len(pixels) > IMAGE_BATCH
    everyone = detector.score_images(pixels).score
    order = np.random.default_rng(0).permutation(len(pixels))
    np.testing.assert_allclose(detector.score_images(pixels, order).score, everyone[order], rtol=0, atol=1e-6)
    alone = [detector.score_images(pixels[[place]]).score[0] for place in range(3)]
    np.testing.assert_allclose(alone, everyone[:3], rtol=0, atol=1e-6)


def test_progress_is_told_of_every_image(image_example):
    told = []
    list(image_example.detector.score_pictures(image_example.files(), progress=told.append))
    assert sum(told) == len(image_example.images.names)
    assert len(told) == -(-sum(told) // IMAGE_BATCH)


def test_the_map_has_the_images_own_size(image_example):
    file = image_example.files()[0]
    [scored] = image_example.detector.score_pictures([file])
    assert scored.map.shape == decode_picture(file, "a", 10**6).shape[:2] == (40, 40)
    assert scored.map.dtype == np.float32
    batch, maps, _ = next(image_example.detector.observed(image_example.images.pixels, np.array([0])))
    np.testing.assert_allclose(scored.map, full_size(maps[0], (40, 40)), rtol=0, atol=1e-5)
    assert batch.images.shape == (1, 32, 32, 3)


def test_a_map_at_another_size_keeps_what_it_shows():
    small = np.zeros((8, 8), np.float32)
    small[6, 1] = 1.0
    large = full_size(small, (80, 40))
    row, column = np.unravel_index(np.argmax(large), large.shape)
    assert 60 <= row < 70
    assert 5 <= column < 10
    np.testing.assert_array_equal(full_size(np.full((8, 8), 3.0, np.float32), (5, 17)), np.full((5, 17), 3.0))


def test_nothing_to_score_gives_nothing(image_example):
    detector = image_example.detector
    empty = np.empty((0, 50, 50, 3), np.uint8)
    assert len(detector.score_arrays(empty).score) == 0
    assert list(detector.score_pictures([])) == []


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 32, 32, 3)), np.zeros((2, 32, 32), np.uint8), np.zeros((2, 32, 32, 4), np.uint8)],
    ids=["floats", "grey", "four channels"],
)
def test_arrays_of_another_form_are_refused(image_example, images):
    with pytest.raises(DetectorError, match=r"vision-part reads uint8 \(n, height, width, 3\)"):
        image_example.detector.score_arrays(images)


def test_a_file_that_is_no_image_is_named(image_example):
    with pytest.raises(DataError, match=r"note\.png"):
        list(image_example.detector.score_pictures([("note.png", b"no picture")]))


def test_a_saved_detector_scores_the_same(image_example, tmp_path):
    image_example.detector.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "decoder.onnx", "detector.json", "arrays.npz"}
    again = Detector.load(tmp_path)
    assert isinstance(again, ImageDetector)
    assert_alike(again, image_example.detector)
    pixels = image_example.images.pixels
    np.testing.assert_array_equal(again.score_images(pixels).score, image_example.detector.score_images(pixels).score)


@pytest.mark.parametrize("name", ["model.onnx", "arrays.npz", "detector.json"])
@pytest.mark.parametrize("harm", ["missing", "torn", "empty"])
def test_a_spoilt_file_is_named(image_example, tmp_path, name, harm):
    image_example.detector.save(tmp_path)
    file = tmp_path / name
    content = file.read_bytes()
    file.unlink()
    if harm != "missing":
        file.write_bytes(content[: len(content) // 2] if harm == "torn" else b"")
    with pytest.raises(DetectorError, match=name):
        Detector.load(tmp_path).score_images(image_example.images.pixels)


def test_calibrate_gives_the_class_of_the_medium(image_example):
    detector, report = calibrate(image_example.dataset, "0a1b", image_example.images.folder, image_example.network)
    assert_alike(detector, image_example.detector)
    assert report == image_example.report


def test_normal_calibration_images_score_around_0_with_deviation_1(image_example):
    scores = image_example.detector.reference["scores"]
    assert len(scores) == len(image_example.images.index("calibrate"))
    assert scores.mean() == pytest.approx(0.0, abs=1e-6)
    assert image_example.report.normal_samples == len(scores)


def test_test_labels_and_test_pictures_are_never_read(image_example, tmp_path):
    shutil.copytree(image_example.images.folder, tmp_path / "features")
    shutil.rmtree(tmp_path / "features/masks")
    about = json.loads((tmp_path / "features/images.json").read_text())
    pixels = np.load(tmp_path / "features/images.npy")
    for place in image_example.images.index("test"):
        entry = about["images"][place]
        entry["label"], entry["defect"], entry["mask"] = 1 - entry["label"], "unheard of", None
        pixels[place] = 255
    (tmp_path / "features/images.json").write_text(json.dumps(about))
    np.save(tmp_path / "features/images.npy", pixels)
    detector, report = calibrate_images(
        image_example.dataset, "0a1b", ImageSet.open(tmp_path / "features"), image_example.network
    )
    assert_alike(detector, image_example.detector)
    assert report == image_example.report


def test_fit_images_are_not_calibrated_on(image_example, tmp_path):
    shutil.copytree(image_example.images.folder, tmp_path / "features")
    pixels = np.load(tmp_path / "features/images.npy")
    pixels[image_example.images.index("fit")] = 0
    np.save(tmp_path / "features/images.npy", pixels)
    detector, _ = recalibrated(image_example, images=ImageSet.open(tmp_path / "features"))
    assert_alike(detector, recalibrated(image_example)[0])


def without(images, part, keep):
    """The set with but ``keep`` images in a part."""
    parts = images.part.copy()
    parts[images.index(part)[keep:]] = "test"
    fields = {name: getattr(images, name) for name in ImageSet.__dataclass_fields__}
    return ImageSet(**{**fields, "part": parts})


def test_four_normal_images_will_do_and_three_are_refused(image_example):
    detector, _ = recalibrated(image_example, images=without(image_example.images, "calibrate", 4))
    assert np.isfinite(detector.score_images(image_example.images.pixels).score).all()
    with pytest.raises(CalibrationError, match=r"part: 3 normal calibration images, 4 are needed; raise split\.cal"):
        recalibrated(image_example, images=without(image_example.images, "calibrate", 3))


@pytest.mark.parametrize("most", [2, 3, 4, 5])
def test_any_number_of_images_can_be_compared_whatever_is_left_out(image_example, monkeypatch, most):
    monkeypatch.setattr(image_calibration, "COMPARED", most)
    for keep in (4, 5, 7):
        detector, report = recalibrated(image_example, images=without(image_example.images, "calibrate", keep))
        assert np.isfinite(detector.scorer.unit).all()
        assert all(np.isfinite(form.both) for form in report.forms)


def test_what_is_stated_is_not_chosen(image_example):
    detector, report = recalibrated(
        image_example, score=("residual",), placement="image", threshold="percentile", top=0.1, smoothing=0.0
    )
    description = detector.description
    assert description.form == ("residual",)
    assert description.placements == ("image",) * 3
    assert (description.top, description.smoothing) == (0.1, 0.0)
    assert description.threshold.method == "percentile"
    alone = [(name,) for name in MAPS]
    assert [form.form for form in report.forms] == [*alone, *image_calibration.FORMS]
    assert all(set(form.placement.split(", ")) == {"image"} for form in report.forms)


def test_without_a_head_the_score_does_without_it(image_example, headless):
    detector, report = recalibrated(image_example, network=headless)
    assert "head" not in detector.description.form
    assert all("head" not in form.form for form in report.forms)
    assert np.isfinite(detector.score_images(image_example.images.pixels).score).all()
    with pytest.raises(CalibrationError, match=r"the network has no head; leave it out, or train with training\.head"):
        recalibrated(image_example, network=headless, score=("residual", "head"))


def test_placements_are_the_better_of_two_for_each_map(image_example):
    report, placements = image_example.report, image_example.detector.description.placements
    for name, placement in zip(MAPS, placements, strict=True):
        figures = {form.placement: form.both for form in report.forms[:6] if form.form == (name,)}
        assert set(figures) == {"pixel", "image"}
        assert figures[placement] == max(figures.values())


def test_each_image_is_judged_by_the_statistics_of_the_half_it_is_not_in(image_example):
    pixels, normal = image_example.images.pixels, image_example.images.index("calibrate")
    session, stated = image_example.detector.session, ImageCalibration()
    halves = image_calibration._halves(session, pixels, normal, stated)
    found = np.concatenate([evidence(batch, stated.smoothing) for batch in session.image_batches(pixels, normal)])
    by_hand = [MapScorer(NormalMaps.fit([found[number::2]]), stated.smoothing, stated.top) for number in (0, 1)]
    expected = np.concatenate(
        [
            by_hand[(place + 1) % 2].parts(by_hand[(place + 1) % 2].scaled(found[[place]]))
            for place in range(len(normal))
        ]
    )
    parts, _, _ = image_calibration._crossed(session, pixels, normal, halves, MAPS)
    np.testing.assert_allclose(parts, expected, rtol=0, atol=1e-3)
    blank = np.zeros(found[:, 0].shape, dtype=bool)
    compared = image_calibration._Compared(found, np.arange(len(normal)) % 2, blank)
    np.testing.assert_allclose(image_calibration._judged(halves, compared)[0], expected, rtol=0, atol=1e-3)
    own = [by_hand[place % 2].parts(by_hand[place % 2].scaled(found[[place]])) for place in range(len(normal))]
    assert np.abs(np.concatenate(own) - expected).max() > 0.01


def figure(form, both):
    return FormFigure(form=form, roc_auc=both, pr_auc=0.5, pixel_roc_auc=both)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({("residual",): 0.9, MAPS: 0.9}, MAPS),
        ({("residual",): 0.9 + 0.9 * MARGIN, MAPS: 0.9}, MAPS),
        ({("residual",): 0.9 + 1.1 * MARGIN, MAPS: 0.9}, ("residual",)),
        ({("residual",): 0.95, ("head",): 0.99, MAPS: 0.9}, ("head",)),
        ({("residual",): 0.5, ("structure",): 0.6, ("residual", "structure"): 0.59}, ("residual", "structure")),
    ],
    ids=["equal", "hardly better", "clearly better", "the best", "without a head"],
)
def test_all_maps_count_unless_another_form_is_clearly_better(figures, expected):
    assert chosen_form(tuple(figure(form, both) for form, both in figures.items())) == expected


def test_finding_the_image_alone_is_half_of_finding():
    image_alone = FormFigure(form=("head",), roc_auc=1.0, pr_auc=1.0, pixel_roc_auc=0.5)
    both = FormFigure(form=MAPS, roc_auc=0.85, pr_auc=0.8, pixel_roc_auc=0.85)
    assert chosen_form((image_alone, both)) == MAPS


def test_the_same_pictures_elsewhere_give_the_same_detector(image_example, tmp_path):
    again = made_images(tmp_path, image_example.network)
    assert_alike(again.detector, image_example.detector)


@pytest.fixture(scope="module")
def turned_example(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turned")
    return made_images(folder, turned=True, imaging={"size": 32, "pose": "free"})


def test_files_of_turned_objects_get_the_scores_of_the_straightened_pixels(turned_example, tmp_path):
    turned_example.detector.save(tmp_path / "detector")
    for detector in (turned_example.detector, Detector.load(tmp_path / "detector")):
        cached = detector.score_images(turned_example.images.pixels)
        scored = list(detector.score_pictures(turned_example.files()))
        np.testing.assert_allclose([image.score for image in scored], cached.score, rtol=0, atol=1e-9)


def test_the_map_of_a_turned_object_lies_on_the_picture_as_it_came(turned_example):
    detector, images = turned_example.detector, turned_example.images
    [(_, maps, _)] = list(detector.observed(images.pixels, np.arange(1)))
    [scored] = detector.score_pictures(turned_example.files()[:1])
    np.testing.assert_allclose(scored.map, full_size(images.lying(0, maps[0]), scored.map.shape), atol=1e-4)
    assert not np.allclose(scored.map, full_size(maps[0], scored.map.shape), atol=1e-2)


def test_scores_without_maps_are_those_with_maps(image_example, monkeypatch):
    detector, pixels = image_example.detector, image_example.images.pixels
    with_maps = np.concatenate([scores for _, _, scores in detector.observed(pixels, np.arange(9))])
    monkeypatch.setattr(MapScorer, "map", None)
    np.testing.assert_array_equal(detector.judged(pixels, np.arange(9)).score, with_maps)
