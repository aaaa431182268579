"""Other engines on the same cases, each used as its documentation says.

A peer module is run as `PYTHON -m tests.conformance.peers.<name> --jobs FILE --out FILE` by a Python that has it.
"""
