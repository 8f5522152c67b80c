import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describeError } from '../../lib/errors.ts'

/** A kernel setting that the datapath needs, and what became of it. */
export interface SysctlReport {
  /** `net.ipv4.ip_forward`. */
  readonly name: string
  /** What it should be; empty when no value would do. */
  readonly value: string
  /** What it was; undefined when it could not be read. */
  readonly before: string | undefined
  /** Why it could not be set; undefined when it holds. */
  readonly error: string | undefined
}

/** Inclusive range of ports. */
export interface PortRange {
  readonly first: number
  readonly last: number
}

/**
 * Sets what forwarding needs: routing between devices, no reverse-path filter on the uplinks (replies of remote backends come in
 * where no route to their client points; of `all` and the device the stricter counts), no redirects, and neither node ports nor
 * source ports of forwarded flows that a local socket picks for itself. A setting that cannot be made is reported, and the
 * others are made all the same.
 */
export function setSysctls(uplinks: readonly string[], nodePorts: PortRange, root = '/proc/sys'): SysctlReport[] {
  return [
    set(root, 'net/ipv4/ip_forward', () => '1'),
    set(root, 'net/ipv4/conf/all/rp_filter', () => '0'),
    set(root, 'net/ipv4/conf/all/send_redirects', () => '0'),
    ...uplinks.flatMap((uplink) => [
      set(root, `net/ipv4/conf/${uplink}/rp_filter`, () => '0'),
      set(root, `net/ipv4/conf/${uplink}/send_redirects`, () => '0'),
    ]),
    set(root, 'net/ipv4/ip_local_reserved_ports', (before) => addRange(before, nodePorts)),
    set(root, 'net/ipv4/ip_local_port_range', (before) => localPorts(before, nodePorts)),
  ]
}

function set(root: string, file: string, want: (before: string) => string): SysctlReport {
  const name = file.replaceAll('.', '/').split('/').join('.')
  const where = path.join(root, file)
  let before: string | undefined
  let value = ''
  try {
    before = readFileSync(where, 'utf8').trim()
    value = want(before)
    // Written only on change: in a container /proc/sys is often read-only and already right.
    if (value !== before) writeFileSync(where, value)
    return { name, value, before, error: undefined }
  } catch (error) {
    return { name, value, before, error: describeError(error) }
  }
}

/** As many as reach from 12000 to the usual node ports: how many connections a node can have open to one server. */
const LOCAL_PORTS = 18_000
/** Below are ports for privileged servers; the kernel refuses them too. */
const LOWEST_LOCAL_PORT = 1024
/** Fewer would run out before anybody thinks of this setting. */
const FEWEST_LOCAL_PORTS = 1000

/**
 * Where sockets of the node get their ports: `12000\t29999`, as the kernel writes it. Everything above the node ports is for
 * forwarded flows: with the same port towards the same backend, the answer of one would go to the other. A range that ends
 * before is kept; another one is moved below the node ports, with its first port if that lies lower than it must. Throws
 * RangeError where the node ports leave no room.
 */
export function localPorts(before: string, nodePorts: PortRange): string {
  const [low = Number.NaN, high = Number.NaN] = before.split(/\s+/).map(Number)
  if (high <= nodePorts.last) return before
  const first = Math.max(LOWEST_LOCAL_PORT, Math.min(low, nodePorts.first - LOCAL_PORTS))
  const last = nodePorts.first - 1
  if (last - first + 1 >= FEWEST_LOCAL_PORTS) return `${first}\t${last}`
  throw new RangeError(
    `no room for it between ${LOWEST_LOCAL_PORT} and the node ports (${nodePorts.first}-${nodePorts.last})`,
  )
}

/** A list of ports and ranges, `8080,30000-32767`, with one more range, merged and sorted. */
export function addRange(list: string, range: PortRange): string {
  const ranges = list
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const [first = 0, last = first] = part.split('-').map(Number)
      return { first, last }
    })
  const merged: { first: number; last: number }[] = []
  for (const { first, last } of [...ranges, range].sort((a, b) => a.first - b.first)) {
    const top = merged.at(-1)
    if (top !== undefined && first <= top.last + 1) top.last = Math.max(top.last, last)
    else merged.push({ first, last })
  }
  return merged.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',')
}
