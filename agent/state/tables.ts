import type { BackendSet } from '../types/backend.ts'
import type { Cluster } from '../types/cluster.ts'
import type { Identity } from '../types/identity.ts'
import type { Node, Pod } from '../types/node.ts'
import type { Problem } from '../types/problem.ts'
import type { Reach } from '../types/reach.ts'
import type { Service, ServiceName } from '../types/service.ts'
import type { ReadIpTable } from './ip-table.ts'
import type { ReadTable } from './table.ts'
import { IpTable } from './ip-table.ts'
import { Table } from './table.ts'

/** Problems of one origin (a manifest file, a remote cluster), replaced as a whole. */
export interface ProblemSet {
  readonly origin: string
  readonly problems: readonly Problem[]
}

/** All rows, as readers see them. */
export interface Tables {
  readonly services: ReadTable<Service>
  readonly backends: ReadTable<BackendSet, 'service'>
  readonly nodes: ReadTable<Node, 'cluster'>
  readonly pods: ReadTable<Pod, 'node'>
  readonly identities: ReadTable<Identity, 'cluster'>
  readonly ips: ReadIpTable
  readonly clusters: ReadTable<Cluster>
  readonly reach: ReadTable<Reach>
  readonly problems: ReadTable<ProblemSet>
}

/** What changed, for those who keep something up to date with the tables. `service` is set where a service's backends are concerned. */
export interface Change {
  readonly table: keyof Tables
  readonly key: string
  readonly service?: ServiceName
}

export interface MutableTables extends Tables {
  readonly services: Table<Service>
  readonly backends: Table<BackendSet, 'service'>
  readonly nodes: Table<Node, 'cluster'>
  readonly pods: Table<Pod, 'node'>
  readonly identities: Table<Identity, 'cluster'>
  readonly ips: IpTable
  readonly clusters: Table<Cluster>
  readonly reach: Table<Reach>
  readonly problems: Table<ProblemSet>
}

/** Empty tables. Only a Writer may change them afterwards. */
export function createTables(): MutableTables {
  return {
    services: new Table<Service>((row) => row.name, {}),
    backends: new Table<BackendSet, 'service'>((row) => row.key, { service: (row) => row.service }),
    nodes: new Table<Node, 'cluster'>((row) => row.key, { cluster: (row) => row.cluster }),
    pods: new Table<Pod, 'node'>((row) => row.key, { node: (row) => row.nodeName }),
    identities: new Table<Identity, 'cluster'>((row) => String(row.id), { cluster: (row) => row.cluster }),
    ips: new IpTable(),
    clusters: new Table<Cluster>((row) => row.name, {}),
    reach: new Table<Reach>((row) => row.cluster, {}),
    problems: new Table<ProblemSet>((row) => row.origin, {}),
  }
}
