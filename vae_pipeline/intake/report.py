"""The judgement of a batch as one page that needs no network."""

from html import escape

from vae_pipeline.intake.judge import Judgement
from vae_pipeline.records import Dataset
from vae_pipeline.validation.report import STYLE
from vae_pipeline.validation.verdict import Outcome

__all__ = ["report"]

_SHOWN = 50


def report(judgement: Judgement, dataset: Dataset, name: str, sha256: str) -> str:
    """An HTML page: the verdict in a sentence, what stands out, what fails and what holds.

    Links to ``expectations.html`` where the suites were asked.
    """
    failed = [outcome for outcome in judgement.outcomes if not outcome.success]
    held = [outcome for outcome in judgement.outcomes if outcome.success]
    tone = "critical" if not judgement.accepted else "warning" if failed else "good"
    word = "Accepted" if judgement.accepted else "Refused"
    size = f"{judgement.rows:,} rows, {judgement.units:,} units" if judgement.rows else "could not be read"
    span = f", {judgement.span[0]} to {judgement.span[1]}" if judgement.span else ""
    link = " (<a href='expectations.html'>every expectation</a>)" if judgement.outcomes else ""
    body = (
        f"<div class='verdict {tone}'><h1>{escape(name)}</h1><p class='soft'>a batch for {escape(dataset.name)}, "
        f"{escape(dataset.title)}</p><p><strong>{word}.</strong> {escape(judgement.reason)}</p>"
        f"<p class='soft'>{escape(size + span)}{link}</p><p class='soft'>labelled {escape(judgement.labelled) or '-'}"
        f"</p><p class='soft'>{escape(judgement.screened)}</p><p class='soft'><code>sha256 {sha256}</code></p></div>"
    )
    body += _suspects(judgement)
    body += _outcomes("What fails", failed) + _outcomes("What holds", held)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Batch {escape(name)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _suspects(judgement: Judgement) -> str:
    screening = judgement.screening
    if screening is None:
        return ""
    figures = {
        "samples that pass for normal": f"{screening.samples:,}",
        f"score above {screening.level:.4g}": f"{screening.above:,}, where at most {screening.expected:.1%} of normal "
        "data do",
        "the batch's majority has moved by": f"{screening.moved:+.2f} of the reference's spreads",
        "standing out from the majority": f"{screening.standing_out:,} (above {screening.bar:.4g})",
        "probability of so many by chance": f"{screening.p_value:.2g}",
    }
    rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in figures.items())
    found = f"<h2>What the champion says</h2><table>{rows}</table>"
    if not screening.suspects:
        return found
    rows = "".join(
        f"<tr><td>{escape(suspect.unit)}</td><td>{_place(suspect.first, suspect.last)}</td><td>{suspect.samples}</td>"
        f"<td>{suspect.score:.4g}</td></tr>"
        for suspect in screening.suspects[:_SHOWN]
    )
    more = len(screening.suspects) - _SHOWN
    note = f"<p class='soft'>and {more} more units, in report.json</p>" if more > 0 else ""
    head = "<tr><th>Unit</th><th>Rows</th><th>Samples</th><th>Highest score</th></tr>"
    return f"{found}<h2>What stands out</h2><table>{head}{rows}</table>{note}"


def _place(first: int, last: int) -> str:
    return f"{first:,} to {last:,}" if last else "the file"


def _outcomes(title: str, outcomes: list[Outcome]) -> str:
    if not outcomes:
        return ""
    rows = "".join(
        f"<tr class='{'good' if outcome.success else outcome.severity}'>"
        f"<td><span class='mark'>{'holds' if outcome.success else outcome.severity}</span></td>"
        f"<td><code>{escape(outcome.name)}</code><p class='soft'>{escape(outcome.expected)}</p></td>"
        f"<td>{escape(outcome.observed)}</td><td class='example'>{escape(outcome.example)}</td></tr>"
        for outcome in outcomes
    )
    head = "<tr><th></th><th>Expected</th><th>Observed</th><th>First place</th></tr>"
    return f"<h2>{title}</h2><table>{head}{rows}</table>"
