import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Btf, RodataValue } from '../../../native/index.ts'
import type { Acceleration } from '../../types/device.ts'
import type { PortRange } from './sysctl.ts'
import { BpfError, BpfObject, netnsCookie, parseBtf, probeKernel } from '../../../native/index.ts'
import { DatapathError, objectPath, objectsFor } from './checks.ts'

/** What decides about what is in the kernel of a node's programs and maps. */
export interface ObjectOptions {
  /** Where `make bpf` puts its objects. */
  readonly objectsDir: string
  readonly acceleration?: Acceleration
  /** XDP may send a frame back by the device it came by; not where one of the devices is a veth. */
  readonly xdpTx?: boolean
  readonly nodePorts: PortRange
  /** Entries of maps by name, in place of the object's own. A pinned map of another size is refused. */
  readonly mapSizes?: Readonly<Record<string, number>>
  /** Values of `cfg_*` variables, for every object that has them. Node ports, the network namespace's cookie and kernel features are filled in. */
  readonly rodata?: Readonly<Record<string, RodataValue>>
}

/** A setting that nobody reads would be a silent mistake. */
export function checkSettings(options: ObjectOptions): void {
  const known = objectsFor(options.acceleration).flatMap((name) => {
    const btf = typesOf(objectPath(options.objectsDir, name))
    return [...btf.variables('.rodata').keys(), ...btf.maps().keys()]
  })
  for (const name of [...Object.keys(options.rodata ?? {}), ...Object.keys(options.mapSizes ?? {})]) {
    if (known.includes(name)) continue
    throw new DatapathError('unknown-setting', `no eBPF object has a variable or map ${name}`, {
      hint: 'program and objects are of different versions: run `make bpf`',
    })
  }
}

function typesOf(file: string): Btf {
  return parseBtf(readFileSync(file), file)
}

/**
 * Loads one object; its maps are found or made under `pinRoot`. The verifier works aside: this thread goes on meanwhile.
 * Throws DatapathError `map-layout`, `program-refused`.
 */
export async function loadObject(name: string, options: ObjectOptions, pinRoot: string): Promise<BpfObject> {
  const file = objectPath(options.objectsDir, name)
  const btf = typesOf(file)
  const wanted = { ...features(options), ...options.rodata }
  try {
    const object = BpfObject.open(file, {
      name,
      pinRoot,
      rodata: pick(wanted, btf.variables('.rodata')),
      maxEntries: pick(options.mapSizes ?? {}, btf.maps()),
    })
    return await object.loadAside()
  } catch (error) {
    throw explain(error, pinRoot)
  }
}

function features(options: ObjectOptions): Record<string, RodataValue> {
  return {
    cfg_nodeport_min: options.nodePorts.first,
    cfg_nodeport_max: options.nodePorts.last,
    cfg_host_netns_cookie: netnsCookie(),
    cfg_xdp: (options.acceleration ?? 'disabled') !== 'disabled',
    cfg_xdp_tx: options.xdpTx ?? true,
    cfg_set_retval: probeKernel(undefined, '6.1').ok,
  }
}

function pick<V>(values: Readonly<Record<string, V>>, known: ReadonlyMap<string, unknown>): Record<string, V> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => known.has(name)))
}

function explain(error: unknown, pinRoot: string): unknown {
  if (!(error instanceof BpfError)) return error
  if (error.code === 'BPF_LAYOUT') {
    return new DatapathError('map-layout', `the pinned map ${path.join(pinRoot, error.subject ?? '')} cannot be used`, {
      hint: 'configure the sizes it was made with, or run `weft agent --cleanup` to start empty (this interrupts traffic)',
      cause: error,
    })
  }
  if (error.verifierLog !== undefined) {
    return new DatapathError('program-refused', `the kernel refuses the program ${error.subject ?? ''}`, {
      hint: 'report this with the kernel version and the log above; an older object may work',
      cause: error,
    })
  }
  return error
}
