import type { V1EndpointSlice } from '@kubernetes/client-node'
import type { BackendSet, Condition, Endpoint, EndpointPort } from '../../types/backend.ts'
import { serviceName } from '../../types/service.ts'
import type { Converted, ConvertContext } from './fields.ts'
import { Field, readMeta, show } from './fields.ts'

export const SERVICE_LABEL = 'kubernetes.io/service-name'
const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by'
/** Writes slices that mirror remote clusters; those backends reach us through the mesh already. */
const MESH_CONTROLLER = 'endpointslice-mesh-controller.cilium.io'
export const DEFAULT_WEIGHT = 100

/** A discovery.k8s.io/v1 EndpointSlice as the backends it contributes, key `<cluster>/<namespace>/<service>/<slice>`. */
export function backendsFromEndpointSlice(object: V1EndpointSlice, context: ConvertContext): Converted<BackendSet> {
  const root = Field.root(object)
  const meta = readMeta(root)
  if (meta.labels[MANAGED_BY_LABEL] === MESH_CONTROLLER) return { skipped: 'mirrors another cluster' }
  const type = root.at('addressType')
  if (type.value === 'IPv6' || type.value === 'FQDN') return { skipped: `addressType ${type.value}` }
  if (type.value !== 'IPv4') {
    type.fault(
      type.value === undefined ? 'is missing' : `${show(type.value)} is not an address type`,
      'Write addressType: IPv4.',
    )
  }
  const service = meta.labels[SERVICE_LABEL]
  if (service === undefined) {
    const label = root.at('metadata').at('labels').at(SERVICE_LABEL)
    if (label.value === undefined)
      label.fault('is missing', 'Name the service these endpoints belong to with this label.')
  }

  const ports = readPorts(root.at('ports'))
  const endpoints: Endpoint[] = []
  for (const item of root.at('endpoints').list()) readEndpoint(item, ports, endpoints)
  if (root.faults.length > 0) return { refused: root.faults }

  const name = serviceName(meta.namespace ?? '', service ?? '')
  return {
    row: {
      key: `${context.cluster}/${name}/${meta.name}`,
      service: name,
      cluster: context.cluster,
      endpoints,
      origin: context.origin,
    },
  }
}

/** A port without a number means "all ports" in this API: no service can use it. */
function readPorts(field: Field): EndpointPort[] {
  const names = new Set<string>()
  const ports: EndpointPort[] = []
  for (const item of field.list()) {
    const name = item.at('name').string() ?? ''
    const protocol = item.at('protocol').protocol()
    const port = item.at('port').port()
    if (names.has(name)) item.at('name').fault(`${show(name)} is used twice`, 'Give every port its own name.')
    names.add(name)
    if (protocol !== undefined && port !== undefined) ports.push({ name, protocol, port })
  }
  return ports
}

function readEndpoint(item: Field, ports: readonly EndpointPort[], endpoints: Endpoint[]): void {
  const addresses = item.at('addresses')
  const list = addresses.list()
  if (list.length === 0 && addresses.value === undefined)
    addresses.fault('is missing', 'Write the address of the endpoint.')
  const condition = readCondition(item.at('conditions'))
  const nodeName = item.at('nodeName').string()
  const zone = item.at('zone').string()
  for (const element of list) {
    const address = element.address()
    if (address === undefined) {
      if (typeof element.value === 'string' && element.value.includes(':')) {
        element.fault(
          `${show(element.value)} is not an IPv4 address`,
          'Slices of addressType IPv4 hold IPv4 addresses only.',
        )
      }
      continue
    }
    endpoints.push({ address, ports, condition, nodeName, zone, weight: DEFAULT_WEIGHT })
  }
}

/**
 * An absent `ready` counts as ready, as the API demands. Ready and terminating at once (publishNotReadyAddresses) stays
 * ready.
 */
function readCondition(conditions: Field): Condition {
  const ready = conditions.at('ready').boolean()
  const serving = conditions.at('serving').boolean()
  const terminating = conditions.at('terminating').boolean()
  if (ready !== false) return 'ready'
  return terminating === true && serving === true ? 'serving' : 'not-ready'
}
