"""The verdict as one HTML page a person likes to read; it needs nothing but itself."""

from html import escape

from vae_pipeline.validation.verdict import Outcome, Size, Verdict

__all__ = ["report"]

STYLE = """
:root { --ink: #1c2530; --soft: #64707d; --line: #e3e7ec; --paper: #f6f7f9;
  --good: #1a7f4b; --warn: #a15c00; --bad: #b3261e; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 48px; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 17px; margin: 32px 0 8px; }
p { margin: 4px 0; } .soft { color: var(--soft); } a { color: #1f5fbf; }
.verdict { background: #fff; border: 1px solid var(--line); border-left: 6px solid var(--tone); border-radius: 8px;
  padding: 20px 24px; }
.verdict strong { color: var(--tone); }
.good { --tone: var(--good); } .warning, .info { --tone: var(--warn); } .critical { --tone: var(--bad); }
table { width: 100%; border-collapse: collapse; background: #fff; border: 1px solid var(--line); border-radius: 8px; }
th, td { text-align: left; vertical-align: top; padding: 10px 14px; border-top: 1px solid var(--line); }
th { border-top: 0; color: var(--soft); font-weight: 600; font-size: 13px; white-space: nowrap; }
td:first-child { white-space: nowrap; } td.part { color: var(--soft); }
code { font: 13px ui-monospace, "DejaVu Sans Mono", monospace; }
.mark { display: inline-block; min-width: 74px; text-align: center; border-radius: 999px; padding: 1px 10px;
  font-size: 13px; font-weight: 600; color: var(--tone); border: 1px solid var(--tone); }
.example { overflow-wrap: anywhere; }
"""


def report(verdict: Verdict, title: str) -> str:
    """An HTML page: the verdict in a sentence, what fails (gravest first), what holds, and how much data there is.

    Links to ``train.html`` and ``test.html`` beside it.
    """
    order = ("critical", "warning", "info")
    failed = [outcome for severity in order for outcome in verdict.failed(severity)]
    held = [outcome for outcome in verdict.expectations if outcome.success]
    tone = failed[0].severity if failed else "good"
    sizes = "".join(
        f"<p class='soft'>{size.part}: {_held(size)} (<a href='{size.part}.html'>every expectation</a>)</p>"
        for size in verdict.sizes
    )
    body = (
        f"<div class='verdict {tone}'><h1>{escape(verdict.dataset)}</h1><p class='soft'>{escape(title)}</p>"
        f"<p><strong>{_sentence(verdict)}</strong></p>{sizes}</div>"
    )
    if failed:
        body += f"<h2>What fails</h2>{_failed_table(failed)}"
    if held:
        body += f"<h2>What holds</h2>{_held_table(held)}"
    if all(size.noun == "rows" for size in verdict.sizes):
        body += "<p class='soft'>Rows count from 1, in the order of the part's table.</p>"
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Validation of {escape(verdict.dataset)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _held(size: Size) -> str:
    """What a part holds: rows of units, or so many files."""
    rows = f"{size.rows:,} {size.noun}"
    return f"{rows}, {size.units:,} units, {size.columns} columns" if size.noun == "rows" else rows


def _sentence(verdict: Verdict) -> str:
    critical, warnings = len(verdict.failed("critical")), len(verdict.failed()) - len(verdict.failed("critical"))
    noted = f"{warnings} warning{'s' * (warnings != 1)}"
    if critical:
        return f"Not fit to use: {critical} critical failure{'s' * (critical != 1)}, {noted}."
    return f"Fit to use, with {noted}." if warnings else "Fit to use: every statement holds."


def _failed_table(outcomes: list[Outcome]) -> str:
    rows = "".join(
        f"<tr class='{o.severity}'><td><span class='mark'>{o.severity}</span></td><td class='part'>{o.part}</td>"
        f"<td><code>{escape(o.name)}</code><p class='soft'>{escape(o.expected)}</p></td>"
        f"<td>{escape(o.observed)}</td><td class='example'>{escape(o.example)}</td></tr>"
        for o in outcomes
    )
    head = "<tr><th>Severity</th><th>Part</th><th>Expected</th><th>Observed</th><th>First place</th></tr>"
    return f"<table>{head}{rows}</table>"


def _held_table(outcomes: list[Outcome]) -> str:
    """One row per statement: parts that share it stand together."""
    rows = ""
    for key in dict.fromkeys((o.name, o.expected) for o in outcomes):
        same = [o for o in outcomes if (o.name, o.expected) == key]
        parts = "<br>".join(o.part for o in same)
        observed = "<br>".join(escape(o.observed) for o in same)
        rows += (
            f"<tr class='good'><td><span class='mark'>holds</span></td><td class='part'>{parts}</td>"
            f"<td><code>{escape(key[0])}</code><p class='soft'>{escape(key[1])}</p></td><td>{observed}</td></tr>"
        )
    return f"<table><tr><th></th><th>Part</th><th>Expected</th><th>Observed</th></tr>{rows}</table>"
