import { BACKEND_MAP, BACKEND_STATES, backendKey, backendValue } from '../../maps/backend.ts'
import { encoded } from '../../maps/codec.ts'
import type { FlowValueFields } from '../../maps/flow.ts'
import { flowKey, flowMaps, flowValue } from '../../maps/flow.ts'
import type { ServiceKey, ServiceValue } from '../../maps/service.ts'
import { SERVICE_MAP, serviceKey, serviceValue, SVC_ALGORITHMS, SVC_SCOPES } from '../../maps/service.ts'
import { SLOT_MAP, slotKey, slotValue } from '../../maps/slot.ts'
import type { Address } from '../../types/address.ts'
import { formatAddress } from '../../types/address.ts'
import { hostPort, nameOf } from '../bpf/format.ts'
import type { OpenMap } from '../bpf/pins.ts'
import { serviceFlags } from '../bpf/service-flags.ts'
import type { Packet } from './frame.ts'

export interface BackendReport {
  readonly id: number
  /** Absent when no backend has this id any more. */
  readonly address?: string
  readonly state: string
}

export interface FrontendReport {
  readonly id: number
  readonly address: string
  readonly flags: readonly string[]
  readonly algorithm: string
  readonly affinitySeconds: number
  /** Those that may be chosen, and those that only keep their flows. */
  readonly active: readonly BackendReport[]
  readonly kept: readonly BackendReport[]
}

/** Listing more backends of a service helps nobody. */
const LISTED = 16

/** What the maps say about a packet before it is sent. */
export class MapState {
  readonly #open: OpenMap

  constructor(open: OpenMap) {
    this.#open = open
  }

  /** The flow that the packet belongs to, unless it is over. */
  flow(packet: Packet, now: number): FlowValueFields | undefined {
    for (const { name } of flowMaps(packet.protocol)) {
      const value = this.#open(name).lookup(encoded(flowKey, packet))
      if (value === undefined) continue
      const flow = flowValue.decode(value)
      return flow.expires > now ? flow : undefined
    }
    return undefined
  }

  /** What a packet is addressed to, as clients outside see it or those of this node. */
  frontend(packet: Packet, inside: boolean): FrontendReport | undefined {
    const { destination: address, destinationPort: port, protocol } = packet
    const outer = this.#service({ address, port, protocol, scope: SVC_SCOPES.EXT })
    return (inside ? this.#service({ address, port, protocol, scope: SVC_SCOPES.INT }) : undefined) ?? outer
  }

  /** The service with this id, whatever its address. */
  frontendOf(id: number): FrontendReport | undefined {
    const found = this.#all().find(([, value]) => value.serviceId === id)
    return found === undefined ? undefined : this.#report(...found)
  }

  /** Frontends on an address: `80/TCP`. */
  portsOn(address: Address): string[] {
    return this.#all()
      .filter(([key]) => key.address === address && key.port !== 0 && key.scope === SVC_SCOPES.EXT)
      .map(([key]) => hostPort('', key.port, key.protocol).slice(1))
  }

  backend(id: number): BackendReport {
    const value = this.#open(BACKEND_MAP.name).lookup(encoded(backendKey, id))
    const backend = value === undefined ? undefined : backendValue.decode(value)
    if (backend === undefined || backend.state === 0) return { id, state: 'gone' }
    const address = hostPort(formatAddress(backend.address), backend.port, backend.protocol)
    return { id, address, state: nameOf(BACKEND_STATES, backend.state) }
  }

  #service(key: ServiceKey): FrontendReport | undefined {
    const value = this.#open(SERVICE_MAP.name).lookup(encoded(serviceKey, key))
    return value === undefined ? undefined : this.#report(key, serviceValue.decode(value))
  }

  #report(key: ServiceKey, value: ServiceValue): FrontendReport {
    const { slotOffset, count, quarantined } = value
    return {
      id: value.serviceId,
      address: hostPort(formatAddress(key.address), key.port, key.protocol),
      flags: serviceFlags(value.flags),
      algorithm: nameOf(SVC_ALGORITHMS, value.algorithm),
      affinitySeconds: value.affinitySeconds,
      active: this.#slots(slotOffset, count),
      kept: this.#slots(slotOffset + count, quarantined),
    }
  }

  #slots(offset: number, count: number): BackendReport[] {
    const slots = this.#open(SLOT_MAP.name)
    return Array.from({ length: Math.min(count, LISTED) }, (_, i) => {
      const value = slots.lookup(encoded(slotKey, offset + i))
      return this.backend(value === undefined ? 0 : slotValue.decode(value))
    })
  }

  #all(): [ServiceKey, ServiceValue][] {
    const { keys, values, count } = this.#open(SERVICE_MAP.name).dump()
    return Array.from({ length: count }, (_, i) => [
      serviceKey.decode(keys, i * serviceKey.size),
      serviceValue.decode(values, i * serviceValue.size),
    ])
  }
}
