import { beforeEach, describe, expect, test } from 'vitest'
import type { MeshSnapshot } from '../../../agent/desired/mesh-records.ts'
import type { BackendSet, Endpoint } from '../../../agent/types/backend.ts'
import type { MeshIntent, Service } from '../../../agent/types/service.ts'
import type { MutableTables } from '../../../agent/state/tables.ts'
import type { Node } from '../../../agent/types/node.ts'
import { assignIdentities, identityText } from '../../../agent/desired/identities.ts'
import { allOwners, meshRecords, ownersOf } from '../../../agent/desired/mesh-records.ts'
import { SyncGates } from '../../../agent/state/sync.ts'
import { createTables } from '../../../agent/state/tables.ts'
import { Writer } from '../../../agent/state/writer.ts'
import { createImporters } from '../../../agent/sources/mesh/importers.ts'
import { parseCidr } from '../../../agent/types/address.ts'
import { serviceName } from '../../../agent/types/service.ts'
import { ip, podRow, serviceRow } from '../../rows.ts'

const HTTP = [{ name: 'http', protocol: 6, port: 8080 }] as const
const endpoint = (at: string, change: Partial<Endpoint> = {}): Endpoint => ({
  ...{ address: ip(at), ports: HTTP, condition: 'ready', nodeName: 'east-worker', zone: undefined, weight: 100 },
  ...change,
})
const set = (key: string, endpoints: readonly Endpoint[], cluster = 'east'): BackendSet => ({
  ...{ key: `${cluster}/default/webpod/${key}`, service: serviceName('default', 'webpod'), cluster, endpoints },
  origin: 'test',
})
const service = (mesh: Partial<MeshIntent> = {}, change: Partial<Service> = {}): Service =>
  serviceRow({
    name: serviceName('default', 'webpod'),
    clusterIPs: [ip('10.3.105.173')],
    ports: [{ name: 'http', protocol: 6, port: 80, targetPort: 8080, nodePort: undefined }],
    selector: { app: 'webpod' },
    labels: { app: 'webpod' },
    mesh: { global: true, shared: true, affinity: 'none', ...mesh },
    ...change,
  })
const NODE: Node = {
  key: 'east/east-worker',
  cluster: 'east',
  name: 'east-worker',
  address: ip('172.18.0.3'),
  addresses: [{ type: 'InternalIP', address: ip('172.18.0.3') }],
  podCidrs: [parseCidr('10.1.1.0/24')!],
  labels: { 'topology.kubernetes.io/zone': 'eu-1a' },
  zone: 'eu-1a',
  origin: 'test',
}
const POD = podRow({
  name: 'webpod-1',
  address: ip('10.1.1.41'),
  nodeName: 'east-worker',
  labels: { app: 'webpod' },
})
const EAST = { name: 'east', id: 2 }
const KEY = 'cilium/state/services/v1/east/default/webpod'

let tables: MutableTables
let snap: MeshSnapshot

beforeEach(() => {
  tables = createTables()
  snap = { tables, cluster: EAST, identities: assignIdentities([identityText(POD, 'east')], 2) }
})

describe('a service', () => {
  const record = (): string | undefined => meshRecords(snap, 'service/default/webpod').get(KEY)

  test.each([
    [true, true, true],
    [true, false, false],
    [false, true, false],
    [false, false, false],
  ])('global %s, shared %s: exported %s', (global, shared, exported) => {
    tables.services.put(service({ global, shared }))
    expect(record() !== undefined).toBe(exported)
  })

  test('that does not exist has no record', () => expect(record()).toBeUndefined())

  test('has the record that Cilium would write', () => {
    tables.services.put(service())
    tables.backends.put(set('a', [endpoint('10.1.1.41'), endpoint('10.1.0.190')]))
    expect(record()).toBe(
      '{"cluster":"east","namespace":"default","name":"webpod",' +
        '"frontends":{"10.3.105.173":{"http":{"Protocol":"TCP","Port":80}}},' +
        '"backends":{"10.1.0.190":{"http":{"Protocol":"TCP","Port":8080}},"10.1.1.41":{"http":{"Protocol":"TCP","Port":8080}}},' +
        '"hostnames":{},"labels":{"app":"webpod"},"selector":{"app":"webpod"},"includeExternal":true,"shared":true,"clusterID":2}',
    )
  })

  test('without endpoints, or without address, is exported all the same', () => {
    tables.services.put(service({}, { clusterIPs: [] }))
    expect(record()).toContain('"frontends":{},"backends":{},')
  })

  test('shows its own backends that answer, once each, with what is known of them', () => {
    tables.services.put(service())
    tables.backends.put(set('a', [endpoint('10.1.0.1', { condition: 'serving' }), endpoint('10.1.0.2')]))
    tables.backends.put(set('b', [endpoint('10.1.0.1', { ports: [{ name: 'dns', protocol: 17, port: 53 }] })]))
    tables.backends.put(set('c', [endpoint('10.1.0.3', { condition: 'not-ready' })]))
    tables.backends.put(set('d', [endpoint('10.9.0.1')], 'west'))
    tables.backends.put(set('e', [endpoint('10.1.0.4', { condition: 'serving', zone: 'eu-1a', weight: 7 })]))
    const json = JSON.parse(record() ?? '') as { backends: unknown; weft: unknown }
    expect(json.backends).toEqual({
      '10.1.0.1': { dns: { Protocol: 'UDP', Port: 53 }, http: { Protocol: 'TCP', Port: 8080 } },
      '10.1.0.2': { http: { Protocol: 'TCP', Port: 8080 } },
      '10.1.0.4': { http: { Protocol: 'TCP', Port: 8080 } },
    })
    expect(json.weft).toEqual({ backends: { '10.1.0.4': { condition: 'serving', zone: 'eu-1a', weight: 7 } } })
  })
})

