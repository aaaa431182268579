#!/usr/bin/env bash
# Makes .venv from requirements.lock and fetches Spark's Delta jars once. Called by `make setup`.
set -euo pipefail
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

fail() { printf 'setup: %s\n  found:  %s\n  wanted: %s\n  do:     %s\n' "$1" "$2" "$3" "$4" >&2; exit 2; }

command -v "$PYTHON" >/dev/null || fail Python "no $PYTHON" "Python 3.11 or later" "install it, or make setup PYTHON=/path/to/python3.11"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail Python "$("$PYTHON" --version 2>&1)" "Python 3.11 or later" "install it, or make setup PYTHON=/path/to/python3.11"
java_bin=${JAVA_HOME:+$JAVA_HOME/bin/}java
java_major=$("$java_bin" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1 || true)
case "$java_major" in
  17 | 21) ;;
  *) fail Java "${java_major:+version }${java_major:-none on PATH or JAVA_HOME}" "Java 17 or 21" \
    "install a JDK (Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk@17) and set JAVA_HOME if there are several" ;;
esac

echo "setup: virtual environment in $VENV"
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
echo "setup: installing the locked packages (a few GB with torch; minutes, once)"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.lock
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
echo "setup: fetching Spark's Delta jars (87 MB, once)"
"$VENV/bin/python" - <<'PY'
from headrace.config import load_config
from headrace.session import spark_session

spark_session(load_config().spark, app="headrace setup").stop()
PY
echo "setup: done"
