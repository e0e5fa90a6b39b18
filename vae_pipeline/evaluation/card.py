"""The model card: what a model version is, how good it is, beside what, and what it is not for."""

from collections.abc import Mapping, Sequence

from vae_pipeline.calibration.thresholds import Threshold
from vae_pipeline.records import Dataset

__all__ = ["data_facts", "model_card", "threshold_facts"]

Value = float | int | str | bool | None

MEASURES = {
    "roc_auc": "ROC-AUC",
    "partial_auc": "Partial ROC-AUC up to a false-alarm rate of 0.1",
    "pr_auc": "PR-AUC (average precision)",
    "vus_pr": "VUS-PR",
    "pixel_auroc": "ROC-AUC of pixels",
    "aupro": "AUPRO up to a false-alarm rate of 0.3",
    "precision": "Precision at the threshold",
    "recall": "Recall at the threshold",
    "f1": "F1 at the threshold (never point-adjusted)",
    "best_f1": "Best F1 any threshold reaches",
    "f1_ratio": "F1 / best F1",
    "lead_time_median": "Lead time before failure, median over detected units (cycles)",
    "lead_time_share": "Units detected before failure",
    "false_alarms_per_1000": "False alarms per 1,000 healthy samples",
    "alarm_share": "Share of samples that alarm",
    "windows": "Test windows",
    "clips": "Test clips",
    "images": "Test images",
    "units": "Test units",
}
SAMPLES = ("windows", "clips", "images")
WHOLE = {*SAMPLES, "units", "lead_time_median"}
BESIDE = {
    "pr_auc": "PR-AUC",
    "roc_auc": "ROC-AUC",
    "partial_auc": "pAUC",
    "pixel_auroc": "pixel ROC-AUC",
    "aupro": "AUPRO",
    "vus_pr": "VUS-PR",
    "f1": "F1",
    "lead_time_median": "lead time",
}
INTENDED = (
    "Watching machines of the kind the data come from, with the same sensors, units and sampling: the score ranks "
    "windows by how unlike normal operation they are, and the threshold turns it into an alarm for a person to look at."
)
LIMITS = (
    "It has learnt what was normal in the fit part; a new operating mode, sensor or machine type alarms without fault "
    "until it is retrained.",
    "A fault that leaves no trace in these sensors is not seen, and an alarm names no cause with certainty.",
    "Do not let it stop or release a machine without a person or an independent protection.",
)


def model_card(
    *,
    name: str,
    description: str,
    data: Mapping[str, Value],
    protocol: Mapping[str, Value],
    metrics: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    threshold: Mapping[str, Value],
    model: Mapping[str, Value] | None = None,
    cannot: Sequence[str] = (),
    groups: Mapping[str, Mapping[str, float]] | None = None,
    baseline_descriptions: Mapping[str, str] | None = None,
    intended_use: str = INTENDED,
    limits: Sequence[str] = LIMITS,
) -> str:
    """The card as Markdown.

    Args:
        name: of the registered model, with its version if it has one.
        description: one or two sentences on what it is.
        data: facts of the data in the order shown: title, licence, citation, version and so on.
        protocol: facts of the protocol: how parts are split, what counts as normal, windows, seed.
        metrics: of the VAE on the test part, as ``detection_metrics`` gives them.
        baselines: baseline -> metrics on the same windows.
        threshold: facts of the threshold: value, method, and its guarantee.
        model: facts of the network and its training.
        cannot: sentences on what could not be computed.
        groups: kind of defect or machine -> metrics.
        baseline_descriptions: baseline -> what it is.
        intended_use: one paragraph.
        limits: one sentence each.
    """
    sections = [
        (f"# {name}", description),
        ("## Data", _facts(data)),
        ("## Protocol", _facts(protocol)),
        ("## Model", _facts(model or {})),
        ("## Detection on the test part", _metrics(metrics)),
        ("## Beside baselines", _baselines(metrics, baselines, baseline_descriptions or {})),
        ("## By group", _groups(groups or {})),
        ("## Threshold", _facts(threshold)),
        ("## What could not be computed", _bullets(cannot)),
        ("## Intended use", intended_use),
        ("## Limits", _bullets(limits)),
    ]
    return "\n\n".join(f"{heading}\n\n{body}" for heading, body in sections if body) + "\n"


def data_facts(dataset: Dataset, data_version: str) -> dict[str, Value]:
    """What the data are and whose."""
    return {
        "Dataset": dataset.name,
        "Title": dataset.title,
        "Licence": dataset.licence,
        "Citation": dataset.citation,
        "Data version": data_version,
    }