describe('nodes, pods, identities', () => {
  beforeEach(() => {
    tables.nodes.put(NODE)
    tables.nodes.put({ ...NODE, key: 'west/west-worker', cluster: 'west', name: 'west-worker' })
    tables.pods.put(POD)
  })

  test('own nodes only', () => {
    expect([...meshRecords(snap, 'node/east/east-worker').keys()]).toEqual(['cilium/state/nodes/v1/east/east-worker'])
    expect(meshRecords(snap, 'node/west/west-worker').size).toBe(0)
  })

  test('a pod has the address of its node and the number of its labels', () => {
    const [id] = snap.identities.values()
    expect([...meshRecords(snap, 'pod/default/webpod-1')]).toEqual([
      [
        'cilium/state/ip/v1/default/10.1.1.41',
        `{"IP":"10.1.1.41","Mask":null,"HostIP":"172.18.0.3","ID":${id},"Key":0,"Metadata":"","K8sNamespace":"default","K8sPodName":"webpod-1"}`,
      ],
    ])
    expect([...meshRecords(snap, 'identities')]).toEqual([
      [
        `cilium/state/identities/v1/id/${id}`,
        'k8s:app=webpod;k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default;k8s:io.cilium.k8s.policy.cluster=east;k8s:io.cilium.k8s.policy.serviceaccount=default;k8s:io.kubernetes.pod.namespace=default;',
      ],
    ])
  })

  test('a pod without address of its own has no record', () => {
    tables.pods.put({ ...POD, hostNetwork: true })
    expect(meshRecords(snap, 'pod/default/webpod-1').size).toBe(0)
    tables.pods.put({ ...POD, address: undefined })
    expect(meshRecords(snap, 'pod/default/webpod-1').size).toBe(0)
  })

  test('a node that changes concerns its pods, a pod the identities, a remote row nothing', () => {
    expect([...ownersOf(snap, { table: 'nodes', key: 'east/east-worker' })]).toEqual([
      'node/east/east-worker',
      'pod/default/webpod-1',
    ])
    expect([...ownersOf(snap, { table: 'pods', key: 'default/webpod-1' })]).toEqual([
      'pod/default/webpod-1',
      'identities',
    ])
    expect([...ownersOf(snap, { table: 'ips', key: 'west/10.0.0.1/32' })]).toEqual([])
  })

  test('every record is accepted by an importer of another cluster', () => {
    tables.services.put(service())
    tables.backends.put(set('a', [endpoint('10.1.1.41')]))
    const remote = createTables()
    const importers = createImporters(new Writer(remote, new SyncGates()))
    const prefixes = [
      ['services', 'cilium/state/services/v1/east/'],
      ['nodes', 'cilium/state/nodes/v1/east/'],
      ['endpoints', 'cilium/state/ip/v1/default/'],
      ['identities', 'cilium/state/identities/v1/id/'],
    ] as const
    for (const owner of allOwners(snap)) {
      for (const [key, text] of meshRecords(snap, owner)) {
        const [resource, prefix] = prefixes.find(([, each]) => key.startsWith(each))!
        importers[resource].put(EAST, key.slice(prefix.length), text)
      }
    }
    expect([remote.backends.size, remote.nodes.size, remote.ips.size, remote.identities.size]).toEqual([1, 1, 1, 1])
  })
})
