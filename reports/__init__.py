"""Coverage metrics and the pages that show them. Import the modules, not this package."""
