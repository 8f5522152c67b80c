import { describe, expect, it } from 'vitest'
import { endpointReports, identityReports, nodeReports } from '../../../agent/api/model.ts'
import { podRow } from '../../rows.ts'
import { addEast, ip, world } from './fixture.ts'

describe('lists', () => {
  it('name nodes by where they are from', () => {
    const { view, writer } = world()
    addEast(writer)
    for (const name of ['west-worker', 'west-control-plane']) {
      writer.upsertNode({
        key: `west/${name}`,
        cluster: 'west',
        name,
        address: ip('172.18.0.2'),
        addresses: [],
        podCidrs: [],
        labels: {},
        zone: 'a',
        origin: 'nodes.yaml:1',
      })
    }
    expect(nodeReports(view).map((node) => [node.name, node.source])).toEqual([
      ['east/east-control-plane', 'clustermesh'],
      ['east/east-worker', 'clustermesh'],
      ['west/west-control-plane', 'cluster'],
      ['west/west-worker', 'local'],
    ])
  })

  it('have the reserved identities before the allocated ones', () => {
    const { view, writer } = world()
    addEast(writer)
    const reports = identityReports(view)
    expect(reports.find((report) => report.id === 6)?.labels).toEqual(['reserved:remote-node'])
    expect(reports.map((report) => report.id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 137204, 137205, 137206])
  })

  it('have the pods of this node with their identity', () => {
    const { view, writer } = world()
    const pod = podRow({
      name: 'curl-pod',
      address: ip('10.0.0.144'),
      nodeName: 'west-worker',
      labels: { app: 'curl' },
    })
    writer.upsertPod(pod)
    writer.upsertPod({ ...pod, key: 'default/elsewhere', nodeName: 'west-control-plane' })
    writer.upsertPod({ ...pod, key: 'default/host', hostNetwork: true })
    writer.upsertPod({ ...pod, key: 'default/new', address: undefined, ready: false })
    writer.upsertIp({
      key: 'west/10.0.0.144/32',
      cluster: 'west',
      prefix: { address: ip('10.0.0.144'), bits: 32 },
      identity: 72110,
      hostAddress: undefined,
      namespace: 'default',
      podName: 'curl-pod',
    })
    writer.upsertIdentity({
      id: 72110,
      cluster: 'west',
      labels: ['k8s:app=curl', 'k8s:io.kubernetes.pod.namespace=default'],
    })
    expect(endpointReports(view)).toEqual([
      {
        name: 'default/curl-pod',
        address: '10.0.0.144',
        identity: 72110,
        labels: ['k8s:app=curl', 'k8s:io.kubernetes.pod.namespace=default'],
        state: 'ready',
      },
      { name: 'default/new', address: '', identity: 5, labels: ['k8s:app=curl'], state: 'waiting-for-address' },
    ])
  })
})
