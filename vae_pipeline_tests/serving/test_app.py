"""The services over HTTP: what they answer, and what they refuse in one sentence that names the field."""

import base64
import io
import json
import struct
import threading
import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from fastapi.openapi.utils import get_openapi
from PIL import Image
from starlette.testclient import TestClient

from vae_pipeline.calibration.thresholds.quantiles import conformal
from vae_pipeline.errors import SettingError
from vae_pipeline.serving.answers import ExplainAnswer
from vae_pipeline.serving.app import line_app
from vae_pipeline.serving.bento import TokenRequired
from vae_pipeline.serving.settings import load_service_settings
from vae_pipeline_tests.builders.recordings import write_clip
from vae_pipeline_tests.serving.packed import service

JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}
NPY = {"content-type": "application/x-npy"}
PNG = {"content-type": "image/png"}
WAV = {"content-type": "audio/wav"}
FORM = {"content-type": "multipart/form-data; boundary=cut"}
LIMITS = {"max_body": 400_000, "max_rows": 500, "max_samples": 300, "max_files": 3, "max_pixels": 10_000}


@pytest.fixture(scope="module")
def timeseries(packed_table, packed_sound):
    with service("timeseries", packed_table, packed_sound, **LIMITS) as client:
        yield client


@pytest.fixture(scope="module")
def vision(packed_image):
    with service("vision", packed_image, **LIMITS) as client:
        yield client


@pytest.fixture(scope="module")
def multimodal(packed_pair):
    with service("multimodal", packed_pair, **LIMITS) as client:
        yield client


