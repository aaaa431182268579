"""Delta to tensors, encoders, models, calibration and metrics. Imports no Spark. Import the modules, not this package."""

__all__: list[str] = []
