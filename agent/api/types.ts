import type { Problem } from '../types/problem.ts'

/**
 * What the agent answers on its unix socket, and what `-o json` prints. Field names of `services` and `clusterMesh` follow
 * `cilium-dbg`, so that scripts carry over; ours are added beside them.
 */
export interface StatusReport {
  readonly ok: boolean
  readonly problems: readonly Problem[]
  readonly version: string
  readonly cluster: { readonly name: string; readonly id: number }
  readonly node: { readonly name: string; readonly address: string; readonly podCidrs: readonly string[] }
  readonly uptimeSeconds: number
  /** Sources that have not delivered their first list. */
  readonly waitingFor: readonly string[]
  readonly datapath: {
    readonly programs: readonly { readonly name: string; readonly attachedTo: string; readonly id: number }[]
    readonly devices: readonly DeviceReport[]
    readonly maps: readonly { readonly name: string; readonly entries: number; readonly maxEntries: number }[]
    /** Of pods towards the world; absent where it is off. */
    readonly masquerading?:
      | {
          readonly ipMasqAgent: boolean
          readonly devices: readonly string[]
          readonly exclusion: string
        }
      | undefined
    readonly loadBalancer: {
      readonly mode: string
      readonly dsrDispatch: string
      readonly algorithm: string
      readonly maglevTableSize: number | 'auto'
      readonly sessionAffinity: boolean
      readonly acceleration: string
    }
  }
  /** One per reconciled target: how many entries are wanted, in place, failing; how many keys audits found otherwise than they were left. */
  readonly targets: readonly {
    readonly name: string
    readonly desired: number
    readonly actual: number
    readonly pending: number
    readonly failing: number
    readonly drift: number
    /** How often it was read again and compared. */
    readonly audits: number
    readonly lastError?: string
    /** What to do about it. */
    readonly hint?: string
  }[]
  readonly clusterMesh: ClusterMeshReport
}

/** A device that faces other nodes and clients; the uplink is the first. */
export interface DeviceReport {
  readonly name: string
  readonly mtu: number
  readonly addresses: readonly string[]
  readonly xdp: 'native' | 'generic' | 'disabled'
  /** Why there is no XDP though it is wanted. */
  readonly reason?: string
}

/** What a clustermesh-apiserver or kvstoremesh answers on its socket: of the agent's status, as far as there is anything to say. */
export interface ExporterReport {
  readonly ok: boolean
  readonly problems: readonly Problem[]
  readonly version: string
  readonly cluster: { readonly name: string; readonly id: number }
  /** As `/readyz`. */
  readonly ready: boolean
  /** URLs of the own etcd, of who writes what other clusters read. */
  readonly etcd?: readonly string[]
  /** Of the connection to the own etcd; absent without TLS. */
  readonly certificates?: readonly CertificateStatus[]
  readonly clusterMesh: ClusterMeshReport
}

export interface ClusterMeshReport {
  readonly clusters: readonly RemoteClusterReport[]
  readonly 'num-global-services': number
}

export interface RemoteClusterReport {
  readonly name: string
  readonly ready: boolean
  readonly connected: boolean
  readonly unreachable: boolean
  /** Status of the etcd connection in words. */
  readonly status: string
  readonly config: {
    readonly required: boolean
    readonly retrieved: boolean
    readonly 'cluster-id': number
    readonly kvstoremesh: boolean
    readonly 'sync-canaries': boolean
    readonly 'service-exports': string
  }
  readonly synced: {
    readonly nodes: boolean
    readonly endpoints: boolean
    readonly identities: boolean
    readonly services: boolean
  }
  readonly 'num-nodes': number
  readonly 'num-endpoints': number
  readonly 'num-identities': number
  readonly 'num-shared-services': number
  readonly 'num-service-exports': number
  readonly 'num-failures': number
  /** How often what happened, by code: sessions that ended, `unreachable`, `expired`, `compacted`. Absent for never. */
  readonly losses?: Readonly<Record<string, number>>
  /** Where a copy by kvstoremesh is read: what is known of it. */
  readonly copy?: CopyStatus
  /** Of the connection; absent without TLS. */
  readonly certificates?: readonly CertificateStatus[]
  /** RFC 3339; absent for never. */
  readonly 'last-failure'?: string
}

