import type { Address } from './address.ts'
import type { Protocol, ServiceName } from './service.ts'

/**
 * `ready` takes new connections. `serving` is terminating but still answers: it takes new connections only when nothing
 * else is left. `not-ready` takes none; flows it already has go on.
 */
export type Condition = 'ready' | 'serving' | 'not-ready'

export interface EndpointPort {
  readonly name: string
  readonly protocol: Protocol
  readonly port: number
}

/** One address behind a service. Endpoints with equal ports share the `ports` array: it is compared by identity first. */
export interface Endpoint {
  readonly address: Address
  readonly ports: readonly EndpointPort[]
  readonly condition: Condition
  /** The node it runs on; undefined for remote clusters, which do not say. */
  readonly nodeName: string | undefined
  readonly zone: string | undefined
  /** 1..65535, default 100 (Cilium's Maglev weight). */
  readonly weight: number
}

/**
 * What one origin (an EndpointSlice, the pods behind a selector, a remote cluster's record) says about a service.
 * Replaced as a whole.
 */
export interface BackendSet {
  /** Unique over all origins: `west/default/webpod/slice-abc`. */
  readonly key: string
  readonly service: ServiceName
  /** Name of the cluster the endpoints live in. */
  readonly cluster: string
  readonly endpoints: readonly Endpoint[]
  /** False: announced, and not to be used outside its cluster. */
  readonly shared?: false
  readonly origin: string
}
