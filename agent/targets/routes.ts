import type { Failures, Target } from '../reconcile/target.ts'
import type { Address, Cidr } from '../types/address.ts'
import type { RouteEntry } from '../types/datapath.ts'
import type { IpRunner, KernelRoute } from './iproute.ts'
import { WeftError } from '../lib/errors.ts'
import { cidrContains, formatAddress, formatCidr, parseAddress, parseCidr } from '../types/address.ts'
import { ipBatch, mainRoutes, runIp } from './iproute.ts'

/**
 * Direct routes to other nodes' pods: `PREFIX via GATEWAY dev UPLINK proto kernel` in the main table.
 *
 * Ours are exactly the routes of protocol `kernel` that have a gateway and leave by the uplink. The kernel makes none of
 * those itself (its own lead to attached networks), and daemons that clean up routes of unknown protocols leave them alone.
 * A route that somebody else made for one of our prefixes is never replaced.
 */
export class RouteTarget implements Target<RouteEntry> {
  readonly name = 'routes'
  readonly #uplink: string
  readonly #run: IpRunner

  constructor(uplink: string, run: IpRunner = runIp) {
    this.#uplink = uplink
    this.#run = run
  }

  async load(): Promise<ReadonlyMap<string, RouteEntry>> {
    return new Map(
      (await mainRoutes(this.#run)).flatMap((route) => {
        const entry = this.#ours(route)
        return entry === undefined ? [] : [[formatCidr(entry.prefix), entry] as const]
      }),
    )
  }

  async set(batch: readonly (readonly [key: string, value: RouteEntry])[]): Promise<Failures> {
    const table = await mainRoutes(this.#run)
    const attached = table.flatMap((route) => {
      const prefix = route.dev === this.#uplink && route.gateway === undefined ? prefixOf(route) : undefined
      return prefix === undefined ? [] : [prefix]
    })
    const foreign = new Map(
      table
        .filter((route) => this.#ours(route) === undefined && (route.metric ?? 0) === 0)
        .map((route) => [keyOf(route), route]),
    )
    const failures = new Map<string, Error>()
    const wanted: { key: string; line: string }[] = []
    for (const [key, { prefix, via }] of batch) {
      const other = foreign.get(formatCidr(prefix))
      if (other !== undefined) failures.set(key, taken(prefix, other))
      else if (!attached.some((network) => cidrContains(network, via))) failures.set(key, this.#offLink(prefix, via))
      else
        wanted.push({
          key,
          line: `route replace ${formatCidr(prefix)} via ${formatAddress(via)} dev ${this.#uplink} proto kernel`,
        })
    }
    for (const [index, said] of await ipBatch(
      this.#run,
      wanted.map(({ line }) => line),
    )) {
      const { key, line } = wanted[index]!
      failures.set(key, new WeftError('route-refused', `ip ${line}: ${said}`))
    }
    return failures
  }

  async delete(keys: readonly string[]): Promise<Failures> {
    const present = await this.load()
    const lines = keys
      .filter((key) => present.has(key))
      .map((key) => {
        return {
          key,
          line: `route del ${key} via ${formatAddress(present.get(key)!.via)} dev ${this.#uplink} proto kernel`,
        }
      })
    const failures = new Map<string, Error>()
    for (const [index, said] of await ipBatch(
      this.#run,
      lines.map(({ line }) => line),
    )) {
      // Gone in between, by somebody else or with the device.
      if (said.includes('No such process')) continue
      failures.set(lines[index]!.key, new WeftError('route-refused', `ip ${lines[index]!.line}: ${said}`))
    }
    return failures
  }

  equals(a: RouteEntry, b: RouteEntry): boolean {
    return a.via === b.via
  }

  #ours(route: KernelRoute): RouteEntry | undefined {
    const prefix = prefixOf(route)
    const via = route.gateway === undefined ? undefined : parseAddress(route.gateway)
    const ours = route.protocol === 'kernel' && route.dev === this.#uplink
    return ours && prefix !== undefined && via !== undefined ? { prefix, via } : undefined
  }

  #offLink(prefix: Cidr, via: Address): WeftError {
    return new WeftError(
      'gateway-not-on-link',
      `no direct route to ${formatCidr(prefix)}: ${formatAddress(via)} is in no network attached to ${this.#uplink}`,
      {
        hint: 'direct routing needs all nodes on one segment: set the uplink to the device of that segment, or route pod networks outside weft',
      },
    )
  }
}

function prefixOf(route: KernelRoute): Cidr | undefined {
  return parseCidr(route.dst === 'default' ? '0.0.0.0/0' : route.dst)
}

function keyOf(route: KernelRoute): string {
  const prefix = prefixOf(route)
  return prefix === undefined ? route.dst : formatCidr(prefix)
}

function taken(prefix: Cidr, other: KernelRoute): WeftError {
  const where = other.gateway === undefined ? `dev ${other.dev ?? '?'}` : `via ${other.gateway} dev ${other.dev ?? '?'}`
  return new WeftError(
    'route-taken',
    `${formatCidr(prefix)} is already routed ${where} (proto ${other.protocol ?? 'boot'})`,
    {
      hint: `remove that route if weft is to route to those pods: ip route del ${formatCidr(prefix)} ${where}`,
    },
  )
}
