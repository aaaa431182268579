"""Which parts of a configuration each job's result depends on, as hashes: a job is rebuilt only when what it uses changed."""

from headrace.config import Config

__all__ = ["PARTS", "config_hashes"]

PARTS: dict[str, tuple[str, ...]] = {
    "ingest": ("timezone", "start_ds", "ingest", "profiles"),
    "tiles": ("timezone", "features", "profiles"),
    "stats": ("timezone", "features", "profiles"),
    "state": ("timezone", "features", "profiles"),
    "labels": ("timezone", "labels", "profiles"),
    "sample": ("timezone", "labels", "sampling", "split"),
    "features": ("timezone", "country", "features", "profiles", "context"),
    "coverage": ("coverage", "features", "profiles", "context"),
    # Gates judge at the moment of publishing: new rules do not withdraw older days.
    "publish": ("features", "labels", "sampling", "split"),
}


def config_hashes(config: Config) -> dict[str, str]:
    """Hash of what each job depends on in a configuration."""
    return {job: config.digest_of(*parts) for job, parts in PARTS.items()}
