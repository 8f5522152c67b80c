import type { IpRunner } from './iproute.ts'
import { WeftError } from '../lib/errors.ts'
import { runIp } from './iproute.ts'

/** A line of `ip -j route`. A host route's `dst` is a bare address. */
interface HostRoute {
  readonly dst: string
  readonly gateway?: string
  readonly dev?: string
}

/**
 * The node's sides of its pods' veths, by pod address: devices that a host route without a gateway leads to, whoever wired
 * them. Throws WeftError `iproute2-failed`.
 */
export async function podDevices(uplink: string, run: IpRunner = runIp): Promise<ReadonlyMap<string, string>> {
  const { ok, stdout, stderr } = await run(['-4', '-j', 'route', 'show', 'table', 'main'])
  if (!ok) throw new WeftError('iproute2-failed', `ip -j route: ${stderr.trim()}`)
  const routes = stdout.trim() === '' ? [] : (JSON.parse(stdout) as HostRoute[])
  const devices = new Map<string, string>()
  for (const { dst, gateway, dev } of routes) {
    const isHost = /^[\d.]+$/.test(dst) && gateway === undefined
    if (isHost && dev !== undefined && dev !== uplink && dev !== 'lo') devices.set(dst, dev)
  }
  return devices
}
