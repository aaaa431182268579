"""nightly: the whole chain of a day in one application, ingest to publish: one JVM start instead of seven."""

from headrace.job import main_nightly

if __name__ == "__main__":
    main_nightly()