def threshold_facts(threshold: Threshold) -> dict[str, Value]:
    """Where the threshold lies, how it came about and what it promises."""
    return {
        "Value": threshold.value,
        "Method": threshold.method,
        "Guarantee": threshold.guarantee,
        "Warnings": "; ".join(threshold.warnings) or "none",
    }


def _groups(groups: Mapping[str, Mapping[str, float]]) -> str:
    if not groups:
        return ""
    names = list(dict.fromkeys(name for found in groups.values() for name in found))
    titles = " | ".join(MEASURES.get(name, name.replace("_", " ")) for name in names)
    rows = [f"| {key} | " + " | ".join(_number(name, found) for name in names) + " |" for key, found in groups.items()]
    return "\n".join([f"| group | {titles} |", "|---" * (len(names) + 1) + "|", *rows])


def _facts(facts: Mapping[str, Value]) -> str:
    words = {key.replace("_", " "): value for key, value in facts.items() if value is not None and value != ""}
    return "\n".join(f"- **{key[:1].upper()}{key[1:]}**: {_plain(value)}" for key, value in words.items())


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _number(name: str, metrics: Mapping[str, float]) -> str:
    if name not in metrics:
        return "–"
    value = metrics[name]
    if name in WHOLE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if name == "false_alarms_per_1000" else f"{value:.3f}"


def _interval(name: str, metrics: Mapping[str, float]) -> str:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _metrics(metrics: Mapping[str, float]) -> str:
    noun = next((noun for noun in SAMPLES if noun in metrics), "samples")
    rows = [
        f"| {words.replace('samples', noun)} | {_number(name, metrics)} | {_interval(name, metrics)} |"
        for name, words in MEASURES.items()
        if name in metrics
    ]
    if not rows:
        return ""
    return "\n".join(["| measure | value | 95 % interval over units |", "|---|---|---|", *rows])


def _baselines(
    metrics: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]], descriptions: Mapping[str, str]
) -> str:
    if not baselines:
        return ""
    if "pr_auc" not in metrics:
        return "The test part does not allow PR-AUC, so nothing can be ranked; see below."
    everyone = {"**VAE (this model)**": metrics} | {
        f"{key.replace('_', ' ')}" + (f": {descriptions[key]}" if key in descriptions else ""): found
        for key, found in baselines.items()
    }
    ranked = sorted(everyone, key=lambda key: -everyone[key].get("pr_auc", -1.0))
    shown = [name for name in BESIDE if any(name in found for found in everyone.values())]
    titles = [BESIDE[name] for name in shown]
    titles.insert(1, "95 % interval")
    head = f"| score | {' | '.join(titles)} |"
    rows = []
    for key in ranked:
        found = everyone[key]
        numbers = [_number(name, found) for name in shown]
        numbers.insert(1, _interval("pr_auc", found))
        rows.append(f"| {key.replace('|', chr(92) + '|')} | " + " | ".join(numbers) + " |")
    return "\n".join([head, "|---" * (len(titles) + 1) + "|", *rows]) + "\n\n" + _verdict(metrics, baselines)


def _verdict(metrics: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]) -> str:
    """Which baselines win, said plainly."""
    ours = metrics["pr_auc"]
    ahead = sorted(
        (key for key, found in baselines.items() if found.get("pr_auc", -1.0) >= ours),
        key=lambda key: -baselines[key]["pr_auc"],
    )
    if ahead:
        words = ", ".join(f"{key.replace('_', ' ')} ({baselines[key]['pr_auc']:.3f})" for key in ahead)
        plural = "baselines reach" if len(ahead) > 1 else "baseline reaches"
        return (
            f"**The VAE does not win on this data**: {len(ahead)} {plural} its PR-AUC of {ours:.3f} or more: {words}."
        )
    best = max(baselines, key=lambda key: baselines[key].get("pr_auc", -1.0))
    value = baselines[best].get("pr_auc")
    if value is None:
        return ""
    low = metrics.get("pr_auc_low")
    doubt = (
        f" The VAE's interval reaches down to {low:.3f}, so on other units the order may change."
        if low is not None and low <= value
        else ""
    )
    return (
        f"The VAE has the highest PR-AUC, {ours:.3f}; the best baseline is {best.replace('_', ' ')} with {value:.3f}."
        f"{doubt}"
    )