@pytest.fixture(params=["timeseries", "vision", "multimodal"])
def client(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def windows(packed_table):
    scaler = packed_table.detector.scaler
    return scaler.mean[0][:, None] + scaler.sd[0][:, None] * np.random.default_rng(0).normal(size=(3, 4, 20))


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def png(width=40, height=30):
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def bomb():
    """A small PNG that says it has 20,000 x 20,000 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def refused(response, status, match, field=...):
    """The error that a response tells, in the one form that all have."""
    assert response.status_code == status, response.text
    content = response.json()
    assert set(content) == {"error", "field"}
    assert match in content["error"]
    assert len(content["error"]) < 1000
    assert "Traceback" not in response.text
    if field is not ...:
        assert content["field"] == field
    return content


def as_csv(columns):
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    return "\n".join(lines).encode()


def table(rows=30, **changed):
    columns = {"unit": ["pump"] * rows, "time": list(range(rows))}
    columns |= {f"sensor_{number}": [1.0 + number] * rows for number in range(1, 5)}
    return columns | changed


# every endpoint of every line


def test_the_example_is_answered_with_the_scores_it_states(client):
    for served in client.get("/models").json()["models"]:
        example = client.get("/example", params={"model": served["name"]})
        assert example.status_code == 200
        assert example.headers["content-type"].startswith(served["example"]["content_type"])
        stated = [float(score) for score in example.headers["expected-scores"].split(",")]
        assert stated == served["example"]["scores"]
        answer = client.post(
            "/predict",
            params={"model": served["dataset"]},
            content=example.content,
            headers={"content-type": served["example"]["content_type"]},
        )
        assert answer.status_code == 200
        content = answer.json()
        np.testing.assert_allclose([each["score"] for each in content["results"]], stated, rtol=1e-6, atol=1e-6)
        assert [each["alarm"] for each in content["results"]] == [score > content["threshold"] for score in stated]
        assert (content["model"], content["version"], content["data_version"]) == (served["name"], 3, "0a1b")
        explained = client.post(
            "/explain",
            params={"model": served["dataset"]},
            content=example.content,
            headers={"content-type": served["example"]["content_type"]},
        )
        assert explained.status_code == 200
        (explanation,) = ExplainAnswer.model_validate_json(explained.content).explanations
        assert explanation.score == pytest.approx(max(stated), rel=1e-6, abs=1e-6)


def test_every_request_has_a_name_of_its_own(timeseries, windows):
    bodies = [timeseries.post("/predict?model=tiny", json={"windows": windows.tolist()}).json() for _ in range(3)]
    assert len({body.pop("request") for body in bodies}) == 3
    assert bodies[0] == bodies[1] == bodies[2]


def test_models_are_told_as_they_were_packed(timeseries, packed_table, packed_sound):
    told = timeseries.get("/models").json()["models"]
    assert told == [json.loads(each.model.model_dump_json()) for each in (packed_table, packed_sound)]


def test_a_model_is_found_by_dataset_and_by_registered_name(timeseries, windows):
    for name in ("tiny", "timeseries-tiny"):
        answer = timeseries.post("/predict", params={"model": name}, json={"windows": windows.tolist()})
        assert answer.json()["model"] == "timeseries-tiny"


def test_the_only_model_needs_no_name(vision):
    assert vision.post("/predict", content=png(), headers=PNG).json()["model"] == "vision-part"


def test_the_decision_follows_the_threshold_that_is_asked_for(timeseries, windows, packed_table):
    scores = packed_table.detector.score_windows(windows).score
    middle = float(np.sort(scores)[1])
    rated = conformal(packed_table.detector.reference["scores"], 0.2)
    for asked, value, method in (
        ({}, packed_table.detector.description.threshold.value, "best_f1"),
        ({"threshold": middle}, middle, "stated"),
        ({"threshold": -1e9}, -1e9, "stated"),
        ({"false_alarm_rate": 0.2}, rated.value, "conformal"),
    ):
        answer = timeseries.post(
            "/predict", params={"model": "tiny", **asked}, content=npy(windows), headers=NPY
        ).json()
        assert (answer["threshold"], answer["method"]) == (pytest.approx(value), method)
        assert [each["alarm"] for each in answer["results"]] == (scores > value).tolist()


def test_units_without_a_window_are_noted(timeseries):
    columns = table(40, unit=["long"] * 30 + ["short"] * 10)
    answer = timeseries.post("/predict?model=tiny", content=as_csv(columns), headers=CSV).json()
    assert {each["unit"] for each in answer["results"]} == {"long"}
    assert [each["row"] for each in answer["results"]] == list(range(20, 31))
    assert answer["notes"] == ["1 units have fewer than 20 rows and no score: short"]


def test_gaps_are_filled_where_that_is_asked_for(timeseries, packed_table):
    columns = table(sensor_2=[1.0] * 25 + [""] * 5)
    refused(timeseries.post("/predict?model=tiny", content=as_csv(columns), headers=CSV), 422, "row 26: is missing")
    answer = timeseries.post("/predict?model=tiny&gaps=true", content=as_csv(columns), headers=CSV)
    known = {name: np.array(values) for name, values in table(sensor_2=[1.0] * 30).items()}
    expected = packed_table.detector.score_table(known).score
    np.testing.assert_allclose([each["score"] for each in answer.json()["results"]], expected, rtol=1e-6, atol=1e-6)


def test_a_column_of_nothing_but_gaps_can_be_filled_too(timeseries):
    columns = table(sensor_2=[""] * 30)
    text = refused(
        timeseries.post("/predict?model=tiny", content=as_csv(columns), headers=CSV), 422, "'sensor_2', row 1"
    )
    assert text["field"] == "column 'sensor_2'"
    csv = timeseries.post("/predict?model=tiny&gaps=true", content=as_csv(columns), headers=CSV).json()
    columns = {"columns": table(sensor_2=[None] * 30)}
    told = timeseries.post("/predict?model=tiny&gaps=true", json=columns).json()
    assert csv["results"] == told["results"]
    assert len(csv["results"]) == 11


def test_drift_tells_what_was_asked_since_the_start(packed_table, windows):
    with service("timeseries", packed_table) as client:
        fresh = client.get("/drift").json()
        assert (fresh["samples"], fresh["needed"], fresh["statistic"]) == (0, 50, None)
        many = np.concatenate([windows] * 20)
        client.post("/predict", content=npy(many), headers=NPY)
        told = client.get("/drift").json()
    scores = packed_table.detector.score_windows(many).score
    assert told["samples"] == 60
    assert told["score_mean"] == pytest.approx(scores.mean())
    assert told["alarms"] == (scores > packed_table.detector.description.threshold.value).mean()
    assert 0 <= told["p_value"] <= 1
    assert told["latent_shift"] >= 0


def test_drift_and_the_log_know_every_answer(packed_pair, home):
    with service("multimodal", packed_pair, log="on", log_every=3600) as client:
        answer = client.post("/predict?threshold=2", content=packed_pair.example, headers=JSON).json()
        client.app.state.server.close()
    (file,) = home.rglob("*.parquet")
    assert "predictions/multimodal/tiny+part" in file.as_posix()
    (row,) = pq.ParquetFile(file).read().to_pylist()
    assert row["request"] == answer["request"]
    assert row["score"] == answer["results"][0]["score"]
    assert (row["threshold"], row["alarm"]) == (2.0, answer["results"][0]["alarm"])
    assert (row["name"], row["version"]) == ("pair 1", 3)
    assert len(row["inputs"]) == 4 + 3
    assert len(row["latent"]) == 6


# what is refused


def test_a_content_type_the_model_does_not_read_is_refused(client):
    for served in client.get("/models").json()["models"]:
        for path in ("/predict", "/explain"):
            for kind in ("text/plain", "application/xml", ""):
                address = f"{path}?model={served['dataset'].replace('+', '%2B')}"
                answer = client.post(address, content=b"1", headers={"content-type": kind})
                refused(answer, 415, f"{served['name']} reads", "Content-Type")


def test_the_content_type_may_be_written_in_any_way(timeseries):
    for kind in ("TEXT/CSV", "text/csv; charset=utf-8", " text/csv;header=present"):
        answer = timeseries.post("/predict?model=tiny", content=as_csv(table()), headers={"content-type": kind})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("post", "/predict"), ("post", "/explain"), ("get", "/drift"), ("get", "/example")]
)
def test_the_model_has_to_be_there_and_to_be_named_among_several(timeseries, method, path):
    ask = getattr(timeseries, method)
    refused(
        ask(path, params={"model": "tigers"}),
        404,
        "there is no 'tigers' here; this service carries fans, tiny",
        "model",
    )
    refused(ask(path), 422, "this service carries fans, tiny; say which with ?model=", "model")
    refused(ask(path, params={"model": "x" * 201}), 422, "model: ", "model")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("threshold=high", "threshold"),
        ("threshold=nan", "threshold"),
        ("threshold=inf", "threshold"),
        ("false_alarm_rate=0", "false_alarm_rate"),
        ("false_alarm_rate=1", "false_alarm_rate"),
        ("false_alarm_rate=nan", "false_alarm_rate"),
        ("threshold=1&false_alarm_rate=0.1", "threshold"),
        ("gaps=perhaps", "gaps"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(timeseries, windows, query, field):
    answer = timeseries.post(f"/predict?model=tiny&{query}", json={"windows": windows.tolist()})
    refused(answer, 422, f"{field}: ", field)


@pytest.mark.parametrize("query", ["row=0", "row=-1", "row=a", "row=99999999999", "top=0", "top=101"])
def test_a_parameter_of_explanations_that_cannot_be_used_is_named(timeseries, query):
    field = query.partition("=")[0]
    answer = timeseries.post(f"/explain?model=tiny&{query}", content=as_csv(table()), headers=CSV)
    refused(answer, 422, f"{field}: ", field)


def test_an_empty_body_is_refused(client):
    for served in client.get("/models").json()["models"]:
        for path in ("/predict", "/explain"):
            answer = client.post(path, params={"model": served["dataset"]}, content=b"")
            refused(answer, 422, "body: is empty", "body")


@pytest.mark.parametrize("path", ["/predict", "/explain"])
@pytest.mark.parametrize(("number", "shown"), [(np.nan, "NaN"), (np.inf, "Infinity"), (-np.inf, "-Infinity")])
def test_numbers_that_are_none_are_named(timeseries, windows, path, number, shown):
    broken = windows.copy()
    broken[1, 2, 7] = number
    content = json.dumps({"windows": broken.tolist()})
    assert shown in content
    post = timeseries.post
    refused(post(f"{path}?model=tiny", content=content, headers=JSON), 422, "windows.1.2.7: ", "windows.1.2.7")
    refused(post(f"{path}?model=tiny", content=npy(broken), headers=NPY), 422, "windows.1.2.7: ", "windows.1.2.7")
    column = [1.0] * 25 + [float(number)] + [1.0] * 4
    field = "column 'sensor_3'"
    answer = post(f"{path}?model=tiny", content=as_csv(table(sensor_3=column)), headers=CSV)
    refused(answer, 422, f"{field}, row 26: is {'missing' if np.isnan(number) else 'infinite'}", field)
    answer = post(f"{path}?model=tiny", content=json.dumps({"columns": table(sensor_3=column)}), headers=JSON)
    assert refused(answer, 422, "columns.sensor_3")["field"].startswith("columns.sensor_3")


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity"])
def test_numbers_that_are_none_are_found_in_texts_too(timeseries, text):
    """As JSON or Parquet may hold numbers as texts."""
    column = ["1.5"] * 25 + [text] + ["1.5"] * 4
    answer = timeseries.post("/predict?model=tiny", json={"columns": table(sensor_3=column)})
    refused(answer, 422, "column 'sensor_3', row 26: is ", "column 'sensor_3'")
    fine = timeseries.post("/predict?model=tiny", json={"columns": table(sensor_3=["1.5"] * 30)})
    assert (
        fine.json()["results"]
        == timeseries.post("/predict?model=tiny", json={"columns": table(sensor_3=[1.5] * 30)}).json()["results"]
    )


def test_readings_however_large_have_a_score(timeseries, windows):
    huge = windows.copy()
    huge[0, 0, 0], huge[1, 3, 19] = 1e308, -1e308
    answer = timeseries.post("/predict?model=tiny", content=npy(huge), headers=NPY)
    assert answer.status_code == 200
    assert np.isfinite([each["score"] for each in answer.json()["results"]]).all()
    column = [1e308] * 30
    assert (
        timeseries.post("/predict?model=tiny", content=as_csv(table(sensor_3=column)), headers=CSV).status_code == 200
    )


@pytest.mark.parametrize(
    "content",
    [
        {"windows": []},
        {"windows": [[1.0]]},
        {"windows": [[[1.0] * 20] * 3]},
        {"windows": [[[1.0] * 19] * 4]},
        {"windows": [[[1.0] * 20] * 4, [[1.0] * 19] * 4]},
        {"windows": [[[1.0] * 20] * 3 + [[1.0]]]},
        {"windows": [[["high"] * 20] * 4]},
        {"windows": None},
        {"columns": {}},
        {"columns": {"sensor_1": []}},
        {"columns": table(sensor_3=[1.0] * 29)},
        {"columns": {"sensor_1": [1.0] * 30}},
        {"columns": table(sensor_3=["high"] * 30)},
        {"columns": table(19)},
        {"columns": table(sensor_3=[[1.0]] * 30)},
        {"columns": [1.0]},
        {"windows": [[[1.0] * 20] * 4], "columns": table()},
        {"rows": []},
        {},
        [],
        "windows",
        17,
        None,
    ],
    ids=lambda content: str(content)[:40],
)
def test_json_of_another_shape_is_refused(timeseries, content):
    for path in ("/predict", "/explain"):
        error = refused(timeseries.post(f"{path}?model=tiny", content=json.dumps(content), headers=JSON), 422, "")
        assert error["error"]


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b'{"windows": [[[1.0,', b"[" * 100_000, b'{"windows": 1e999}', b"\x00"]
)
def test_json_that_is_none_is_refused(timeseries, content):
    refused(timeseries.post("/predict?model=tiny", content=content, headers=JSON), 422, "")


@pytest.mark.parametrize(
    "values",
    [np.zeros((4, 20)), np.zeros((1, 20, 4)), np.zeros((0, 4, 20)), np.zeros(3), np.zeros(()), np.zeros((1, 4, 20, 1))],
    ids=lambda values: str(values.shape),
)
def test_arrays_of_another_shape_are_refused(timeseries, values):
    refused(timeseries.post("/predict?model=tiny", content=npy(values), headers=NPY), 422, "windows: ", "windows")


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"sensor_1": [1.0] * 30}, "column 'sensor_2' is missing; timeseries-tiny reads sensor_1"),
        (table(sensor_2=["high"] * 30), "column 'sensor_2'"),
        (table(19), "there are none"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(timeseries, columns, match):
    for path in ("/predict", "/explain"):
        refused(timeseries.post(f"{path}?model=tiny", content=as_csv(columns), headers=CSV), 422, match)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((30, 40, 3), np.uint8),
        np.zeros((1, 30, 40, 4), np.uint8),
        np.zeros((1, 30, 40, 3)),
        np.zeros((0, 30, 40, 3), np.uint8),
        np.zeros((1, 0, 40, 3), np.uint8),
    ],
    ids=lambda images: f"{images.dtype}{images.shape}",
)
def test_arrays_that_are_no_images_are_refused(vision, images):
    refused(vision.post("/predict", content=npy(images), headers=NPY), 422, "images: ", "images")


def pairs(*items):
    return json.dumps({"pairs": items}).encode()


WINDOW = [[1.0] * 20] * 4
PICTURE = base64.b64encode(png()).decode()


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (pairs(), "pairs"),
        (pairs({}), "pairs.0"),
        (pairs({"window": WINDOW}, {"window": None, "image": None}), "pairs.1"),
        (pairs({"window": WINDOW}, {"window": WINDOW[:3]}), "pairs.1.window"),
        (pairs({"window": [*WINDOW[:3], [1.0]]}), "pairs.0.window"),
        (json.dumps({"pairs": [{"window": [[np.nan] * 20] * 4}]}).encode(), "pairs.0.window.0.0"),
        (pairs({"image": "no base64!"}), "pairs.0.image"),
        (pairs({"image": "é"}), "pairs.0.image"),
        (pairs({"window": WINDOW, "label": 1}), "pairs.0.label"),
        (b'{"pairs": 1}', "pairs"),
        (b"{", "body"),
    ],
)
def test_pairs_that_are_none_are_refused(multimodal, content, field):
    for path in ("/predict", "/explain"):
        refused(multimodal.post(path, content=content, headers=JSON), 422, "", field)


def read_in(client, monkeypatch, **request):
    """The name of the thread that reads a body."""
    (served,) = client.app.state.server.models.values()
    names, samples = [], served.samples

    def told(*given):
        names.append(threading.current_thread().name)
        return samples(*given)

    with monkeypatch.context() as patch:
        patch.setattr(served, "samples", told)
        assert client.post("/predict", **request).status_code == 200
    return names[0]


def test_only_windows_are_read_where_requests_are_answered(packed_table, vision, multimodal, windows, monkeypatch):
    image = np.zeros((1, 30, 40, 3), np.uint8)
    assert "reading" in read_in(vision, monkeypatch, content=npy(image), headers=NPY)
    assert "reading" in read_in(multimodal, monkeypatch, content=pairs({"window": WINDOW}), headers=JSON)
    with service("timeseries", packed_table) as client:
        assert "reading" not in read_in(client, monkeypatch, content=npy(windows), headers=NPY)
        assert "reading" not in read_in(client, monkeypatch, json={"windows": windows.tolist()})
        assert "reading" in read_in(client, monkeypatch, content=as_csv(table()), headers=CSV)


def test_a_picture_of_a_pair_that_cannot_be_read_is_named(multimodal):
    for picture in (b"", png()[:100], bomb(), b"GIF89a"):
        item = {"window": WINDOW, "image": base64.b64encode(picture).decode()}
        refused(
            multimodal.post("/predict", content=pairs({"image": PICTURE}, item), headers=JSON), 422, "pairs.1.image: "
        )


@pytest.mark.parametrize(
    "files",
    [
        [("window", npy(np.zeros((4, 20)))), ("window", npy(np.zeros((4, 20))))],
        [("sound", b"1")],
        [("window", npy(np.zeros((4, 19))))],
        [("window", npy(np.full((4, 20), np.nan)))],
        [("window", npy(np.zeros(())))],
        [("window", b"[[1.0], ")],
        [("window", b"\x93NUMPY")],
        [("window", b"null")],
        [("image", b"no picture")],
        [("image", bomb())],
    ],
    ids=lambda files: f"{[name for name, _ in files]}{len(files[-1][1])}",
)
def test_a_pair_as_a_form_that_is_none_is_refused(multimodal, files):
    parts = [(name, ("file", content)) for name, content in files]
    refused(multimodal.post("/predict", files=parts), 422, "")


def test_more_than_allowed_is_refused(timeseries, vision, windows):
    post = timeseries.post
    many = npy(np.zeros((301, 4, 20), np.float32))
    refused(post("/predict?model=tiny", content=many, headers=NPY), 413, "301 are more than the 300 allowed", "windows")
    for path in ("/predict", "/explain"):
        answer = post(f"{path}?model=tiny", content=as_csv(table(501)), headers=CSV)
        refused(answer, 413, "501 rows are more than the 500 allowed", "table")
        answer = post(f"{path}?model=tiny", json={"columns": table(501)})
        refused(answer, 413, "501 rows are more than the 500 allowed", "columns")
        answer = post(f"{path}?model=tiny", content=as_csv(table(500)), headers=CSV)
        refused(answer, 413, "481 are more than the 300 allowed", "windows")
    header = np.lib.format.header_data_from_array_1_0(np.zeros((1, 4, 20))) | {"shape": (10**9, 4, 20)}
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    refused(post("/predict?model=tiny", content=stream.getvalue(), headers=NPY), 413, "are more than the", "windows")
    answer = vision.post("/predict", content=npy(np.zeros((301, 16, 16, 3), np.uint8)), headers=NPY)
    refused(answer, 413, "301 are more than the 300 allowed", "images")


def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(client):
    params = {"model": client.get("/models").json()["models"][0]["dataset"]}
    content = bytes(LIMITS["max_body"] + 1)
    answer = client.post("/predict", params=params, content=content, headers=JSON)
    assert answer.request.headers["content-length"] == str(len(content))
    refused(answer, 413, "body: is larger than the 400,000 bytes allowed", "body")
    parts = (bytes(100_000) for _ in range(5))
    answer = client.post("/predict", params=params, content=parts, headers=JSON)
    assert "content-length" not in answer.request.headers
    refused(answer, 413, "body: is larger than the 400,000 bytes allowed", "body")
    lying = {**JSON, "content-length": "10"}
    refused(client.post("/predict", params=params, content=content, headers=lying), 413, "body: ", "body")


@pytest.mark.parametrize("length", ["-1", "many", "²", "9" * 5000])
def test_a_length_that_is_none_is_nobodys_fault(timeseries, length):
    headers = [(b"content-type", b"text/csv"), (b"content-length", length.encode("latin-1"))]
    answer = timeseries.post("/predict?model=tiny", content=as_csv(table()), headers=headers)
    assert answer.status_code in (200, 413)


def test_compressed_bodies_are_refused(client):
    params = {"model": client.get("/models").json()["models"][0]["dataset"]}
    for kind in ("gzip", "br", "GZIP", "identity, gzip"):
        answer = client.post("/predict", params=params, content=b"1", headers={"content-encoding": kind})
        refused(answer, 415, "Content-Encoding: ", "Content-Encoding")


def form(*parts, end=b"--cut--\r\n"):
    return b"".join(b"--cut\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts) + end


NAMED = b'Content-Disposition: form-data; name="files"; filename="a.png"'


@pytest.mark.parametrize(
    "content",
    [
        b"no form at all",
        b"--other\r\n",
        form((b"Content-Type: image/png", b"1")),
        form((b"\x00\xff", b"1")),
        form((NAMED, png()), end=b"--cut\r\nbroken"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(vision, content):
    refused(vision.post("/predict", content=content, headers=FORM), 400, "form: ", "form")


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 300]
)
def test_a_form_without_a_boundary_is_refused(vision, kind):
    refused(
        vision.post("/predict", content=form((NAMED, png())), headers={"content-type": kind}), 400, "form: ", "form"
    )


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "utf-7", "utf-16", "zlib", "rot13", "none"])
def test_no_charset_breaks_the_reader(vision, charset):
    headers = {"content-type": f"{FORM['content-type']}; charset={charset}"}
    names = [b"a.png", b"+2AA-.png", b"\xff\xfe.png", b"xn--\xff..png"]
    for name in names:
        head = b'Content-Disposition: form-data; name="files"; filename="' + name + b'"'
        for path in ("/predict", "/explain"):
            answer = vision.post(path, content=form((head, png())), headers=headers)
            assert answer.status_code in (200, 400), answer.text
            answer.content.decode()


def test_forms_that_break_off_are_refused_and_none_of_their_files_is_scored(vision):
    whole = form((NAMED, png()), (NAMED, png()))
    for size in (20, 200, len(whole) // 2, len(whole) // 2 + 300, len(whole) - 200):
        answer = vision.post("/predict", content=whole[:size], headers=FORM)
        assert answer.status_code in (400, 422), answer.text
        refused(answer, answer.status_code, "")


def test_more_files_than_allowed_are_refused(vision, packed_sound, timeseries):
    files = [("files", (f"{number}.png", png())) for number in range(4)]
    refused(vision.post("/predict", files=files), 400, "Too many files", "form")
    answer = vision.post("/predict", files=files[:3]).json()
    assert [each["name"] for each in answer["results"]] == ["0.png", "1.png", "2.png"]
    assert len({each["score"] for each in answer["results"]}) == 1
    fields = [("files", (None, b"1")) for _ in range(4)]
    refused(timeseries.post("/predict?model=fans", files=fields), 400, "Too many fields", "form")


def test_a_form_without_files_is_refused(vision, timeseries):
    for client, model in ((vision, "part"), (timeseries, "fans")):
        answer = client.post(f"/predict?model={model}", content=b"--cut--\r\n", headers=FORM)
        refused(answer, 422, "files: there are none", "files")


@pytest.mark.parametrize("content", [bomb(), png()[:100], png()[:-200], b"GIF89a", b"\x89PNG\r\n\x1a\n", png(101, 100)])
def test_pictures_that_cannot_be_used_are_refused(vision, content):
    for path in ("/predict", "/explain"):
        refused(vision.post(path, content=content, headers=PNG), 422, "image: ")
        refused(vision.post(path, files=[("files", ("part 7.png", content))]), 422, "part 7.png: ")


def test_a_picture_that_says_it_is_huge_is_refused_by_its_header(vision):
    refused(vision.post("/predict", content=bomb(), headers=PNG), 422, "20000 x 20000")


def test_recordings_that_cannot_be_used_are_refused(timeseries, packed_sound, tmp_path):
    whole = packed_sound.example
    random = np.random.default_rng(0).normal(scale=0.1, size=4000)
    other_rate = write_clip(tmp_path / "rate.wav", random, rate=8_000).read_bytes()
    short = write_clip(tmp_path / "short.wav", random[:200]).read_bytes()
    broken = write_clip(tmp_path / "nan.wav", np.full(4000, np.nan), subtype="FLOAT").read_bytes()
    flac = write_clip(tmp_path / "a.flac", random, format="FLAC").read_bytes()
    for content in (b"RIFF", whole[:30], whole[: len(whole) // 2], whole[:44], other_rate, short, broken, flac, b"1"):
        for path in ("/predict", "/explain"):
            refused(timeseries.post(f"{path}?model=fans", content=content, headers=WAV), 422, "clip: ")
            answer = timeseries.post(f"{path}?model=fans", files=[("files", ("fan 7.wav", content))])
            refused(answer, 422, "fan 7.wav: ")


def test_too_many_samples_that_wait_are_refused_for_now(timeseries, windows):
    batcher = timeseries.app.state.server._batchers["tiny"]
    batcher.waiting = 20_000
    try:
        answer = timeseries.post("/predict?model=tiny", content=npy(windows), headers=NPY)
    finally:
        batcher.waiting = 0
    refused(answer, 503, "20,000 samples wait already; try again in a moment", None)
    assert answer.headers["retry-after"] == "1"
    assert timeseries.post("/predict?model=tiny", content=npy(windows), headers=NPY).status_code == 200


def test_what_nobody_expected_is_a_500_that_tells_nothing(timeseries, windows, monkeypatch):
    served = timeseries.app.state.server.models["tiny"]

    def fail(*_):
        msg = "a secret of the service"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(served, "samples", fail)
        patch.setattr(served, "explained", fail)
        for path in ("/predict", "/explain"):
            answer = timeseries.post(f"{path}?model=tiny", content=npy(windows), headers=NPY)
            refused(answer, 500, "the service failed; its log says why", None)
            assert "secret" not in answer.text
    assert timeseries.post("/predict?model=tiny", content=npy(windows), headers=NPY).status_code == 200


def test_paths_and_methods_there_are_not_are_refused_in_the_same_form(client):
    refused(client.get("/nowhere"), 404, "Not Found", None)
    refused(client.get("/predict"), 405, "Method Not Allowed", None)
    assert client.get("/predict").headers["allow"] == "POST"
    for path in ("/docs", "/redoc"):  # BentoML has them
        refused(client.get(path), 404, "", None)


# the description


BODIES = {
    "timeseries": {
        "application/json",
        "text/csv",
        "application/vnd.apache.parquet",
        "application/x-npy",
        "audio/wav",
        "audio/x-wav",
        "multipart/form-data",
    },
    "vision": {"image/png", "image/jpeg", "application/x-npy", "multipart/form-data"},
    "multimodal": {"application/json", "multipart/form-data"},
}


@pytest.mark.parametrize("line", BODIES)
def test_openapi_names_every_body_and_every_refusal(line):
    app = line_app(line)
    told = get_openapi(title=app.title, version="1", routes=app.routes)
    assert set(told["paths"]) == {"/predict", "/explain", "/models", "/drift", "/example"}
    for path in ("/predict", "/explain"):
        operation = told["paths"][path]["post"]
        assert set(operation["requestBody"]["content"]) == BODIES[line]
        assert operation["requestBody"]["required"]
        assert {"400", "401", "404", "413", "415", "422", "429", "503", "504"} <= set(operation["responses"])
        assert "$ref" not in json.dumps(operation["requestBody"])
        assert operation["responses"]["422"]["content"]["application/json"]["schema"]["$ref"].endswith("ErrorAnswer")
    parameters = {each["name"] for each in told["paths"]["/predict"]["post"]["parameters"]}
    assert parameters == {"model", "threshold", "false_alarm_rate", "gaps"}


@pytest.mark.parametrize("medium", ["table", "sound", "image", "pair"])
def test_every_body_a_model_reads_is_in_openapi(request, medium):
    packed = request.getfixturevalue(f"packed_{medium}")
    assert set(packed.served().READS) <= BODIES[packed.dataset.line]


# the token


@pytest.fixture
def guarded(monkeypatch, timeseries):
    """A client of the app behind the token that the variables state."""

    def guard(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"VAE_PIPELINE_SERVICE_{name}", str(value))
        load_service_settings.cache_clear()
        return TestClient(TokenRequired(timeseries.app), raise_server_exceptions=False)

    yield guard
    load_service_settings.cache_clear()


WRONG = [
    "",
    "secret",
    "Bearer",
    "Bearer ",
    "Bearer secre",
    "Bearer secrets",
    "bearer secret",
    "Basic secret",
    "Bearer é",
]


def test_without_the_token_nothing_is_answered(guarded):
    client = guarded(TOKEN="secret")
    for headers in ({}, *({"authorization": given.encode()} for given in WRONG)):
        for method, path in (("GET", "/models"), ("POST", "/predict"), ("GET", "/metrics"), ("GET", "/nowhere")):
            answer = client.request(method, path, headers=headers)
            refused(answer, 401, "Authorization: send the token as 'Bearer …'", "Authorization")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "secret" not in answer.text


def test_with_the_token_everything_is_as_without_one(guarded, timeseries):
    client = guarded(TOKEN="secret")
    answer = client.get("/models", headers={"authorization": "Bearer secret"})
    assert answer.json() == timeseries.get("/models").json()


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_is_told_to_everybody(guarded, path):
    refused(guarded(TOKEN="secret").get(path), 404, "Not Found")
    assert guarded().get(f"{path}/../models").status_code == 401


def test_a_stream_asks_for_the_token_too(guarded):
    client = guarded(TOKEN="secret")
    for headers in ({}, {"authorization": "Bearer other"}):
        with pytest.raises(Exception) as refusal, client.websocket_connect("/stream?model=fans", headers=headers):  # noqa: PT011
            pass
        assert getattr(refusal.value, "code", None) == 1008
    with client.websocket_connect("/stream?model=fans", headers={"authorization": "Bearer secret"}) as socket:
        assert "reads recordings" in socket.receive_text()


def test_the_token_may_stand_in_a_file(guarded, tmp_path):
    (tmp_path / "token").write_text("  from a file\n")
    client = guarded(TOKEN_FILE=tmp_path / "token", TOKEN="secret")
    assert client.get("/models", headers={"authorization": "Bearer from a file"}).status_code == 200
    assert client.get("/models", headers={"authorization": "Bearer secret"}).status_code == 401


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_token_file_that_says_nothing_stops_the_service(guarded, tmp_path, content):
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(SettingError, match="VAE_PIPELINE_SERVICE_TOKEN_FILE: "):
        guarded(TOKEN_FILE=tmp_path / "token")


def test_without_a_token_everybody_is_answered(guarded):
    assert guarded().get("/models").status_code == 200
    assert guarded(TOKEN="").get("/models").status_code == 200
