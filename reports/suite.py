"""The gates as a Great Expectations suite over a day's coverage: built from the rules, run, and kept in GE's own form.

Great Expectations is imported here and nowhere else, and its usage statistics are off: nothing leaves the machine.
"""

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from headrace.errors import ConfigError
from reports.gates import KEY, Limit

__all__ = ["run_suite"]

_RESULT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": [*KEY, "cell"],
    "return_unexpected_index_query": False,
}


def run_suite(frame: pd.DataFrame, limits: Sequence[Limit], *, ds: date, docs: Path | None = None) -> dict[str, Any]:
    """Validate the frame of `reports.gates.day_frame`.

    Parameters
    ----------
    limits : one expectation each: its metric lies between its bounds, over the rows that the rule is about
    docs : folder in which to write Great Expectations' Data Docs as well, in one of the day's own

    Returns
    -------
    ExpectationSuiteValidationResult as JSON, `results` in the order of `limits`, each with `unexpected_index_list`
    """
    named = frame.assign(**{f"rule_{number}": limit.rows for number, limit in enumerate(limits)})
    with _context(_day_folder(docs, ds)) as context:
        import great_expectations as gx

        suite = context.suites.add_or_update(gx.ExpectationSuite(name="coverage gates"))
        for number, limit in enumerate(limits):
            suite.add_expectation(_expectation(gx, limit, number))
        source = context.data_sources.add_or_update_pandas("headrace")
        batch = source.add_dataframe_asset("coverage").add_batch_definition_whole_dataframe(f"coverage of {ds}")
        definition = context.validation_definitions.add_or_update(
            gx.ValidationDefinition(name=f"coverage of {ds}", data=batch, suite=suite)
        )
        checkpoint = context.checkpoints.add_or_update(
            gx.Checkpoint(name="coverage gates", validation_definitions=[definition], result_format=_RESULT)
        )
        results = checkpoint.run(batch_parameters={"dataframe": named})
        if docs is not None:
            context.build_data_docs()
        return dict(next(iter(results.run_results.values())).to_json_dict())


def _expectation(gx: Any, limit: Limit, number: int) -> Any:
    return gx.expectations.ExpectColumnValuesToBeBetween(
        column=limit.metric,
        min_value=limit.low,
        max_value=limit.high,
        row_condition=f"rule_{number} == True",
        condition_parser="pandas",
        severity=limit.severity,
        meta={"rule": limit.rule},
    )


def _day_folder(docs: Path | None, ds: date) -> Path | None:
    """An empty folder of the day: what an earlier run left there would not fit.

    Raises
    ------
    ConfigError
        It cannot be made.
    """
    if docs is None:
        return None
    folder = docs / f"ds={ds}"
    try:
        shutil.rmtree(folder / "gx", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = str(error.strerror)
        raise ConfigError(str(docs), found=found, wanted="a folder to write to", remedy="change --docs") from None
    return folder


@contextmanager
def _context(docs: Path | None) -> Iterator[Any]:
    """A context in memory, or one in a folder that keeps Data Docs; silent, and without usage statistics."""
    before = os.environ.get("GX_ANALYTICS_ENABLED")
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    try:
        with warnings.catch_warnings(action="ignore"):  # of its own making
            yield _silent_context(docs)
    finally:
        if before is None:
            del os.environ["GX_ANALYTICS_ENABLED"]
        else:
            os.environ["GX_ANALYTICS_ENABLED"] = before


def _silent_context(docs: Path | None) -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    defaults = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)  # nothing is left on the disk
    plain = DataContextConfig(store_backend_defaults=defaults, analytics_enabled=False)
    context = gx.get_context(mode="file", project_root_dir=docs) if docs else gx.get_context(project_config=plain)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context
