"""The model report: one HTML file of how a model was trained, how it does, and what it reads. docs/model-report.md.

page: the file. view: what it says, from a checkpoint and its evaluations, still without a tag. axes, plots: drawings as numbers.
"""

from trainer.report.page import render_model_page, write_model_report

__all__ = ["render_model_page", "write_model_report"]
