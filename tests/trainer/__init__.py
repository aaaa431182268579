"""Tests of the trainer and of the calibration formulas; none of them needs Spark."""
