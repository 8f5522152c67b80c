#!/bin/bash
# Prints the directory of Cilium's eBPF sources, in the module that cilium-1.18/go.mod names and go.sum pins; or
# `skip: <reason>` where there is no Go, or no way to the module. Takes a second; the first time it downloads 33 MB.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if ! command -v go >/dev/null; then
  echo "skip: no go in PATH; Cilium's sources cannot be had"
  exit 0
fi
export GOFLAGS='-mod=readonly' GOTOOLCHAIN=local GOWORK=off
module=$(cd "$here/cilium-1.18" && go mod download -json github.com/cilium/cilium 2>/dev/null) || true
directory=$(sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p' <<<"$module")
if [ -d "$directory/bpf" ]; then
  echo "$directory/bpf"
else
  echo "skip: Cilium's sources could not be downloaded"
fi
