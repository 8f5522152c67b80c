#!/bin/sh
# The weft command of a checkout: installed as build/bin/weft.
exec node --enable-source-maps "$(dirname "$(readlink -f "$0")")/../../@ENTRY@" "$@"
