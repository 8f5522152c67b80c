import type { View } from '../../../agent/desired/select-backends.ts'
import type { Endpoint } from '../../../agent/types/backend.ts'
import type { BackendDecision } from '../../../agent/types/frontend.ts'
import type { Affinity, MeshIntent, ServicePort } from '../../../agent/types/service.ts'
import { selectBackends } from '../../../agent/desired/select-backends.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import { reachKey } from '../../../agent/types/reach.ts'
import { HTTP, backendSet, cluster, service, world } from './fixture.ts'

/** What three clusters show for one service, and what is known of them. West is the own one. */
export interface Case {
  readonly west?: readonly Endpoint[]
  readonly east?: readonly Endpoint[]
  readonly north?: readonly Endpoint[]
  readonly affinity?: Affinity
  readonly global?: boolean
  /** Clusters that announce the service and do not share it. */
  readonly unshared?: readonly string[]
  readonly port?: ServicePort
  readonly view?: View
  readonly unreachable?: readonly string[]
  /** Clusters with a backend that answered a probe of this node. */
  readonly answers?: readonly string[]
  /** Backends that did not. */
  readonly dead?: readonly Endpoint[]
}

export function decide(given: Case): readonly BackendDecision[] {
  const { snap, writer } = world()
  const mesh: MeshIntent = { global: given.global ?? true, shared: true, affinity: given.affinity ?? 'none' }
  const port = given.port ?? HTTP
  const row = service({ mesh, ports: [port] })
  writer.upsertService(row)
  for (const name of ['west', 'east', 'north'] as const) {
    const endpoints = given[name]
    if (endpoints === undefined) continue
    const unshared = given.unshared?.includes(name) === true
    writer.upsertBackends({ ...backendSet(name, endpoints), ...(unshared ? { shared: false } : {}) })
  }
  for (const [i, name] of ['east', 'north'].entries()) {
    writer.upsertCluster(cluster(name, i + 2, { unreachable: given.unreachable?.includes(name) ?? false }))
  }
  for (const name of ['east', 'north'] as const) {
    const dead = (given.dead ?? []).filter((each) => given[name]?.includes(each))
    const keys = new Set(dead.flatMap((each) => each.ports.map((one) => reachKey(each.address, one.port))))
    const answers = given.answers?.includes(name) ?? false
    if (answers || keys.size > 0) writer.upsertReach({ cluster: name, answers, dead: keys }, [])
  }
  return selectBackends(snap, row, port, given.view ?? 'all')
}

/** `10.0.0.1 selected preferred` for each, in order. */
export function told(decisions: readonly BackendDecision[]): string[] {
  return decisions.map((each) => `${formatAddress(each.address)} ${each.reason}${each.preferred ? ' preferred' : ''}`)
}
