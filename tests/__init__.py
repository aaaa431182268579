"""Tests of Headrace."""
