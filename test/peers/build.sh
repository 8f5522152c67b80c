#!/bin/bash
# Builds the programs of others that tests and benchmarks put beside weft, once, into build/peers/<version>/: Cilium's, on
# the other side of weft's etcd, and Kubernetes' API server and kube-proxy.
#   build.sh [VERSION…]        e.g. cilium-1.18 or kubernetes-1.34; without an argument what `make test` needs: Cilium's
# Prints one line per version on stdout: its directory, when it is there; or `skip: <reason>` where Go is missing.
# A build is kept under the hash of everything it was made from, so a second run costs a few milliseconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${WEFT_PEERS_DIR:-$here/../../build/peers}

if ! command -v go >/dev/null; then
  echo 'skip: no go in PATH; the programs to test against cannot be built'
  exit 0
fi

# Others work on this machine: few processors, lowest claim to them. Modules are taken as go.sum pins them, never updated.
export CGO_ENABLED=0 GOFLAGS='-mod=readonly -buildvcs=false' GOTOOLCHAIN=local GOWORK=off
jobs=${WEFT_PEERS_JOBS:-$(n=$(nproc); echo $((n < 2 ? n : 2)))}
export GOMAXPROCS=$jobs

key() {
  { go version; cat "$here/build.sh" "$here/$1"/go.{mod,sum}; find "$here/$1" -name '*.go' | sort | xargs -r cat; } | sha256sum | cut -d' ' -f1
}

# The release in go.mod is the version the programs say they are: an unstamped one says v0.0.0, which others cannot parse.
release() {
  awk -v module="$2" '$1 == module { print $2; exit }' "$here/$1/go.mod"
}

# What to build and how to stamp it: sets `packages` and `stamp`.
recipe() {
  case $1 in
    cilium-*)
      local cilium
      cilium=$(release "$1" github.com/cilium/cilium)
      packages=(github.com/cilium/cilium/clustermesh-apiserver ./meshwatch)
      stamp="-X github.com/cilium/cilium/pkg/version.ciliumVersion=${cilium#v}"
      ;;
    kubernetes-*)
      local kubernetes major minor
      kubernetes=$(release "$1" k8s.io/kubernetes)
      IFS=. read -r major minor _ <<<"${kubernetes#v}"
      packages=(./kube-apiserver ./kube-proxy)
      stamp="-X k8s.io/component-base/version.gitVersion=$kubernetes"
      stamp+=" -X k8s.io/component-base/version.gitMajor=$major -X k8s.io/component-base/version.gitMinor=$minor"
      ;;
    *)
      echo "no such version: $1" >&2
      return 2
      ;;
  esac
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
    recipe "$version"
    nice -n 15 go build -C "$here/$version" -p "$jobs" -trimpath -o "$(cd "$out/$version" && pwd)/" \
      -ldflags "-s -w $stamp" "${packages[@]}"
    echo "$wanted" >"$out/$version/.key"
    echo "built $version in $((SECONDS - started)) s" >&2
  fi
  exec {lock}>&-
  (cd "$out/$version" && pwd)
done
