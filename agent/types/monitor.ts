/** What `weft monitor` is told: one of these per line. Addresses are `10.0.0.1:80`; times are ISO 8601. */
export type MonitorEvent = DropReport | TraceReport | LostReport

export const MONITOR_TYPES = ['drop', 'trace'] as const
export type MonitorType = (typeof MONITOR_TYPES)[number]

interface PacketReport {
  readonly time: string
  /** `ingress`, `egress`, `socket`. */
  readonly direction: string
  /** Device whose program saw the packet; absent at sockets. */
  readonly interface?: string
  /** `TCP`, `UDP`, `ICMP`. */
  readonly protocol: string
  readonly source: string
  readonly destination: string
  /** Bytes, Ethernet header included. */
  readonly length: number
}

export interface DropReport extends PacketReport {
  readonly type: 'drop'
  /** As in `weft bpf metrics list`. */
  readonly reason: string
}

/** A packet of a service that went on, and how it left. */
export interface TraceReport extends PacketReport {
  readonly type: 'trace'
  /** `to-backend`, or `from-backend` for answers. */
  readonly point: 'to-backend' | 'from-backend'
  /** The node's own stack, a device found by the program, or a tunnel packet to another node. */
  readonly via: 'stack' | 'device' | 'overlay'
  readonly newSource: string
  readonly newDestination: string
  /** `SYN`, `SYN,ACK`; empty for what is not TCP. */
  readonly flags: string
}

/** Events that were not told: the ring, or this listener's queue, was full. */
export interface LostReport {
  readonly type: 'lost'
  readonly time: string
  readonly count: number
}

/** Where the API gets events from. */
export interface MonitorFeed {
  /** Kinds that can be told. */
  readonly types: readonly MonitorType[]
  /** Events of these kinds from now on, until the returned function is called. */
  listen(types: readonly MonitorType[], push: (events: readonly MonitorEvent[]) => void): () => void
}
