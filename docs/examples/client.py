"""Every endpoint of a service from Python: ``python docs/examples/client.py http://127.0.0.1:3100 [MODEL]``.

It asks the example that the model was packed with, so it works with every service. httpx and numpy only; a stream also
takes httpx-ws.
"""

import csv
import io
import json
import sys

import httpx
import numpy as np
from httpx_ws import connect_ws


def main(address: str, model: str | None = None) -> None:
    """Ask everything there is to ask, and print what comes back."""
    with httpx.Client(base_url=address, timeout=30) as service:
        assert service.get("/readyz").is_success

        known = service.get("/models").raise_for_status().json()["models"]
        chosen = next(each for each in known if model in (None, each["dataset"]))
        asked = {"model": chosen["dataset"]}
        print("model", chosen["name"], "version", chosen["version"], "trained", chosen["trained"])

        # the body in the content type it is in; what evaluation said of it stands in a header
        example = service.get("/example", params=asked).raise_for_status()
        expected = [float(score) for score in example.headers["Expected-Scores"].split(",")]
        sent = {"content": example.content, "headers": {"Content-Type": example.headers["Content-Type"]}}

        answer = service.post("/predict", params=asked, **sent).raise_for_status().json()
        scores = [result["score"] for result in answer["results"]]
        print("scores", scores, "threshold", answer["threshold"], "alarms", sum(r["alarm"] for r in answer["results"]))
        assert np.allclose(scores, expected, rtol=0, atol=1e-5)

        # another threshold for this request alone
        strict = {**asked, "false_alarm_rate": 0.001}
        stricter = service.post("/predict", params=strict, **sent).json()  # few calibration scores allow no such rate
        print("threshold at 0.1 %", stricter.get("threshold", stricter.get("error")))

        why = service.post("/explain", params=asked, **sent).raise_for_status().json()["explanations"][0]
        leading = why["sensors"][0]["name"] if why["sensors"] else why["regions"][:1]
        print("why", leading)

        print("drift", service.get("/drift", params=asked).raise_for_status().json())
        print("metrics", sum(line.startswith("vae_") for line in service.get("/metrics").text.splitlines()), "lines")

        if chosen["medium"] == "table":
            windows_and_streams(service, address, asked, example.text, scores)
        if chosen["medium"] in ("image", "sound"):
            files = [("files", (f"{name}", example.content, example.headers["Content-Type"])) for name in ("a", "b")]
            several = service.post("/predict", params=asked, files=files).raise_for_status().json()
            print("several", [(result["name"], result["score"]) for result in several["results"]])


def windows_and_streams(
    service: httpx.Client, address: str, asked: dict[str, str], text: str, scores: list[float]
) -> None:
    """The rows of the example as a window, as an array and as a stream; all score as the table did."""
    rows = list(csv.DictReader(io.StringIO(text)))
    names = list(rows[0])[2:]
    length = len(rows) - len(scores) + 1
    window = [[float(row[name]) for row in rows[:length]] for name in names]

    as_json = service.post("/predict", params=asked, json={"windows": [window]}).raise_for_status().json()
    array = io.BytesIO()
    np.save(array, np.array([window]))
    as_npy = service.post(
        "/predict", params=asked, content=array.getvalue(), headers={"Content-Type": "application/x-npy"}
    ).json()
    columns = {name: [float(row[name]) for row in rows] for name in names}
    as_columns = service.post("/predict", params=asked, json={"columns": columns}).raise_for_status().json()
    assert np.isclose(as_json["results"][0]["score"], scores[0], rtol=0, atol=1e-5)
    assert np.isclose(as_npy["results"][0]["score"], scores[0], rtol=0, atol=1e-5)
    assert np.allclose([each["score"] for each in as_columns["results"]], scores, rtol=0, atol=1e-5)

    with connect_ws(f"{address.replace('http', 'ws', 1)}/stream?model={asked['model']}") as stream:
        for place, row in enumerate(rows):
            reading = {name: float(row[name]) for name in names}
            stream.send_text(json.dumps({"unit": "engine 1", "time": place, "row": reading}))
            told = json.loads(stream.receive_text())
            if told["score"] is not None:
                print("stream", told)
                assert np.isclose(told["score"], scores[place - length + 1], rtol=0, atol=1e-5)


if __name__ == "__main__":
    main(*sys.argv[1:3])
