"""`headrace rebuild`: the day of a manifest, built again elsewhere, and every content hash compared."""

from datetime import date
from pathlib import Path

from rich.console import Console

from headrace import __version__
from headrace.errors import ConfigError, GateError
from headrace.manifest import differences, load_manifest, manifest_config, read_manifest
from headrace.receipts import latest_receipts
from headrace.run import run_chain

__all__ = ["rebuild_day"]


def rebuild_day(path: Path, *, landing: str, root: str, console: Console) -> None:
    """Run the chain for the manifest's day with its configuration, then compare manifests.

    Raises
    ------
    ConfigError
        The root holds something already.
    InputError
        The file is no manifest, or landing lacks days.
    GateError
        A content differs; the message names the first, in the order of the chain, and how many.
    """
    wanted = load_manifest(path)
    day = date.fromisoformat(wanted["ds"])
    places = {"root": root, "landing": landing}
    whole = {name: place if "://" in place else str(Path(place).absolute()) for name, place in places.items()}
    config = manifest_config(wanted, **whole)
    if latest_receipts(config):
        remedy = "name a folder that does not exist yet"
        raise ConfigError(f"--root {root}", found="tables of earlier builds", wanted="a new root", remedy=remedy)
    if wanted["headrace"] != __version__:
        console.print(f"[yellow]made by headrace {wanted['headrace']}; this is {__version__}[/]")
    run_chain(config, ds=day, days=1, rebuild=False, console=console)
    found = read_manifest(config, day)
    odd = differences(wanted, found)
    if odd:
        raise GateError(
            f"rebuild of {day}",
            found=f"{len(odd)} difference(s): {', '.join(odd[:5])}",
            wanted=f"the contents of manifest {wanted['hash'][:12]}",
            remedy="history.ingest names landing files that are not the same; with those equal, the code or a library changed",
        )
    same = (
        "and its hash is the same"
        if found["hash"] == wanted["hash"]
        else "though its configuration is written otherwise"
    )
    console.print(f"[bold green]rebuilt {day}[/]: every content hash is that of manifest {wanted['hash'][:12]}, {same}")
