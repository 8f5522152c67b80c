import { networkInterfaces } from 'node:os'
import type { Address } from '../types/address.ts'
import { ConfigError } from '../lib/errors.ts'
import { ipJson, runIp } from '../targets/iproute.ts'
import { parseAddress } from '../types/address.ts'

/** Where this node stands in the network. */
export interface NodePlace {
  readonly address: Address
  /** Device towards other nodes and clients. */
  readonly uplink: string
}

/**
 * What the configuration leaves open: the uplink is the device that has the node's address, else the one of the default
 * route; the node's address is the first one of the uplink.
 *
 * @throws ConfigError when the machine does not answer the question, WeftError `iproute2-missing` when it cannot be asked
 */
export async function findNodePlace(configured: {
  nodeIp: string | undefined
  uplink: string | undefined
}): Promise<NodePlace> {
  const uplink = configured.uplink ?? deviceOf(configured.nodeIp) ?? (await defaultRouteDevice())
  if (uplink === undefined) {
    throw new ConfigError('uplink-unknown', 'no device has the node address and there is no default route', {
      hint: 'name the device towards the other nodes with --uplink',
    })
  }
  const text = configured.nodeIp ?? ipv4Of(uplink)
  const address = text === undefined ? undefined : parseAddress(text)
  if (address === undefined) {
    throw new ConfigError('node-address-unknown', `device ${uplink} has no IPv4 address (is it up?)`, {
      hint: 'give the device an address, or name the node address with --node-ip',
    })
  }
  return { address, uplink }
}

function deviceOf(address: string | undefined): string | undefined {
  if (address === undefined) return undefined
  return Object.entries(networkInterfaces()).find(([, found]) => found?.some((each) => each.address === address))?.[0]
}

function ipv4Of(device: string): string | undefined {
  return networkInterfaces()[device]?.find((each) => each.family === 'IPv4')?.address
}

async function defaultRouteDevice(): Promise<string | undefined> {
  const routes = await ipJson<{ readonly dev?: string }>(runIp, ['-4', 'route', 'show', 'default'])
  return routes.find((route) => route.dev !== undefined)?.dev
}
