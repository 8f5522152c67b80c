#!/bin/sh
# The weft command of a checkout: installed as build/bin/weft, next to what it runs.
exec node --enable-source-maps "$(dirname "$(readlink -f "$0")")/../js/agent/cli/weft.js" "$@"
