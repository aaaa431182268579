"""Python workers do not hold on to archives on their path, and import from them all the same."""

import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from zipimport import zipimporter

import pyarrow as pa
import pytest

from headrace.workers import forget_archives, map_in_arrow


def archives() -> list[str]:
    return [path for path, finder in sys.path_importer_cache.items() if isinstance(finder, zipimporter)]


def test_what_lies_in_an_archive_is_imported_after_it_was_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = tmp_path / "lib.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("first_in_archive.py", "value = 1")
        file.writestr("second_in_archive.py", "value = 2")
    monkeypatch.syspath_prepend(str(archive))
    import first_in_archive  # type: ignore[import-not-found]

    assert str(archive) in archives()
    forget_archives()
    assert archives() == []
    import second_in_archive  # type: ignore[import-not-found]

    assert (first_in_archive.value, second_in_archive.value) == (1, 2)


def test_a_task_begins_without_archives_in_the_cache_of_imports(spark):
    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield pa.record_batch({"held": [len(archives())]})

    held = map_in_arrow(spark.range(0, 4, 1, 4), count, "held bigint").collect()
    assert [row.held for row in held] == [0, 0, 0, 0]
