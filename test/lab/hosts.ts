import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { makeCgroup } from './cgroup.ts'
import { LabError } from './errors.ts'
import { clusterDir, hostDir, hostsFile, type LabPaths } from './paths.ts'
import { recall, record, type ProcessId } from './process.ts'
import { nameFlag, topologyOf } from './shape.ts'
import { allHosts, hostId, type HostSpec } from './topology.ts'

/**
 * A host of the lab is a holder: a sleeping process that owns a network, a mount and a UTS namespace.
 * When it dies, so do its devices, routes, mounts and bpffs: nothing of a host is ever visible in the machine's own namespaces.
 */

/** Where a host's processes live. Pods are inside their node's cgroup, so that the node's socket programs see them. */
export function cgroupOf(lab: LabPaths, host: HostSpec): string {
  return host.kind === 'pod' ? path.join(lab.cgroup, host.node, host.name) : path.join(lab.cgroup, host.name)
}

export const pidFile = (lab: LabPaths, host: HostSpec, what: string): string =>
  path.join(hostDir(lab, hostId(host)), `${what}.pid`)

export const logFile = (lab: LabPaths, host: HostSpec, what: string): string =>
  path.join(hostDir(lab, hostId(host)), `${what}.log`)

/** Where every node has its bpffs, in its own mount namespace. */
export const BPF_ROOT = '/sys/fs/bpf'

const JOIN_CGROUP = 'echo $$ >"$1/cgroup.procs" || exit 125; shift'

/**
 * What a holder does before it sleeps. Arguments: name, kind, its directory, hosts file, etcd directory (or empty).
 *
 * A node gets a /sys of its own: sysfs shows the devices of the namespace it was mounted in, and the bpffs on it is a
 * new, empty instance. Forwarding and reverse-path settings come before any device exists, so that they are inherited.
 */
const HOLDER = `
set -e
name=$1 kind=$2 dir=$3 hosts=$4 etcd=$5
hostname "$name"
set_ipv4() { echo "$2" >"/proc/sys/net/ipv4/$1"; }
for scope in all default; do
  set_ipv4 "conf/$scope/rp_filter" 0
  set_ipv4 "conf/$scope/send_redirects" 0
  if [ -d "/proc/sys/net/ipv6/conf/$scope" ]; then echo 1 >"/proc/sys/net/ipv6/conf/$scope/disable_ipv6"; fi
done
set_ipv4 ping_group_range "0 2147483647"
ip link set lo up
if [ "$kind" = node ]; then
  set_ipv4 ip_forward 1
  mkdir -p "$dir/sys"
  mount -t sysfs sysfs "$dir/sys"
  mount --rbind /sys/fs/cgroup "$dir/sys/fs/cgroup"
  mount -t bpf bpf "$dir/sys/fs/bpf"
  mount --move "$dir/sys" /sys
fi
if [ -n "$etcd" ]; then mount -t tmpfs -o mode=700 tmpfs "$etcd"; fi
if [ -e "$hosts" ] && [ -e /etc/hosts ]; then mount --bind "$hosts" /etc/hosts; fi
echo ready
exec -a "weft-lab $name" sleep infinity >/dev/null 2>&1
`

/** Starts a host's holder and waits until its namespaces are set up. */
export async function startHost(lab: LabPaths, host: HostSpec): Promise<ProcessId> {
  const dir = hostDir(lab, hostId(host))
  const cgroup = path.join(cgroupOf(lab, host), 'holder')
  mkdirSync(dir, { recursive: true })
  makeCgroup(cgroup)
  const cluster = 'cluster' in host ? host.cluster : undefined
  const hosts = cluster === undefined ? path.join(lab.state, 'hosts') : hostsFile(lab, cluster)
  const etcd =
    host.kind === 'node' && host.role === 'control-plane' ? path.join(clusterDir(lab, host.cluster), 'etcd') : ''
  if (etcd !== '') mkdirSync(etcd, { recursive: true })
  const script = `${JOIN_CGROUP}; exec unshare --net --mount --uts --propagation private -- bash -c "$0" holder "$@"`
  const log = logFile(lab, host, 'holder')
  const stderr = openSync(log, 'a')
  const child = spawn('bash', ['-c', script, HOLDER, cgroup, host.name, host.kind, dir, hosts, etcd], {
    stdio: ['ignore', 'pipe', stderr],
    detached: true,
    cwd: '/',
  })
  closeSync(stderr)
  const stdout = child.stdout
  if (stdout === null) throw new TypeError('a piped stdout is missing')
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    stdout.once('data', () => {
      resolve()
    })
    child.once('exit', (code) => {
      const said = readFileSync(log, 'utf8').trim().split('\n').slice(-3).join('; ')
      reject(
        new LabError('host-failed', `host ${host.name} could not be set up (status ${String(code)}): ${said}`, {
          hint: HINT,
        }),
      )
    })
  })
  child.removeAllListeners('exit')
  stdout.destroy()
  child.unref()
  return record(pidFile(lab, host, 'holder'), child.pid ?? 0)
}

const HINT = 'the lab needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN, and a kernel with bpffs and cgroup v2'

/** A running host's holder, undefined when it is not up. */
export function holderOf(lab: LabPaths, host: HostSpec): ProcessId | undefined {
  return recall(pidFile(lab, host, 'holder'))
}

export function holderOrFail(lab: LabPaths, host: HostSpec): ProcessId {
  const holder = holderOf(lab, host)
  if (holder !== undefined) return holder
  throw new LabError('not-up', `${host.name} is not running`, {
    hint: `start the lab first: test/lab/lab${nameFlag(lab)} up`,
  })
}

const ENTER = `${JOIN_CGROUP}; pid=$1; shift; exec nsenter -t "$pid" -n -m -u -- bash -c 'cd "$0" 2>/dev/null || cd /; exec "$@"' "$@"`

/**
 * The command line that runs `command` on a host: in its cgroup (below `group`), its namespaces, at `cwd` if that exists.
 * Every step is an exec, so the pid that is started is the pid of the command.
 */
export function onHost(lab: LabPaths, host: HostSpec, group: string, command: readonly string[], cwd = '/'): string[] {
  const holder = holderOrFail(lab, host)
  const cgroup = path.join(cgroupOf(lab, host), group)
  makeCgroup(cgroup)
  return ['bash', '-c', ENTER, 'lab', cgroup, String(holder.pid), cwd, ...command]
}

/**
 * Finds a host by the name a person types: a node, `client`, a pod, or CLUSTER/POD where two clusters have a pod of that
 * name. A bare name that two clusters have means the first cluster's; `others` then names the rest.
 */
export function findHost(lab: LabPaths, name: string): { host: HostSpec; others: string[] } {
  const [cluster, pod] = name.includes('/') ? name.split('/', 2) : [undefined, name]
  const hosts = allHosts(topologyOf(lab))
  const found = hosts.filter(
    (host) => host.name === pod && (cluster === undefined || (host.kind === 'pod' && host.cluster === cluster)),
  )
  const [host, ...rest] = found
  if (host === undefined) {
    const known = hosts.map((candidate) =>
      candidate.kind === 'pod' ? `${candidate.cluster}/${candidate.name}` : candidate.name,
    )
    throw new LabError('no-such-host', `no host ${JSON.stringify(name)} in the lab`, {
      hint: `one of: ${known.join(', ')}`,
    })
  }
  return { host, others: rest.map((other) => ('cluster' in other ? `${other.cluster}/${other.name}` : other.name)) }
}
