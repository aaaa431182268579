"""What the trainer may and may not import, and its public face."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import trainer


def _modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages(trainer.__path__, "trainer.")] + ["sampling.calibration"]


def test_trainer_and_calibration_import_no_spark() -> None:
    code = f"import sys, importlib\nfor m in {_modules()!r}: importlib.import_module(m)\n"
    code += (
        "sys.exit(sorted(m for m in sys.modules if m.split('.')[0] in ('pyspark', 'delta', 'py4j', 'schemas')) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_name_in_all_exists_and_is_documented() -> None:
    for name in _modules():
        module = importlib.import_module(name)
        for public in module.__all__:
            value = getattr(module, public)
            named = inspect.isclass(value) or inspect.isroutine(value)  # types by another name document themselves
            assert not named or value.__doc__, f"{name}.{public}"
