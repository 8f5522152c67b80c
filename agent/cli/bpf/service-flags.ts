import { SVC_FLAGS } from '../../maps/service.ts'

/** The kind of service first, as `cilium-dbg bpf lb list` does. */
const KINDS: readonly (readonly [flag: number, name: string])[] = [
  [SVC_FLAGS.HOSTPORT, 'HostPort'],
  [SVC_FLAGS.NODEPORT, 'NodePort'],
  [SVC_FLAGS.LB, 'LoadBalancer'],
  [SVC_FLAGS.EXT_IP, 'ExternalIPs'],
  [SVC_FLAGS.CLUSTER_IP, 'ClusterIP'],
]

const PROPERTIES: readonly (readonly [flag: number, name: string])[] = [
  [SVC_FLAGS.ETP_LOCAL, 'Local'],
  [SVC_FLAGS.ITP_LOCAL, 'InternalLocal'],
  [SVC_FLAGS.TWO_SCOPES, 'two-scopes'],
  [SVC_FLAGS.AFFINITY, 'sessionAffinity'],
  [SVC_FLAGS.SRC_CHECK, 'check source-range'],
  [SVC_FLAGS.SRC_DENY, 'deny'],
  [SVC_FLAGS.HOSTPORT_LOOPBACK, 'loopback'],
  [SVC_FLAGS.WILDCARD_DROP, 'wildcard-drop'],
]

/** Flag bits in words; what answers no outside traffic is `non-routable`. */
export function serviceFlags(bits: number): string[] {
  const named = (table: typeof KINDS): string[] => table.filter(([flag]) => (bits & flag) !== 0).map(([, name]) => name)
  const routable = (bits & SVC_FLAGS.ROUTABLE) !== 0
  return [...named(KINDS).slice(0, 1), ...named(PROPERTIES), ...(routable ? [] : ['non-routable'])]
}
