import type { Document } from 'yaml'
import type { ClusterSpec } from './topology.ts'

/**
 * What a Kubernetes API server does to a Service that is created: it gives it a ClusterIP, node ports, and (with a
 * load-balancer controller) an external address. The lab does the same, so that the guide's YAML applies unchanged
 * to both clusters. Addresses follow from the name alone: a service that is deleted and made again keeps its own.
 */

/** The addresses the guide shows. */
const WELL_KNOWN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  west: { 'default/webpod': '10.2.47.149' },
  east: { 'default/webpod': '10.3.105.173' },
}

interface ServiceLike {
  readonly metadata?: { readonly name?: unknown; readonly namespace?: unknown }
  readonly spec?: { readonly type?: unknown; readonly clusterIP?: unknown; readonly ports?: unknown } | null
  readonly status?: { readonly loadBalancer?: { readonly ingress?: unknown } }
}

/** Fills in what is missing; whatever the author wrote stays, right or wrong: judging it is the agent's work. */
export function admitService(doc: Document, cluster: ClusterSpec): void {
  const service = doc.toJS() as ServiceLike
  if (typeof service.spec !== 'object' || service.spec === null || typeof service.metadata?.name !== 'string') return
  const namespace = typeof service.metadata.namespace === 'string' ? service.metadata.namespace : 'default'
  const key = `${namespace}/${service.metadata.name}`
  const type = service.spec.type ?? 'ClusterIP'
  if (type === 'ExternalName') return
  if (service.spec.clusterIP === undefined) doc.setIn(['spec', 'clusterIP'], clusterIp(cluster, key))
  if (type !== 'NodePort' && type !== 'LoadBalancer') return
  const ports: unknown[] = Array.isArray(service.spec.ports) ? service.spec.ports : []
  ports.forEach((port: unknown, index) => {
    if (typeof port !== 'object' || port === null || 'nodePort' in port) return
    doc.setIn(['spec', 'ports', index, 'nodePort'], 30_000 + (hash(`${key}/${String(index)}`) % 2768))
  })
  if (type === 'LoadBalancer' && service.status?.loadBalancer?.ingress === undefined) {
    setDeep(doc, ['status', 'loadBalancer', 'ingress'], [{ ip: loadBalancerIp(cluster, key) }])
  }
}

export function clusterIp(cluster: ClusterSpec, key: string): string {
  const [a, b] = cluster.serviceCidr.split('.')
  const bits = hash(key)
  return (
    WELL_KNOWN[cluster.name]?.[key] ??
    `${a ?? ''}.${b ?? ''}.${String(1 + (bits % 250))}.${String(1 + ((bits >>> 8) % 250))}`
  )
}

export function loadBalancerIp(cluster: ClusterSpec, key: string): string {
  const prefix = cluster.loadBalancerCidr.split('.').slice(0, 3).join('.')
  return `${prefix}.${key === 'default/webpod' ? '1' : String(2 + (hash(key) % 250))}`
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0
  return value
}

/**
 * Sets a value in a document, making the maps on the way. The library's own `setIn` makes them as JavaScript Maps, which
 * YAML 1.1 writes with a tag of its own.
 */
export function setDeep(doc: Document, keys: readonly string[], value: unknown): void {
  const missing = keys.findIndex((_, index) => !doc.hasIn(keys.slice(0, index + 1)))
  const depth = missing === -1 ? keys.length : missing + 1
  const wrapped = keys.slice(depth).reduceRight((inner, key) => ({ [key]: inner }), value)
  doc.setIn(keys.slice(0, depth), doc.createNode(wrapped))
}
