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
 * The node's sides of its pods' veths: devices that a host route without a gateway leads to, whoever wired them. For
 * `Datapath.setPodDevices`. Throws WeftError `iproute2-failed`.
 */
export async function podDevices(uplink: string, run: IpRunner = runIp): Promise<string[]> {
  const { ok, stdout, stderr } = await run(['-4', '-j', 'route', 'show', 'table', 'main'])
  if (!ok) throw new WeftError('iproute2-failed', `ip -j route: ${stderr.trim()}`)
  const routes = stdout.trim() === '' ? [] : (JSON.parse(stdout) as HostRoute[])
  const devices = routes.flatMap(({ dst, gateway, dev }) =>
    /^[\d.]+$/.test(dst) && gateway === undefined && dev !== undefined && dev !== uplink && dev !== 'lo' ? [dev] : [],
  )
  return [...new Set(devices)].sort()
}
