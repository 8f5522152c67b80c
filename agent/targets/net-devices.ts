import type { NetDevice } from '../types/device.ts'
import type { IpRunner } from './iproute.ts'
import { WeftError } from '../lib/errors.ts'
import { parseAddress } from '../types/address.ts'
import { runIp } from './iproute.ts'

/** A line of `ip -j -d addr`, as far as it matters here. */
interface Link {
  readonly ifindex?: number
  readonly ifname?: string
  readonly mtu?: number
  readonly linkinfo?: { readonly info_kind?: string }
  readonly addr_info?: readonly { readonly family?: string; readonly local?: string; readonly scope?: string }[]
}

/** The network devices of the process's namespace. Throws WeftError `iproute2-failed`. */
export async function readNetDevices(run: IpRunner = runIp): Promise<NetDevice[]> {
  const [links, routes] = await Promise.all([
    list<Link>(run, ['-j', '-d', 'addr', 'show']),
    list<{ dev?: string; nexthops?: readonly { dev?: string }[] }>(run, ['-4', '-j', 'route', 'show', 'default']),
  ])
  const defaults = new Set(routes.flatMap(({ dev, nexthops }) => [dev, ...(nexthops ?? []).map((hop) => hop.dev)]))
  return links.flatMap(({ ifindex, ifname, mtu, linkinfo, addr_info }) => {
    if (ifindex === undefined || ifname === undefined) return []
    const addresses = (addr_info ?? [])
      .filter(({ family, scope }) => family === 'inet' && scope === 'global')
      .flatMap(({ local }) => parseAddress(local ?? '') ?? [])
    return [
      {
        ...{ name: ifname, index: ifindex, mtu: mtu ?? 0, addresses },
        kind: linkinfo?.info_kind,
        isDefault: defaults.has(ifname),
      },
    ]
  })
}

/** `ip -j` prints an empty object for what a filter left out. */
async function list<T>(run: IpRunner, args: readonly string[]): Promise<T[]> {
  const { ok, stdout, stderr } = await run(args)
  if (!ok) throw new WeftError('iproute2-failed', `ip ${args.join(' ')}: ${stderr.trim()}`)
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as T[])
}
