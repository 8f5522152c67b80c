import type { V1Service } from '@kubernetes/client-node'
import type { Address, Cidr } from '../../types/address.ts'
import { compareCidrs, formatCidr, parseCidr } from '../../types/address.ts'
import type { Problem } from '../../types/problem.ts'
import type { Service, ServicePort, ServiceType } from '../../types/service.ts'
import { PROTOCOL_NAMES, serviceName } from '../../types/service.ts'
import { readServiceAnnotations } from './annotations.ts'
import type { Converted, ConvertContext } from './fields.ts'
import { Field, readMeta, show } from './fields.ts'

const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const
const POLICIES = ['Cluster', 'Local'] as const
const AFFINITIES = ['None', 'ClientIP'] as const
/** Kubernetes' default for sessionAffinityConfig.clientIP.timeoutSeconds, and its upper bound. */
const AFFINITY_SECONDS = 10_800
const AFFINITY_SECONDS_MAX = 86_400
const PORT_NAME = /^(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/

/** No packet has this source: stands for source ranges of which none is IPv4, where an empty list would not be looked at. */
const NOBODY = parseCidr('0.0.0.0/32') as Cidr

/**
 * A core/v1 Service as a row. IPv6 addresses are left out; ExternalName services have no addresses and so no frontends.
 * Enumerations the API server would have refused mean their default plus a problem on the row; addresses and ports that
 * the datapath cannot take refuse the object.
 */
export function serviceFromObject(object: V1Service, context: ConvertContext): Converted<Service> {
  const root = Field.root(object)
  const meta = readMeta(root)
  const spec = root.at('spec')
  const who = `Service ${meta.namespace}/${meta.name} (${context.origin})`
  const {
    mesh,
    algorithm,
    forwarding,
    sourceRangePolicy,
    problems: annotationProblems,
  } = readServiceAnnotations(root.at('metadata').at('annotations'), who)
  const problems: Problem[] = [...annotationProblems]

  function choose<T extends string>(field: Field, allowed: readonly T[], fallback: T): T {
    const value = field.oneOf(allowed)
    if (value === undefined && field.value !== undefined) {
      problems.push({
        code: 'unknown-value',
        message: `${who}: spec.${String(field.path.at(-1))} is ${show(field.value)}, which is not known; ${fallback} is used`,
        hint: `Accepted values: ${allowed.join(', ')}.`,
      })
    }
    return value ?? fallback
  }

  const type = choose<ServiceType>(spec.at('type'), TYPES, 'ClusterIP')
  const external = type === 'ExternalName'
  const headless = spec.at('clusterIP').value === 'None'
  const ports = external ? [] : readPorts(spec.at('ports'), headless)
  const clusterIPs = external || headless ? [] : readClusterIPs(spec)
  if (!external && !headless && spec.at('clusterIP').value === undefined && spec.at('clusterIPs').value === undefined) {
    problems.push({
      code: 'no-cluster-ip',
      message: `${who}: spec.clusterIP is not set, so the service has no ClusterIP`,
      hint: 'Only an API server assigns addresses; write the address you want, or None for a headless service.',
    })
  }
  if (type === 'NodePort' && ports.some((port) => port.nodePort === undefined)) {
    problems.push({
      code: 'no-node-port',
      message: `${who}: a port of a NodePort service has no nodePort, so nodes do not listen for it`,
      hint: 'Only an API server assigns node ports; write the nodePort you want.',
    })
  }
  const sourceRanges = readSourceRanges(spec.at('loadBalancerSourceRanges'))

  const row: Service = {
    name: serviceName(meta.namespace ?? '', meta.name ?? ''),
    type,
    clusterIPs,
    externalIPs: external
      ? []
      : unique(
          spec
            .at('externalIPs')
            .list()
            .map((ip) => ip.address()),
        ),
    loadBalancerIPs: type === 'LoadBalancer' ? readLoadBalancerIPs(root) : [],
    ports,
    selector: spec.at('selector').strings(),
    labels: meta.labels,
    mesh,
    externalTrafficPolicy: choose(spec.at('externalTrafficPolicy'), POLICIES, 'Cluster'),
    internalTrafficPolicy: choose(spec.at('internalTrafficPolicy'), POLICIES, 'Cluster'),
    sessionAffinitySeconds:
      choose(spec.at('sessionAffinity'), AFFINITIES, 'None') === 'ClientIP' ? readTimeout(spec) : 0,
    sourceRanges,
    sourceRangePolicy,
    healthCheckNodePort: spec.at('healthCheckNodePort').optionalPort(),
    algorithm,
    forwarding,
    problems,
    origin: context.origin,
  }
  return root.faults.length > 0 ? { refused: root.faults } : { row }
}

function readPorts(field: Field, mayBeEmpty: boolean): ServicePort[] {
  const list = field.list()
  if (list.length === 0 && !mayBeEmpty && field.faults.length === 0) {
    field.fault('has no port', 'Name at least one port, like `- port: 80`.')
  }
  const names = new Set<string>()
  const numbers = new Set<string>()
  const ports: ServicePort[] = []
  for (const item of list) {
    const name = item.at('name').dnsLabel() ?? ''
    if (name === '' && list.length > 1)
      item.at('name').fault('is missing', 'A service with several ports must name each.')
    else if (names.has(name)) item.at('name').fault(`${show(name)} is used twice`, 'Give every port its own name.')
    names.add(name)

    const protocol = item.at('protocol').protocol()
    if (item.at('port').value === undefined) item.at('port').fault('is missing', 'Write the port clients connect to.')
    const port = item.at('port').port()
    const targetPort = readTargetPort(item.at('targetPort')) ?? port
    const nodePort = item.at('nodePort').optionalPort()
    if (protocol === undefined || port === undefined || targetPort === undefined) continue

    const number = `${port}/${PROTOCOL_NAMES[protocol]}`
    if (numbers.has(number)) item.at('port').fault(`${number} is there twice`, 'Remove one of the two.')
    numbers.add(number)
    ports.push({ name, protocol, port, targetPort, nodePort })
  }
  return ports
}

/** A number, or the name of a container port; undefined when absent (the port itself is meant) or wrong. */
function readTargetPort(field: Field): number | string | undefined {
  const { value } = field
  if (value === 0 || value === '') return undefined
  if (typeof value !== 'string' || /^\d+$/.test(value)) return field.port()
  if (value.length <= 15 && PORT_NAME.test(value)) return value
  return field.fault(
    `${show(value)} is neither a port (1-65535) nor the name of a container port`,
    'Port names have at most 15 lower-case letters, digits and "-", and at least one letter.',
  )
}

function readClusterIPs(spec: Field): Address[] {
  const list = spec
    .at('clusterIPs')
    .list()
    .map((ip) => ip.address())
  return unique([spec.at('clusterIP').address(), ...list])
}

/** Assigned addresses; while none is assigned, the one that was asked for. */
function readLoadBalancerIPs(root: Field): Address[] {
  const assigned: (Address | undefined)[] = []
  for (const ingress of root.at('status').at('loadBalancer').at('ingress').list()) {
    const address = ingress.at('ip').address()
    // In mode Proxy the balancer in front terminates the address: nodes must not answer for it.
    if (ingress.at('ipMode').value !== 'Proxy') assigned.push(address)
  }
  const asked = root.at('spec').at('loadBalancerIP').address()
  return unique(assigned.length > 0 ? assigned : [asked])
}

function readTimeout(spec: Field): number {
  const field = spec.at('sessionAffinityConfig').at('clientIP').at('timeoutSeconds')
  const { value } = field
  if (value === undefined) return AFFINITY_SECONDS
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= AFFINITY_SECONDS_MAX) return value
  field.fault(`${show(value)} is not a timeout`, `Write whole seconds from 1 to ${AFFINITY_SECONDS_MAX}.`)
  return AFFINITY_SECONDS
}

function readSourceRanges(field: Field): Cidr[] {
  const list = field.list()
  const ranges = list.map((range) => range.cidr()).filter((range) => range !== undefined)
  if (list.length > 0 && ranges.length === 0) return [NOBODY]
  return [...new Map(ranges.map((range) => [formatCidr(range), range])).values()].sort(compareCidrs)
}

function unique(addresses: readonly (Address | undefined)[]): Address[] {
  return [...new Set(addresses.filter((address) => address !== undefined))]
}
