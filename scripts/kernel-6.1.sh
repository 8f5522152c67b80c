#!/usr/bin/env bash
# Every eBPF object, every packet table and a real agent with real sockets on Linux 6.1, the oldest kernel we test: Debian's
# own, unpacked into build/ and booted once in QEMU without hardware help, with this machine's root directory read-only as its
# own. Needs no root. Most of its time is the verifier's, on two processors. KERNEL_RUN says which part
# (--tables, --agent), KERNEL_RUN_SECONDS how long it may take.
# Exit status: that of the run; 0 with a line that says SKIP where there is no such kernel to be had.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/build/kernel
limit=${KERNEL_RUN_SECONDS:-1500}

skip() {
  echo "SKIP kernel 6.1: $1"
  exit 0
}

fail() {
  echo "kernel-6.1: $1" >&2
  exit 1
}

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || skip "only on Debian or Ubuntu for amd64, whose package is used"
for tool in qemu-system-x86_64 gcc cpio node; do
  command -v "$tool" >/dev/null || fail "$tool is missing: run scripts/setup.sh"
done
[ -e "$root/build/js/test/bpf/main.js" ] || fail "build/js is missing: run make build"

# The newest 6.1 that the package lists know, signed or not, for real machines.
package=$(apt-cache search --names-only '^linux-image-6\.1\..*-amd64$' | awk '{print $1}' |
  grep -Ev -- '-(cloud|rt)-amd64$|-dbg$|-unsigned$' | sort -V | tail -n 1 || true)
[ -n "$package" ] || skip "apt knows no linux-image-6.1 (WANTED: Debian 12)"
version=${package#linux-image-}
tree=$cache/$version

if [ ! -e "$tree/.unpacked" ]; then
  echo "fetching $package"
  mkdir -p "$tree"
  (cd "$tree" && apt-get download -qq "$package" 2>&1 | grep -v unsandboxed || true)
  deb=$(compgen -G "$tree/$package"_*.deb) || fail "$package could not be downloaded"
  dpkg -x "$deb" "$tree"
  rm "$deb"
  touch "$tree/.unpacked"
fi

# Cilium's programs as DSR's other end, where they could be compiled.
arguments="${KERNEL_RUN:---tables --agent} --clsact --vlan"
if [ -e "$root/build/vm/cilium_node.o" ]; then
  arguments+=' --geneve'
else
  echo 'SKIP DSR with a Cilium node: build/vm/cilium_node.o was not built (make test-kernel-6.1 does, with Go)'
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -static -O2 -Wall -Werror -o "$work/init" "$root/test/bpf/vm/init.c"

# What it takes to reach the host's files, then what the tables need: in loading order, so that no module tools are needed
# here or there. One that is not a file is built in.
: >"$work/modules"
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci 9pnet 9pnet_virtio netfs fscache 9p \
  veth sch_ingress cls_bpf llc stp garp mrp 8021q udp_tunnel ip6_udp_tunnel geneve; do
  path=$(find "$tree/lib/modules" -name "$module.ko" -print -quit)
  [ -n "$path" ] || continue
  cp "$path" "$work/"
  echo "/$module.ko" >>"$work/modules"
done

cat >"$work/command" <<GUEST
# A work tree below /tmp or /run is hidden by the machine's own.
mkdir -p "$root"
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose tree "$root"
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$(command -v node)" --enable-source-maps "$root/build/js/test/bpf/main.js" $arguments
GUEST
(cd "$work" && find . -type f | cpio --quiet -o -H newc | gzip -1) >"$work.cpio.gz"
trap 'rm -rf "$work" "$work.cpio.gz"' EXIT

# An emulated processor repeats string instructions byte by byte: the kernel and the C library copy faster without them. What
# guards real machines against their neighbours costs emulated ones, and changes nothing about what the verifier accepts.
boot='clearcpuid=rep_good,erms,fsrm mitigations=off init_on_alloc=0'

log=$work/console
timeout --foreground "$limit" qemu-system-x86_64 \
  -accel tcg,thread=multi -cpu max,-erms -smp 2 -m 2048 -nographic -no-reboot -nodefaults -serial stdio -monitor none \
  -kernel "$tree/boot/vmlinuz-$version" -initrd "$work.cpio.gz" -append "console=ttyS0 quiet panic=-1 $boot" \
  -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
  -device virtio-9p-pci,fsdev=root,mount_tag=root \
  -fsdev local,id=tree,path="$root",security_model=none,readonly=on,multidevs=remap \
  -device virtio-9p-pci,fsdev=tree,mount_tag=tree </dev/null | sed -u 's/\r//g' | tee "$log" | grep --line-buffered -v '^kernel-run-exit:' ||
  true

status=$(sed -n 's/^kernel-run-exit:\([0-9]*\)$/\1/p' "$log")
[ -n "$status" ] || fail "the machine did not come to an end within $limit s, or died; its console is above"
exit "$status"
