"""Run the suites over a dataset's parts; write ``verdict.json``, ``report.html`` and Great Expectations' pages."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_pipeline.records import Dataset
from vae_pipeline.storage import write_bytes, write_json
from vae_pipeline.validation.great import Context, joined, page
from vae_pipeline.validation.report import report
from vae_pipeline.validation.verdict import Outcome, Severity, Size, Verdict

if TYPE_CHECKING:
    from vae_pipeline.validation.suites import Check, Part, Suite

__all__ = ["validate"]

GRAVITY: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}
SHOWN = 3


def validate(dataset: Dataset, raw: Path, folder: Path) -> Verdict:
    """Judge ``raw/train.parquet`` and, where it exists, ``raw/test.parquet`` by the suite of the dataset's medium.

    Writes into ``folder``: ``verdict.json``, ``report.html`` and, linked from it, ``train.html`` and ``test.html``. A
    failed statement is an outcome, not an error: ``raise_if_failed`` makes it one.

    Raises:
        DataError: a table or ``source.json`` cannot be read.
    """
    from vae_pipeline.validation.frames import read_table

    suite = _suite(dataset, raw)
    context = Context()
    outcomes: list[Outcome] = []
    sizes: list[Size] = []
    pages: dict[str, str] = {}
    parts: tuple[Part, ...] = ("train", "test") if (raw / "test.parquet").exists() else ("train",)
    for part in parts:
        table = read_table(raw / f"{part}.parquet")
        judge = _Judge(context, suite, part)
        usable = judge.schema(table)
        if usable:
            judge.run(table)
        sizes.append(suite.size(part, table))
        outcomes += judge.outcomes
        pages[part] = page(joined(f"{dataset.name} {part}", judge.results))
        if not usable:
            break
    success = not any(o.severity == "critical" and not o.success for o in outcomes)
    verdict = Verdict(dataset=dataset.name, success=success, expectations=tuple(outcomes), sizes=tuple(sizes))
    for name, content in pages.items():
        write_bytes(folder / f"{name}.html", content.encode())
    write_bytes(folder / "report.html", report(verdict, dataset.title).encode())
    write_json(folder / "verdict.json", verdict)
    return verdict


def _suite(dataset: Dataset, raw: Path) -> "Suite":
    """The suite of the dataset's medium."""
    if dataset.medium == "image":
        from vae_pipeline.validation.images import ImageSuite

        return ImageSuite(dataset)
    if dataset.medium == "sound":
        from vae_pipeline.validation.sounds import SoundSuite

        return SoundSuite(dataset)
    from vae_pipeline.validation.tables import TableSuite

    return TableSuite(dataset, raw)


class _Judge:
    """Runs the checks of one part and collects what they found."""

    def __init__(self, context: Context, suite: "Suite", part: "Part") -> None:
        self.context, self.suite = context, suite
        self.part: Part = part
        self.outcomes: list[Outcome] = []
        self.results: list[Any] = []

    def schema(self, table: Any) -> bool:
        """Whether the columns are there and have rows; where not, that failure is the only outcome."""
        checks = self.suite.schema(table)
        self._roll_up(checks, self._found("table", table, checks))
        failed = next((o for o in self.outcomes if not o.success), None)
        if failed is not None:
            self.outcomes = [failed]
        return failed is None

    def run(self, table: Any) -> None:
        """Run all further checks, frame by frame."""
        frames, checks = self.suite.ask(self.part, table)
        found: dict[int, Any] = {}
        for name, frame in frames.items():
            mine = [check for check in checks if check.frame == name]
            if mine:
                found |= self._found(name, frame, mine)
        self._roll_up(checks, found)

    def _found(self, name: str, frame: Any, checks: "list[Check]") -> "dict[int, Any]":
        for check in checks:
            # the way back from a result to its check: results come in any order
            check.expectation.meta = {"check": id(check), "statement": check.statement}
        result = self.context.run(f"{self.part} {name}", frame, [check.expectation for check in checks])
        self.results.append(result)
        return {entry.expectation_config.meta["check"]: entry for entry in result.results}

    def _roll_up(self, checks: "list[Check]", found: "dict[int, Any]") -> None:
        for statement in dict.fromkeys(check.statement for check in checks):
            behind = [(check, found[id(check)]) for check in checks if check.statement == statement]
            failed = [(check, result) for check, result in behind if not result.success]
            told = failed or behind
            gravest: Severity = max((_severity(result) for _, result in told), key=lambda severity: GRAVITY[severity])
            failed = [(check, result) for check, result in failed if _severity(result) == gravest]
            self.outcomes.append(
                Outcome(
                    name=statement,
                    part=self.part,
                    severity=gravest,
                    success=not failed,
                    expected=self.suite.expected(statement, self.part),
                    observed=_observed(failed or behind, success=not failed),
                    example=failed[0][0].tell(_offset(failed[0][1])) if failed else "",
                )
            )


def _severity(result: Any) -> Severity:
    return getattr(result.expectation_config.severity, "value", result.expectation_config.severity)


def _offset(result: Any) -> int:
    """The first failing row of the judged frame; 0 where the expectation is about the frame as a whole."""
    first = next(iter(result.result.get("partial_unexpected_index_list") or [0]))
    return int(first) if not isinstance(first, dict) else 0


def _observed(told: "list[tuple[Check, Any]]", *, success: bool) -> str:
    """What was found, at most ``SHOWN`` results in words."""
    if success:
        check, result = told[0]
        if check.subject:
            return f"all {len(told)} columns" if len(told) > 1 else f"column {check.subject}"
        judged = _judged(result)
        return f"all {judged:,} {check.noun or check.frame}" if judged is not None else _whole(check, result)
    texts = [_failure(check, result) for check, result in told[:SHOWN]]
    return "; ".join(texts) + (f"; and {len(told) - SHOWN} more columns" if len(told) > SHOWN else "")


def _judged(result: Any) -> int | None:
    """How many values were judged: the missing ones are not, except by the expectation that asks for them."""
    count = result.result.get("element_count")
    return None if count is None else int(count) - int(result.result.get("missing_count") or 0)


def _failure(check: "Check", result: Any) -> str:
    if (result.exception_info or {}).get("raised_exception"):
        return f"could not be judged: {result.exception_info.get('exception_message')}"
    if check.found is not None:
        return check.found()
    judged = _judged(result)
    if judged is None:
        return _whole(check, result)
    count = f"{result.result.get('unexpected_count', 0):,} of {judged:,}"
    return f"{check.subject}: {count} rows" if check.subject else f"{count} {check.noun or check.frame}"


def _whole(check: "Check", result: Any) -> str:
    """What was found where the expectation is about the frame as a whole."""
    if check.found is not None:
        return check.found()
    missing = (result.result.get("details") or {}).get("mismatched", {}).get("missing")
    if missing:
        return f"missing: {', '.join(missing)}"
    value = result.result.get("observed_value")
    if isinstance(value, list):
        return f"{len(value)} columns"
    return f"{value:,} {check.noun or ('rows' if check.frame == 'table' else check.frame)}"
