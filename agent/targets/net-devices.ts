import { execFile } from 'node:child_process'
import type { NetDevice } from '../types/device.ts'
import type { IpRunner } from './iproute.ts'
import { parseAddress } from '../types/address.ts'
import { ipJson, runIp } from './iproute.ts'

/** A line of `ip -j -d addr`, as far as it matters here. */
interface Link {
  readonly ifindex?: number
  readonly ifname?: string
  readonly mtu?: number
  /** The device below, by its name. */
  readonly link?: string
  readonly linkinfo?: { readonly info_kind?: string }
  readonly addr_info?: readonly { readonly family?: string; readonly local?: string; readonly scope?: string }[]
}

/** Whether a device takes VLAN tags off the frames it receives. */
export type TagAsker = (device: string) => Promise<boolean>

/** By ethtool. Where that cannot be told they may be. */
export const takesTagsOff: TagAsker = (device) =>
  new Promise((resolve) => {
    execFile('ethtool', ['-k', device], (error, stdout) => {
      resolve(error !== null || !/^rx-vlan-offload: off/m.test(stdout))
    })
  })

/** The network devices of the process's namespace. Throws WeftError `iproute2-failed`. */
export async function readNetDevices(run: IpRunner = runIp, takesOff: TagAsker = takesTagsOff): Promise<NetDevice[]> {
  const [links, routes] = await Promise.all([
    ipJson<Link>(run, ['-d', 'addr', 'show']),
    ipJson<{ dev?: string; nexthops?: readonly { dev?: string }[] }>(run, ['-4', 'route', 'show', 'default']),
  ])
  const defaults = new Set(routes.flatMap(({ dev, nexthops }) => [dev, ...(nexthops ?? []).map((hop) => hop.dev)]))
  const parents = links.flatMap(({ link, linkinfo }) =>
    linkinfo?.info_kind === 'vlan' && link !== undefined ? [link] : [],
  )
  const asked = [...new Set(parents)].map(async (name) => ((await takesOff(name)) ? [name] : []))
  const hiding = new Set((await Promise.all(asked)).flat())
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
        hidesTags: hiding.has(ifname),
      },
    ]
  })
}
