"""One module per contender: `python -m benchmarks.contenders.<name> --in DIR --out DIR` prints one JSON line."""

__all__: list[str] = []
