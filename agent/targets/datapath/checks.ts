import { accessSync, constants, statfsSync, statSync } from 'node:fs'
import { release } from 'node:os'
import path from 'node:path'
import type { Feature } from '../../../native/index.ts'
import type { Acceleration } from '../../types/device.ts'
import { WeftError } from '../../lib/errors.ts'
import { ifIndex, probeBpffs, probeKernel, probeLibbpf, probePrivileges } from '../../../native/index.ts'

const CGROUP2_MAGIC = 0x63677270

/** The machine or the configuration does not let the datapath run; nothing was changed. */
export class DatapathError extends WeftError {}

/** Files of `make bpf` that every agent loads; the one for XDP is loaded only if it is to be attached. */
export const OBJECTS = ['weft_sock', 'weft_netdev', 'weft_tools'] as const

export function objectsFor(acceleration: Acceleration = 'disabled'): readonly string[] {
  return acceleration === 'disabled' ? OBJECTS : [...OBJECTS, 'weft_xdp']
}

export function objectPath(objectsDir: string, object: string): string {
  return path.join(objectsDir, `${object}.o`)
}

/**
 * Everything that can be known to be wrong before anything is touched. Throws DatapathError: `not-privileged`,
 * `kernel-too-old`, `libbpf-missing`, `no-bpffs`, `no-cgroup2`, `object-missing`, `no-uplink`.
 */
export function checkMachine(
  options: {
    objectsDir: string
    bpfRoot: string
    cgroupRoot: string
    uplink: string
    acceleration?: Acceleration
  },
  kernel = release(),
): void {
  demand('not-privileged', 'this process may not load eBPF programs', probePrivileges())
  demand('kernel-too-old', 'the kernel is too old', probeKernel(kernel))
  demand('libbpf-missing', 'libbpf cannot be used', probeLibbpf())
  demand('no-bpffs', 'there is no bpffs to pin maps and programs in', probeBpffs(options.bpfRoot))
  demand('no-cgroup2', 'socket programs need a cgroup v2 directory', probeCgroup(options.cgroupRoot))
  for (const object of objectsFor(options.acceleration)) checkObject(objectPath(options.objectsDir, object))
  checkUplink(options.uplink)
}

function demand(code: string, what: string, feature: Feature): void {
  if (!feature.ok) throw new DatapathError(code, `${what}: ${feature.detail}`, { hint: feature.hint })
}

function probeCgroup(directory: string): Feature {
  const hint = 'mount cgroup2 (mount -t cgroup2 none DIR) and set cgroup-root to it, or to a directory below it'
  const type = statSync(directory, { throwIfNoEntry: false }) === undefined ? undefined : statfsSync(directory).type
  if (type === undefined) return { ok: false, detail: `${directory} does not exist`, hint }
  return { ok: type === CGROUP2_MAGIC, detail: `${directory} is not on a cgroup2 file system`, hint }
}

function checkObject(file: string): void {
  try {
    accessSync(file, constants.R_OK)
  } catch (cause) {
    throw new DatapathError('object-missing', `the eBPF object ${file} is missing or cannot be read`, {
      hint: 'build it with `make bpf` (needs clang and libbpf-dev), or set the objects directory',
      cause,
    })
  }
}

function checkUplink(device: string): void {
  try {
    ifIndex(device)
  } catch (cause) {
    throw new DatapathError('no-uplink', `the uplink ${device} does not exist in this network namespace`, {
      hint: 'set the uplink to the device that other nodes are reached through: `ip route` shows it',
      cause,
    })
  }
}
