import type { Identity } from '../types/identity.ts'
import type { Pod } from '../types/node.ts'
import type { Snapshot } from './snapshot.ts'
import { RESERVED } from '../types/identity.ts'
import { podPrefix } from './address-book.ts'

/**
 * Identity of a pod of the own cluster: what the cluster has published for its address; `init` until then. An identity that is
 * not known must not read as world, which policies commonly allow.
 */
export function podIdentity(snap: Snapshot, pod: Pod): Identity['id'] {
  const prefix = podPrefix(pod)
  if (prefix === undefined) return RESERVED.host
  return snap.tables.ips.get(`${snap.local.clusterName}/${prefix}`)?.identity ?? RESERVED.init
}