export interface CopyStatus {
  /** kvstoremesh lives; otherwise the rest is its last word. */
  readonly renewed: boolean
  /** Its connection to the cluster stands; absent when it does not say. */
  readonly connected?: boolean
  /** RFC 3339: its last sign of life of the cluster; absent while the cluster lives. */
  readonly 'silent-since'?: string
  readonly reason?: string
}

export interface CertificateStatus {
  /** `ca` and `client` are this side's files, `server` what the other side shows. */
  readonly role: 'ca' | 'client' | 'server'
  readonly subject: string
  /** RFC 3339. */
  readonly 'not-after': string
  readonly state: 'ok' | 'expires-soon' | 'expired' | 'not-yet-valid' | 'not-signed'
  readonly verdict: string
}

/** As `cilium-dbg service list -o json`. */
export interface ServiceReport {
  readonly spec: ServiceSpec
  readonly status: {
    readonly realized: ServiceSpec
    readonly state: 'pending' | 'done' | 'error'
    readonly error?: string
  }
}

export interface ServiceSpec {
  readonly id: number
  readonly 'frontend-address': AddressReport & { readonly scope: 'external' | 'internal' }
  readonly 'backend-addresses': readonly BackendReport[]
  readonly flags: {
    readonly name: string
    readonly namespace: string
    readonly type: string
    readonly trafficPolicy: string
    readonly cluster?: string
    /** Merged over all clusters; absent when it is not. */
    readonly global?: boolean
    /** Absent where everybody is let in. */
    readonly sourceRanges?: SourceRangesReport
  }
}

/** `allow`: only these clients are let in; `deny`: all but these. */
export interface SourceRangesReport {
  readonly policy: 'allow' | 'deny'
  readonly ranges: readonly string[]
}

export interface AddressReport {
  readonly ip: string
  readonly port: number
  readonly protocol: string
}

export interface BackendReport extends AddressReport {
  readonly state: string
  readonly preferred: boolean
  readonly weight: number
  readonly cluster: string
  readonly nodeName?: string
}

export interface ExplainReport {
  readonly service: string
  /** Its part in the mesh; absent when this cluster has no such Service. */
  readonly mesh?: { readonly global: boolean; readonly shared: boolean; readonly affinity: string }
  readonly frontends: readonly {
    readonly address: string
    readonly type: string
    readonly state: 'pending' | 'done' | 'error'
    readonly error?: string
    /** Absent where everybody is let in. */
    readonly sourceRanges?: SourceRangesReport
    readonly backends: readonly {
      readonly address: string
      readonly cluster: string
      readonly selected: boolean
      readonly weight: number
      readonly tier: number
      readonly reason: string
    }[]
  }[]
  readonly problems: readonly Problem[]
}

/** One configuration value and where it came from: `default`, `file PATH`, `env WEFT_X`, `flag --x`. */
export interface ConfigValue {
  readonly key: string
  readonly value: unknown
  readonly source: string
}

/** A node of the own or of a connected cluster. */
export interface NodeReport {
  /** `cluster/name`. */
  readonly name: string
  readonly address: string
  readonly podCidrs: readonly string[]
  /** `local` is the node that answers, `cluster` another one of its cluster, `clustermesh` one of a connected cluster. */
  readonly source: 'local' | 'cluster' | 'clustermesh'
  readonly zone?: string
}

export interface IdentityReport {
  readonly id: number
  /** `source:key=value`, sorted. */
  readonly labels: readonly string[]
  readonly cluster: string
}

/** A pod of the node that answers. */
export interface EndpointReport {
  /** `namespace/name`. */
  readonly name: string
  readonly address: string
  /** 5 (init) while none is known. */
  readonly identity: number
  readonly labels: readonly string[]
  readonly state: 'ready' | 'not-ready' | 'terminating' | 'waiting-for-address'
}

/** Any failed request. */
export interface ApiError {
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string }
}
