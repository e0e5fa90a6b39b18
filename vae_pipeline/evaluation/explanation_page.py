"""Explanations as HTML pages a person likes to read; each needs nothing but itself."""

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

from vae_pipeline.explanation.explanation import Explanation

__all__ = ["explanation_page", "summary_page"]

STYLE = """
:root { --ink: #1c2530; --soft: #64707d; --line: #e3e7ec; --paper: #f6f7f9; --bad: #b3261e; --good: #1a7f4b; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 32px 24px 48px; }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 17px; margin: 32px 0 8px; }
p { margin: 4px 0; } .soft { color: var(--soft); } a { color: #1f5fbf; } img { max-width: 100%; background: #fff; }
.head { background: #fff; border: 1px solid var(--line); border-left: 6px solid var(--tone); border-radius: 8px;
  padding: 20px 24px; } .head strong { color: var(--tone); }
.alarm { --tone: var(--bad); } .quiet { --tone: var(--good); }
table { width: 100%; border-collapse: collapse; background: #fff; border: 1px solid var(--line); }
th, td { text-align: right; padding: 6px 12px; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
th { border-top: 0; color: var(--soft); font-weight: 600; font-size: 13px; }
th:first-child, td:first-child { text-align: left; }
"""

SHOWN = 10


def explanation_page(explanation: Explanation, picture: bytes, *, unit_of_rows: str = "row") -> str:
    """One anomaly: the decision in a sentence, the figure, and a table of each part there is."""
    tone = "alarm" if explanation.alarm else "quiet"
    decision = "alarm" if explanation.alarm else "no alarm"
    place = " · ".join(
        f"{word} {escape(value)}" for word, value in (("unit", explanation.unit), ("time", explanation.time)) if value
    )
    body = (
        f"<div class='head {tone}'><h1>{escape(explanation.name)}</h1>"
        f"<p class='soft'>{escape(explanation.detector)}{' · ' if place else ''}{place}</p>"
        f"<p><strong>{decision}</strong>: score {explanation.score:.3f}, threshold {explanation.threshold:.3f}. "
        f"Most stands out: {escape(explanation.headline)}.{_when(explanation, unit_of_rows)}</p></div>"
        f"<p><img alt='figure' src='{_inline(picture)}'></p>"
    )
    parts = (_modalities, _sensors, _regions, _rest)
    return _page(explanation.name, body + "".join(part(explanation) for part in parts))


def summary_page(title: str, told: str, explained: Sequence[tuple[Explanation, str]], rows: Sequence[Any]) -> str:
    """A run's explanations: what stood out most often, and a link to each page.

    Args:
        title: of the page.
        told: a sentence on what was explained.
        explained: each explanation with the name of its page beside this one.
        rows: name, times first and mean share of what stood out.
    """
    often = _table(("stands out", "times first", "mean share"), [(name, f"{n}", f"{s:.0%}") for name, n, s in rows])
    links = "".join(
        f"<tr><td><a href='{escape(page, quote=True)}'>{escape(one.name)}</a></td><td>{one.score:.3f}</td>"
        f"<td>{escape(one.headline)}</td></tr>"
        for one, page in explained
    )
    pages = f"<table><tr><th>anomaly</th><th>score</th><th>most stands out</th></tr>{links}</table>"
    body = f"<div class='head quiet'><h1>{escape(title)}</h1><p>{escape(told)}</p></div>"
    if explained:
        body += f"<h2>What stands out most often</h2>{often}<h2>Anomalies</h2>{pages}"
    return _page(title, body)


def _when(explanation: Explanation, unit_of_rows: str) -> str:
    if explanation.start is None or explanation.end is None:
        return ""
    return f" It stands out from {unit_of_rows} {explanation.start + 1} to {explanation.end + 1}."


def _sensors(explanation: Explanation) -> str:
    if not explanation.sensors:
        return ""
    rows = [
        (
            sensor.name,
            f"{sensor.evidence:.2f}",
            f"{sensor.share:.0%}",
            f"{sensor.change:.2f}",
            f"{sensor.residual:+.2f}",
            f"{sensor.level:+.2f}",
            "–" if sensor.start is None or sensor.end is None else f"{sensor.start + 1} to {sensor.end + 1}",
        )
        for sensor in explanation.sensors[:SHOWN]
    ]
    note = "Change, residual and level: 1 is what a normal sample exceeds once in a hundred times."
    return (
        "<h2>Sensors</h2>"
        + _table(("sensor", "evidence", "share", "change", "residual", "level", "when"), rows)
        + f"<p class='soft'>{note}</p>"
    )


def _modalities(explanation: Explanation) -> str:
    if not explanation.modalities:
        return ""
    rows = [(side.name, f"{side.surprise:.2f}", f"{side.share:.0%}") for side in explanation.modalities]
    return "<h2>Which side of the pair</h2>" + _table(("side", "surprise (nats)", "share"), rows)


def _regions(explanation: Explanation) -> str:
    if not explanation.regions:
        return ""
    rows = [
        (
            f"{rank}",
            f"{region.left}, {region.top}",
            f"{region.width} × {region.height}",
            f"{region.area:,}",
            f"{region.peak:.1f}",
            f"{region.share:.0%}",
        )
        for rank, region in enumerate(explanation.regions, start=1)
    ]
    return "<h2>Regions</h2>" + _table(("region", "left, top", "size", "pixels", "peak", "share"), rows)


def _rest(explanation: Explanation) -> str:
    body = ""
    if explanation.attribution:
        rows = [(each.name, f"{each.value:+.3f}") for each in explanation.attribution[:SHOWN]]
        title = f"What the score is made of, by {explanation.attribution_by}"
        body += f"<h2>{escape(title)}</h2>" + _table(("input", "part of the score"), rows)
    if explanation.latents:
        rows = [
            (
                f"{latent.dimension}",
                f"{latent.value:.2f}",
                f"{latent.normal:.2f}",
                f"{latent.change:+.3f}",
                f"{latent.jacobian:.2f}",
            )
            for latent in explanation.latents[:SHOWN]
        ]
        heads = ("latent", "value", "normal", "score when moved there", "norm of the derivative")
        body += "<h2>Latents</h2>" + _table(heads, rows)
    return body


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _inline(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _page(title: str, body: str) -> str:
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
