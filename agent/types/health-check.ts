/** What load balancers in front of the cluster ask a node over HTTP. */
export interface HealthCheck {
  /** Whose backends are asked for; undefined: it is the node itself that is asked for, at /healthz and /livez. */
  readonly service: { readonly namespace: string; readonly name: string } | undefined
  /** Undefined: all addresses. */
  readonly host: string | undefined
  readonly port: number
  /** Ready backends on this node; of no meaning without `service`. */
  readonly localEndpoints: number
}

/** How the node stands, asked anew for each answer. */
export interface NodeHealth {
  /** Changes of services reach the datapath. */
  readonly healthy: boolean
  /** The node is to stay. */
  readonly eligible: boolean
  /** When changes reached the datapath last. */
  readonly lastUpdated: Date
  readonly now: Date
}
