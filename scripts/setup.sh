#!/usr/bin/env bash
# Installs what a bare Debian 12 or Ubuntu 24.04 lacks to build, test and run weft: Debian packages, then npm packages.
# Does nothing, and needs no root, when everything is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'setup: %s\n' "$1" >&2
  printf '       %s\n' "${@:2}" >&2
  exit 1
}

# The first of these packages that apt can install; empty when it knows none of them.
# No `| grep -q` here: it ends early, the writer dies of SIGPIPE, and pipefail calls that a failure.
choose() {
  local package
  for package in "$@"; do
    if [[ $(apt-cache policy "$package" 2>/dev/null) =~ Candidate:\ [^\(] ]]; then
      echo "$package"
      return
    fi
  done
}

# What is there is judged by the commands and files themselves, however they were installed.
clang=
for version in 19 18; do
  if command -v "clang-$version" >/dev/null && command -v "llvm-strip-$version" >/dev/null; then clang=$version && break; fi
done

has_header() { [ -e /usr/include/bpf/bpf_helpers.h ]; }
has_libbpf() { compgen -G '/usr/lib/*/libbpf.so.1' >/dev/null || [[ $(ldconfig -p 2>/dev/null) == *libbpf.so.1* ]]; }
# Ubuntu's /usr/sbin/bpftool is a wrapper that may find nothing behind it.
has_bpftool() { bpftool version >/dev/null 2>&1 || compgen -G '/usr/lib/linux-tools*/*/bpftool' >/dev/null; }

missing=()
need_command() { command -v "$1" >/dev/null || missing+=("$2"); }

need_command etcd etcd-server
need_command etcdctl etcd-client
need_command ethtool ethtool
need_command ping iputils-ping
need_command ip iproute2
need_command curl curl
need_command jq jq
need_command cpio cpio
need_command nsenter util-linux
need_command tcpdump tcpdump
need_command nc netcat-openbsd
need_command openssl openssl
need_command xtables-legacy-multi iptables
need_command nft nftables
need_command gcc gcc
compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime)
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
need_command qemu-system-x86_64 qemu-system-x86
has_header || missing+=(libbpf-dev)
has_libbpf || missing+=(libbpf1)
[ -e /usr/include/linux/bpf.h ] || missing+=(linux-libc-dev)
[ -e "/usr/include/$(uname -m)-linux-gnu/asm/types.h" ] || [ -e /usr/include/asm/types.h ] || missing+=(linux-libc-dev)
has_bpftool || missing+=(bpftool)

if [ -z "$clang" ] || [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "missing: ${missing[*]} ${clang:+}${clang:-clang}" \
    'this machine has no apt: install these by hand (Debian 12 and Ubuntu 24.04 are set up by this script)'
  [ "$(id -u)" = 0 ] || fail "packages are missing (${missing[*]}${clang:+}${clang:- clang llvm}) and only root can install them" \
    'run: sudo make setup'
  export DEBIAN_FRONTEND=noninteractive
  echo "setup: apt-get update" >&2
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  apt-get update >"$log" 2>&1 || fail "apt-get update failed: $(grep -E '^(E|Err):?' "$log" | head -n 1)" \
    'check the network and /etc/apt/sources.list, then run make setup again'
  if [ -z "$clang" ]; then
    compiler=$(choose clang-19 clang-18)
    [ -n "$compiler" ] || fail 'apt knows neither clang-19 nor clang-18' \
      'on Ubuntu enable "universe" (add-apt-repository universe), then run make setup again'
    missing+=("$compiler" "llvm-${compiler#clang-}")
  fi
  packages=()
  for package in "${missing[@]}"; do
    if [ "$package" = bpftool ]; then package=$(choose bpftool linux-tools-generic); fi
    packages+=("$package")
  done
  echo "setup: apt-get install ${packages[*]}" >&2
  apt-get install -y --no-install-recommends "${packages[@]}" >"$log" 2>&1 || fail \
    "apt-get install failed: $(grep -E '^E:' "$log" | head -n 1)" "try by hand: apt-get install ${packages[*]}"
  # Debian starts an etcd of its own for the package: the lab runs etcd in its own namespaces and needs none.
  case " ${packages[*]} " in *' etcd-server '*)
    if [ -d /run/systemd/system ]; then systemctl disable --now etcd >/dev/null 2>&1 || true; fi ;;
  esac
fi

# By content: a fresh checkout is newer than the packages it agrees with.
wanted=$(sha256sum <package-lock.json)
if [ "$(cat node_modules/.installed 2>/dev/null)" != "$wanted" ]; then
  echo "setup: npm ci" >&2
  npm ci --no-audit --no-fund --loglevel=error >&2 || fail 'npm ci failed (see above)' 'check that the npm registry is reachable, then run make setup again'
  echo "$wanted" >node_modules/.installed
fi
