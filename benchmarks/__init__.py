"""Our numbers beside the peers', on the same work, checked for equality before they are believed."""

__all__: list[str] = []
