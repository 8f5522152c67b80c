import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describeError } from '../../lib/errors.ts'

/** A kernel setting that the datapath needs, and what became of it. */
export interface SysctlReport {
  /** `net.ipv4.ip_forward`. */
  readonly name: string
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
 * Sets what forwarding needs: routing between devices, no reverse-path filter on the uplink (replies of remote backends come in
 * where no route to their client points; of `all` and the device the stricter counts), no redirects, and node ports that no
 * local socket picks for itself. A setting that cannot be made is reported, and the others are made all the same.
 */
export function setSysctls(uplink: string, nodePorts: PortRange, root = '/proc/sys'): SysctlReport[] {
  return [
    set(root, 'net/ipv4/ip_forward', () => '1'),
    set(root, 'net/ipv4/conf/all/rp_filter', () => '0'),
    set(root, `net/ipv4/conf/${uplink}/rp_filter`, () => '0'),
    set(root, 'net/ipv4/conf/all/send_redirects', () => '0'),
    set(root, `net/ipv4/conf/${uplink}/send_redirects`, () => '0'),
    set(root, 'net/ipv4/ip_local_reserved_ports', (before) => addRange(before, nodePorts)),
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
