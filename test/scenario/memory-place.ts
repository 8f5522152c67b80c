import { isDeepStrictEqual } from 'node:util'
import type { BackendRow, IpcacheRow, ServiceRow } from '../../agent/cli/bpf/format.ts'
import type { EndpointEntry, IpcacheEntry, RouteEntry } from '../../agent/types/datapath.ts'
import type { Frontend, SlotBackend } from '../../agent/types/frontend.ts'
import type { CaseConfig } from './format.ts'
import type { OpenTargets, Place } from './place.ts'
import { hostPort, protocolOrAny } from '../../agent/cli/bpf/format.ts'
import { ipcacheRow } from '../../agent/cli/bpf/read-ipcache.ts'
import { serviceFlags } from '../../agent/cli/bpf/service-flags.ts'
import { WeftError } from '../../agent/lib/errors.ts'
import { sameFrontend } from '../../agent/targets/lb/record.ts'
import { formatAddress } from '../../agent/types/address.ts'
import { compareFrontends } from '../../agent/api/services.ts'
import { MemoryTarget } from '../compliance/memory-target.ts'

/** Entries in memory that show what the same entries in maps would: for machines where nobody is root. */
export class MemoryPlace implements Place {
  readonly #lb = new Map<string, Frontend>()
  readonly #endpoints = new Map<string, EndpointEntry>()
  readonly #ipcache = new Map<string, IpcacheEntry>()
  readonly #routes = new Map<string, RouteEntry>()
  readonly #room: number

  constructor(sizes: CaseConfig['mapSizes']) {
    this.#room = sizes.services ?? Infinity
  }

  async open(): Promise<OpenTargets> {
    const lb = new MemoryTarget(this.#lb, sameFrontend)
    lb.failKey = (verb, key) =>
      verb === 'set' && !this.#lb.has(key) && this.#lb.size >= this.#room
        ? new WeftError('map-full', 'no room', { hint: 'remove services' })
        : undefined
    return {
      found: new Map(this.#lb),
      targets: {
        lb,
        endpoints: new MemoryTarget(this.#endpoints, isDeepStrictEqual),
        ipcache: new MemoryTarget(this.#ipcache, isDeepStrictEqual),
        routes: new MemoryTarget(this.#routes, isDeepStrictEqual),
      },
      idOf: () => undefined,
      close: () => undefined,
    }
  }

  services(): ServiceRow[] {
    return [...this.#lb.values()].sort(compareFrontends).map((frontend) => ({
      id: 0,
      address: frontend.id,
      flags: serviceFlags(frontend.flags),
      algorithm: frontend.algorithm,
      forwarding: 'snat',
      affinitySeconds: frontend.affinitySeconds,
      maglevSize: frontend.group.count === 0 ? 0 : frontend.maglevSize,
      slots: frontend.group.slots.map((slot, i) => ({
        backendId: 0,
        address: addressOf(slot),
        quarantined: i >= frontend.group.count,
      })),
    }))
  }

  backends(): BackendRow[] {
    const rows = new Map<string, BackendRow>()
    for (const slot of [...this.#lb.values()].flatMap(({ group }) => group.slots)) {
      rows.set(addressOf(slot), {
        id: 0,
        address: addressOf(slot),
        protocol: protocolOrAny(slot.protocol),
        ip: formatAddress(slot.address),
        state: slot.state,
        clusterId: slot.clusterId,
        zone: 0,
      })
    }
    return [...rows.values()]
  }

  ipcache(): IpcacheRow[] {
    const entries = [...this.#ipcache.values()]
    entries.sort((a, b) => a.prefix.address - b.prefix.address || b.prefix.bits - a.prefix.bits)
    return entries.map(({ prefix, ...value }) => ipcacheRow(prefix, value))
  }

  routes(): ReadonlyMap<string, RouteEntry> {
    return this.#routes
  }

  tamper(kind: 'services' | 'ipcache' | 'endpoints', keys: readonly string[]): void {
    const entries = { services: this.#lb, ipcache: this.#ipcache, endpoints: this.#endpoints }[kind]
    for (const key of keys) if (!entries.delete(key)) throw new Error(`${key} is not in ${kind}`)
  }

  close(): void {
    this.#lb.clear()
  }
}

function addressOf(slot: SlotBackend): string {
  return hostPort(formatAddress(slot.address), slot.port, slot.protocol)
}
