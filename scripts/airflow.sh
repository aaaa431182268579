#!/usr/bin/env bash
# Makes .venv-airflow from requirements-airflow.lock: Airflow in an environment of its own. Called by `make airflow`.
# Headrace is put in without its dependencies: the DAGs need `headrace.airflow` and `headrace.steps`, and no Spark.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
VENV=${VENV_AIRFLOW:-.venv-airflow}

fail() { printf 'airflow: %s\n  found:  %s\n  wanted: %s\n  do:     %s\n' "$1" "$2" "$3" "$4" >&2; exit 2; }

stamp=$VENV/.ready-$(cat requirements-airflow.lock setup.py scripts/airflow.sh | cksum | cut -d' ' -f1)
if [ -f "$stamp" ]; then echo "airflow: $VENV is ready"; exit 0; fi
command -v "$PYTHON" >/dev/null || fail Python "no $PYTHON" "Python 3.11 to 3.14" "install it, or make airflow PYTHON=/path/to/python3.11"
"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' ||
  fail Python "$("$PYTHON" --version 2>&1)" "Python 3.11 to 3.14" "make airflow PYTHON=/path/to/python3.11"

echo "airflow: virtual environment in $VENV"
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
echo "airflow: installing the locked packages (700 MB; minutes, once)"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-airflow.lock
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
rm -f "$VENV"/.ready-*
touch "$stamp"
echo "airflow: done"
