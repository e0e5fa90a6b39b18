"""What each threshold promises and where it fails, said once: for the thresholds themselves and for the documents."""

from dataclasses import dataclass

__all__ = ["NOTES", "Note", "describe"]


@dataclass(frozen=True)
class Note:
    """The promise of one method and the cases in which it does not hold."""

    guarantee: str
    fails: str


NOTES: dict[str, Note] = {
    "percentile": Note(
        "The asked share of the calibration scores lies above; new scores follow as the sample grows.",
        "Rates near or below 1/n: the value sticks to the largest score and alarms more often than asked.",
    ),
    "mad": Note(
        "The asked rate for normally distributed scores, little moved by a few anomalies among the scores.",
        "Skewed or heavy-tailed scores, the usual case for errors: many more false alarms than asked.",
    ),
    "gaussian": Note(
        "The asked rate for normally distributed scores.",
        "Skewed or heavy tails (too many alarms); anomalies among the scores lift mean and deviation (missed alarms).",
    ),
    "peaks_over_threshold": Note(
        "The asked rate, also beyond 1/n, where the tail is near a generalised Pareto; the interval says how sure.",
        "Fewer than 20 excesses, a shape outside [-1, 1] or tied excesses: the percentile takes over; with 50 excesses "
        "no closer than the percentile; excesses of overlapping windows come in clusters, which makes the interval "
        "too narrow.",
    ),
    "block_maxima": Note(
        "The asked rate for independent scores whose block maxima follow a generalised extreme value distribution.",
        "Rates of 1/block and above (body, not tail); dependent scores; fewer than 20 blocks: the percentile takes "
        "over.",
    ),
    "conformal": Note(
        "On average over calibration sets, a new score exchangeable with the calibration scores lies above with at "
        "most the asked probability, whatever the distribution.",
        "Drift, and overlapping windows or few units (not exchangeable); n < 1/rate - 1: only 1/(n + 1) is kept.",
    ),
    "best_f1": Note(
        "No other cut reaches a higher F1 on the calibration scores; nothing is promised about the false-alarm rate.",
        "A different share of anomalies in service; few anomalies (the F1 is optimistic); useless scores: everything "
        "alarms.",
    ),
    "dynamic": Note(
        "The asked rate, roughly, while the level moves slowly against the window depth and the tail keeps its shape.",
        "Slow degradation becomes the new normal unless max_shift is set; a lasting jump alarms until restart; a "
        "stream that grows much quieter keeps the peak level learnt at calibration.",
    ),
}


def describe() -> str:
    """The methods, their guarantees and failure cases as a Markdown table."""
    lines = ["| method | guarantee | fails |", "|---|---|---|"]
    lines += [f"| `{name}` | {note.guarantee} | {note.fails} |" for name, note in NOTES.items()]
    return "\n".join(lines)
