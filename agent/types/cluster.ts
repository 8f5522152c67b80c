/** The four kinds of records a remote cluster exports to agents. */
export const MESH_RESOURCES = ['nodes', 'services', 'endpoints', 'identities'] as const
export type MeshResource = (typeof MESH_RESOURCES)[number]

/**
 * disconnected → connecting → syncing → ready; `removed` drains. `unreachable` says when evidence of life ended: data is
 * kept, its backends are avoided while others are left.
 */
export type ClusterState = 'disconnected' | 'connecting' | 'syncing' | 'ready' | 'removed'

/** What we know about the copy of a remote cluster that is read in its place. */
export interface ClusterCopy {
  /** Whoever copies still writes a heartbeat. Otherwise all of this is its last word, and says nothing about the cluster. */
  readonly renewed: boolean
  /** Since when the copier has heard nothing of the cluster, milliseconds since the epoch; undefined: it lives, as far as is known. */
  readonly silentSince: number | undefined
  /** Undefined when the copier does not say, as Cilium's does not. */
  readonly connected: boolean | undefined
  readonly reason: string
}

/** What we know about a remote cluster. */
export interface Cluster {
  readonly name: string
  /** 0 until its cluster-config was read. */
  readonly id: number
  readonly state: ClusterState
  /** True from `unreachableAfter` without evidence of life until it is back. */
  readonly unreachable: boolean
  readonly synced: Readonly<Record<MeshResource, boolean>>
  readonly failures: number
  /** How often what happened, by code: sessions that ended, `unreachable`, `expired`, `compacted`. Absent: nothing yet. */
  readonly losses?: Readonly<Record<string, number>>
  /** Milliseconds since the epoch; undefined for never. */
  readonly lastFailure: number | undefined
  /** For people: what it is waiting for, or the last error. */
  readonly message: string
  /** From the cluster-config record; undefined until read. */
  readonly config:
    | {
        readonly syncedCanaries: boolean
        readonly cached: boolean
        readonly serviceExports: 'unsupported' | 'disabled' | 'enabled'
      }
    | undefined
  /** Present when a copy by kvstoremesh is read. */
  readonly copy?: ClusterCopy | undefined
  /** Certificates its connection uses, as last read; absent without TLS. */
  readonly certificates?: readonly ClusterCertificate[]
  /** Hex id of its etcd cluster; undefined before the first answer. */
  readonly etcdClusterId: string | undefined
}

/** A certificate of the connection to a remote cluster: `ca` and `client` of this side, `server` as the other one shows it. */
export interface ClusterCertificate {
  readonly role: 'ca' | 'client' | 'server'
  /** `CN=remote`. */
  readonly subject: string
  readonly notAfter: Date
  readonly state: 'ok' | 'expires-soon' | 'expired' | 'not-yet-valid' | 'not-signed'
  /** The same for people: `ok`, `expires in 12d`. */
  readonly verdict: string
}
