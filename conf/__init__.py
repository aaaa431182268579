"""Configuration files that ship with the package; `headrace.config` reads them."""
