#!/usr/bin/env bash
# A Chromium for the tests of the report page, from Debian's packages where that needs no questions; else they are skipped.
for name in chromium chromium-browser google-chrome; do command -v "$name" >/dev/null && exit 0; done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "browser: installing chromium for the tests of the report page"
  export DEBIAN_FRONTEND=noninteractive
  timeout 300 sh -c 'apt-get update -qq && apt-get install -y -qq chromium' >/dev/null 2>&1 && exit 0
fi
echo "browser: none found; the tests of the report page in a browser are skipped (Debian: apt-get install chromium)"
