import type { IpRunner } from './iproute.ts'
import { mainRoutes, runIp } from './iproute.ts'

/**
 * The node's sides of its pods' veths, by pod address: devices that a host route without a gateway leads to, whoever wired
 * them. Throws WeftError `iproute2-failed`.
 */
export async function podDevices(
  uplinks: readonly string[],
  run: IpRunner = runIp,
): Promise<ReadonlyMap<string, string>> {
  const devices = new Map<string, string>()
  for (const { dst, gateway, dev } of await mainRoutes(run)) {
    const isHost = /^[\d.]+$/.test(dst) && gateway === undefined
    if (isHost && dev !== undefined && !uplinks.includes(dev) && dev !== 'lo') devices.set(dst, dev)
  }
  return devices
}
