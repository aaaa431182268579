#!/usr/bin/env bash
# A whole Airflow on this machine with the nights of a small simulated world. Called by `make airflow-demo`; Ctrl-C ends all of it.
# Everyone on this machine is its admin: it listens on 127.0.0.1 only, and is for looking at.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
whole() { case $1 in /*) echo "$1" ;; *) echo "$root/$1" ;; esac; } # absolute paths are taken as they are
folder=$(whole "${DEMO:-demo}")/airflow
bin=${HEADRACE_BIN:-$(whole "${VENV:-.venv}")/bin}
airflow_bin=$(whole "${VENV_AIRFLOW:-.venv-airflow}")/bin
master=${SPARK_MASTER:-local[*]}
days=6

fail() { printf 'airflow-demo: %s\n  found:  %s\n  wanted: %s\n  do:     %s\n' "$1" "$2" "$3" "$4" >&2; exit 2; }
say() { echo "airflow-demo: $*"; }

[ -x "$bin/headrace" ] || fail programs "no $bin/headrace" "Headrace in .venv" "make setup"
[ -x "$airflow_bin/airflow" ] || fail Airflow "no $airflow_bin/airflow" "Airflow in .venv-airflow" "make airflow"
mkdir -p "$folder/reports" "$folder/models"

free_port() { # the port asked for if it is free, else any
  "$airflow_bin/python" - "$1" <<'PY'
import socket, sys
for port in (int(sys.argv[1]), 0):
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(tried.getsockname()[1])
        break
PY
}

# The world ends yesterday, so that the nights of the calendar find it; it is made once.
if [ ! -f "$folder/first" ]; then
  first=$("$airflow_bin/python" -c "from datetime import *; print((datetime.now(UTC) - timedelta(days=$days)).date())")
  say "a simulated world of $days days from $first"
  "$bin/headrace" simulate --out "$folder/world" --days "$days" --impressions-per-day "${IMPRESSIONS:-500}" \
    --first-day "$first" --overwrite >"$folder/simulate.log" 2>&1 || { tail -5 "$folder/simulate.log" >&2; exit 1; }
  cat >"$folder/features.yaml" <<'YAML'
# Made by scripts/airflow_demo.sh: few features, so that a night is short.
tile: 1h
metrics:
  impression: {action: impression}
  click: {action: click, once: true}
defaults: {count: 0, sum: 0, rate: 0}
groups:
  user: {entity: user, windows: [1d, 3d], delay: 1h, refresh: 1h, tolerance: 1d, count: [impression, click]}
  item: {entity: item, windows: [1d, 3d], delay: 1h, refresh: 1h, tolerance: 1d, count: [impression], rate: [click]}
YAML
  cat >"$folder/demo.yaml" <<'YAML'
# Made by scripts/airflow_demo.sh; paths are relative to this file.
extends: local.yaml
landing: world/landing
root: tables
features: features.yaml
sampling: {negative_rate: 0.5, positive_rate: 1.0}
gates: {floors: [], ceilings: [], drift: [], rows: [{name: the day has rows, at_least: 1}]}
train: {days: 1, epochs: 1}
YAML
  echo "$first" >"$folder/first"
fi
first=$(cat "$folder/first")

port=$(free_port "${PORT:-8080}")
reports_port=$(free_port "${REPORTS_PORT:-8081}")
export PATH="$airflow_bin:$PATH"
export AIRFLOW_HOME="$folder/home" PYTHONUNBUFFERED=1
export AIRFLOW__CORE__DAGS_FOLDER="$root/dags" AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__PARALLELISM="${PARALLELISM:-2}" AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=True
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True
export AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT="$port" AIRFLOW__API__BASE_URL="http://127.0.0.1:$port"
export AIRFLOW__API__WORKERS=1
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://127.0.0.1:$port/execution/"
export AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT
AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=$(free_port 8793)
AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=$(free_port 8794)
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
AIRFLOW_CONN_SPARK_DEFAULT=$("$airflow_bin/python" -c 'import json, sys; print(json.dumps({"conn_type": "spark", "host": sys.argv[1]}))' "$master")
export AIRFLOW_CONN_SPARK_DEFAULT
export HEADRACE_HOME="$root" HEADRACE_BIN="$bin" HEADRACE_CONFIG="$folder/demo.yaml" HEADRACE_START="$first"
export HEADRACE_REPORTS="$folder/reports" HEADRACE_REPORTS_URL="http://127.0.0.1:$reports_port"
export HEADRACE_MODELS="$folder/models" HEADRACE_POLL_S="${HEADRACE_POLL_S:-30}" HEADRACE_SPARK_MEMORY="${HEADRACE_SPARK_MEMORY:-1g}"
mkdir -p "$AIRFLOW_HOME"

say "Airflow's database and pools"
echo '{"headrace_chain": {"slots": 1, "description": "steps that write shared tables", "include_deferred": false},
       "headrace_groups": {"slots": 2, "description": "one application a feature group", "include_deferred": false}}' >"$folder/pools.json"
{ airflow db migrate && airflow pools import "$folder/pools.json"; } >"$folder/database.log" 2>&1 || { tail -5 "$folder/database.log" >&2; exit 1; }

exec "$airflow_bin/python" "$root/scripts/airflow_demo.py" "$folder" "$port" "$reports_port"
