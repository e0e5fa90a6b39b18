"""Great Expectations, imported late, without telemetry and without progress bars."""

import os
from dataclasses import dataclass, field
from html import escape
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["Context", "expectations", "joined", "page"]


def _great_expectations() -> ModuleType:
    # read at import time, so it is set before
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    return great_expectations


def expectations() -> Any:
    """The module ``great_expectations.expectations``."""
    _great_expectations()
    import great_expectations.expectations

    return great_expectations.expectations


def _ephemeral() -> Any:
    gx = _great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context


@dataclass(frozen=True)
class Context:
    """Judges data frames; nothing of it is kept on disk."""

    context: Any = field(default_factory=_ephemeral)

    def run(self, name: str, frame: Any, expected: list[Any]) -> Any:
        """The validation result (``ExpectationSuiteValidationResult``) of a pandas frame."""
        gx = _great_expectations()
        batch = (
            self.context.data_sources.add_pandas(name)
            .add_dataframe_asset(name)
            .add_batch_definition_whole_dataframe(name)
        )
        suite = self.context.suites.add(gx.ExpectationSuite(name, expectations=expected))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        return definition.run(batch_parameters={"dataframe": frame}, result_format="SUMMARY")


def page(result: Any) -> str:
    """Great Expectations' own HTML page of a validation result."""
    _great_expectations()
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    return DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))


def joined(name: str, results: list[Any]) -> Any:
    """The results of several frames as one, for one page."""
    _great_expectations()
    from great_expectations.core import ExpectationSuiteValidationResult

    every = [result for part in results for result in part.results]
    for result in every:
        # the page cannot print numpy's numbers
        if isinstance(result.result.get("observed_value"), np.generic):
            result.result["observed_value"] = result.result["observed_value"].item()
        # nor does it escape what it found
        result.result = _escaped(result.result)
    held = sum(bool(result.success) for result in every)
    return ExpectationSuiteValidationResult(
        success=held == len(every),
        results=every,
        suite_name=name,
        statistics={
            "evaluated_expectations": len(every),
            "successful_expectations": held,
            "unsuccessful_expectations": len(every) - held,
            "success_percent": 100.0 * held / max(len(every), 1),
        },
        meta=dict(results[0].meta),
    )


def _escaped(found: Any) -> Any:
    """The same with every text in it fit for HTML."""
    if isinstance(found, str):
        return escape(found)
    if isinstance(found, list):
        return [_escaped(one) for one in found]
    if isinstance(found, dict):
        return {key: _escaped(one) for key, one in found.items()}
    return found
