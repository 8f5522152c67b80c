#!/bin/bash
# Builds the Cilium programs that tests put on the other side of weft's etcd, once, into build/peers/<version>/.
#   build.sh [VERSION…]        all versions without an argument; e.g. cilium-1.18
# Prints one line per version on stdout: its directory, when it is there; or `skip: <reason>` where Go is missing.
# A build is kept under the hash of everything it was made from, so a second run costs a few milliseconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${WEFT_PEERS_DIR:-$here/../../build/peers}

if ! command -v go >/dev/null; then
  echo 'skip: no go in PATH; the Cilium programs to test against cannot be built'
  exit 0
fi

# Others work on this machine: few processors, lowest claim to them. Modules are taken as go.sum pins them, never updated.
export CGO_ENABLED=0 GOFLAGS='-mod=readonly -buildvcs=false' GOTOOLCHAIN=local GOWORK=off
jobs=${WEFT_PEERS_JOBS:-$(n=$(nproc); echo $((n < 2 ? n : 2)))}
export GOMAXPROCS=$jobs

key() {
  { go version; cat "$here/build.sh" "$here/$1"/go.{mod,sum}; find "$here/$1" -name '*.go' | sort | xargs -r cat; } | sha256sum | cut -d' ' -f1
}

# The release in go.mod is the version the programs say they are.
release() {
  awk '$1 == "github.com/cilium/cilium" { sub(/^v/, "", $2); print $2; exit }' "$here/$1/go.mod"
}

for version in ${@:-cilium-1.17 cilium-1.18}; do
  mkdir -p "$out"
  exec {lock}>"$out/.$version.lock"
  flock "$lock"
  wanted=$(key "$version")
  if [ "$(cat "$out/$version/.key" 2>/dev/null)" != "$wanted" ]; then
    started=$SECONDS
    rm -rf "$out/$version"
    mkdir -p "$out/$version"
    nice -n 15 go build -C "$here/$version" -p "$jobs" -trimpath -o "$(cd "$out/$version" && pwd)/" \
      -ldflags "-s -w -X github.com/cilium/cilium/pkg/version.ciliumVersion=$(release "$version")" \
      github.com/cilium/cilium/clustermesh-apiserver ./meshwatch
    echo "$wanted" >"$out/$version/.key"
    echo "built $version in $((SECONDS - started)) s" >&2
  fi
  exec {lock}>&-
  (cd "$out/$version" && pwd)
done
