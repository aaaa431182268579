"""Tests of the coverage report: page, text, terminal, browser."""
