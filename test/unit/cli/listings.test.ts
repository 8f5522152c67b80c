import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseCidr } from '../../../agent/types/address.ts'
import { SERVICE_FLAGS } from '../../../agent/types/service-flags.ts'
import { podRow } from '../../rows.ts'
import { addEast, addEastWebpod, decision, frontend, ip, row, service, webpodDecisions, world } from '../api/fixture.ts'
import { output, weft } from './harness.ts'

function webpod(affinity: 'none' | 'local' | 'remote') {
  const { view, writer } = world([row(frontend(webpodDecisions(affinity)))])
  writer.upsertService(service({ mesh: { global: true, shared: true, affinity } }))
  addEast(writer)
  addEastWebpod(writer)
  return view
}

describe('weft service list', () => {
  it('marks nothing without an affinity', async () => {
    expect(await output('service list --clustermesh-affinity', { view: webpod('none') })).toBe(
      `\
ID   Frontend             Service Type   Backend
13   10.2.47.149:80/TCP   ClusterIP      1 => 10.0.0.46:80/TCP (active)
                                         2 => 10.0.1.219:80/TCP (active)
                                         3 => 10.1.0.190:80/TCP (active)
                                         4 => 10.1.1.41:80/TCP (active)
`,
    )
  })

  it('marks local backends when the affinity is local', async () => {
    expect(await output('service list --clustermesh-affinity', { view: webpod('local') })).toBe(
      `\
ID   Frontend             Service Type   Backend
13   10.2.47.149:80/TCP   ClusterIP      1 => 10.0.0.46:80/TCP (active) (preferred)
                                         2 => 10.0.1.219:80/TCP (active) (preferred)
                                         3 => 10.1.0.190:80/TCP (active)
                                         4 => 10.1.1.41:80/TCP (active)
`,
    )
  })

  it('puts remote backends first when the affinity is remote', async () => {
    expect(await output('service list --clustermesh-affinity', { view: webpod('remote') })).toBe(
      `\
ID   Frontend             Service Type   Backend
13   10.2.47.149:80/TCP   ClusterIP      1 => 10.1.0.190:80/TCP (active) (preferred)
                                         2 => 10.1.1.41:80/TCP (active) (preferred)
                                         3 => 10.0.0.46:80/TCP (active)
                                         4 => 10.0.1.219:80/TCP (active)
`,
    )
  })

  it('says preferred only when asked', async () => {
    const out = await output('service list', { view: webpod('local') })
    expect(out).toContain('1 => 10.0.0.46:80/TCP (active)\n')
    expect(out).not.toContain('preferred')
  })

  it('shows other kinds, internal scope, no backends and no id', async () => {
    const view = world([
      row(frontend([decision('10.0.0.46')], { type: 'ExternalIP', address: ip('192.0.2.1') }), 2),
      row(frontend([], { type: 'NodePort', address: ip('172.18.0.6'), port: 30080, scope: 'int' }), 1),
      row(frontend([], { type: 'LoadBalancer', address: ip('192.0.2.9') }), null, { state: 'pending' }),
    ]).view
    expect(await output('service list', { view })).toBe(
      `\
ID   Frontend                 Service Type   Backend
1    172.18.0.6:30080/TCP/i   NodePort
2    192.0.2.1:80/TCP         ExternalIPs    1 => 10.0.0.46:80/TCP (active)
-    192.0.2.9:80/TCP         LoadBalancer
`,
    )
  })

  it('has the same in JSON and YAML', async () => {
    const view = webpod('local')
    const json: unknown = JSON.parse(await output('service list -o json', { view }))
    expect(parse(await output('service list -o yaml', { view }))).toEqual(json)
    expect(json).toMatchObject([
      {
        spec: {
          id: 13,
          'frontend-address': { ip: '10.2.47.149', port: 80, protocol: 'TCP', scope: 'external' },
          'backend-addresses': [
            {
              ip: '10.0.0.46',
              port: 80,
              protocol: 'TCP',
              state: 'active',
              preferred: true,
              weight: 100,
              cluster: 'west',
            },
            { preferred: true },
            { preferred: false, cluster: 'east' },
            { preferred: false },
          ],
          flags: { name: 'webpod', namespace: 'default', type: 'ClusterIP', trafficPolicy: 'Cluster' },
        },
        status: { state: 'done' },
      },
    ])
  })
})

describe('weft explain service', () => {
  it('has a line per backend of both clusters and a sentence per reason', async () => {
    expect(await output('explain service default/webpod', { view: webpod('local') })).toBe(
      `\
Service:   default/webpod
Mesh:      global, shared with other clusters, affinity local

Frontend:   10.2.47.149:80/TCP (ClusterIP)
Datapath:   in place
Backends:   2 of 4 take new connections

BACKEND             CLUSTER   SELECTED   WEIGHT   TIER   REASON
10.0.0.46:80/TCP    west      yes        100      0      selected
10.0.1.219:80/TCP   west      yes        100      0      selected
10.1.0.190:80/TCP   east      no         100      1      affinity-hides
10.1.1.41:80/TCP    east      no         100      1      affinity-hides

Reasons:
  selected         takes new connections
  affinity-hides   service.cilium.io/affinity prefers other backends, and at least one of them is usable
`,
    )
  })

  it('says which clients are let in, or kept out', async () => {
    const ranges = { sourceRanges: [parseCidr('192.0.2.0/24')!, parseCidr('198.51.100.7')!] }
    const said = async (flags: number): Promise<string> => {
      const { view, writer } = world([row(frontend(webpodDecisions('none'), { flags, ...ranges }))])
      writer.upsertService(service())
      return output('explain service webpod', { view })
    }
    const { SRC_CHECK, SRC_DENY } = SERVICE_FLAGS
    expect(await said(SRC_CHECK)).toMatch(/^Clients: +only 192\.0\.2\.0\/24, 198\.51\.100\.7\/32$/m)
    expect(await said(SRC_CHECK | SRC_DENY)).toMatch(/^Clients: +all but 192\.0\.2\.0\/24, 198\.51\.100\.7\/32$/m)
    expect(await said(0)).not.toContain('Clients:')
  })

  it('says of a service of its own that other clusters do not get it', async () => {
    const { view, writer } = world()
    writer.upsertService(service({ mesh: { global: true, shared: false, affinity: 'none' } }))
    expect(await output('explain service webpod', { view })).toContain(
      'Mesh:      global, not-shared: other clusters do not use its backends (service.cilium.io/shared: "false")\n',
    )
    writer.upsertService(service({ mesh: { global: false, shared: true, affinity: 'none' } }))
    expect(await output('explain service webpod', { view })).not.toContain('Mesh:')
  })

  it('shows problems with what to do, and a service of other clusters only', async () => {
    const { view, writer } = world()
    addEast(writer)
    addEastWebpod(writer)
    const stray = await output('explain service webpod', { view })
    expect(stray).toContain('Frontend:   none\nDatapath:   nothing to write\n')
    expect(stray).toContain('10.1.0.190:80/TCP   east      no         100      0      no-local-service\n')

    writer.upsertService(
      service({
        problems: [{ code: 'unknown-annotation-value', message: 'affinity "lokal" is unknown', hint: 'use local' }],
      }),
    )
    expect(await output('explain service webpod', { view: { ...view, frontendsOf: () => [] } })).toContain(
      'Problems:   2\n  unknown-annotation-value: affinity "lokal" is unknown\n    hint: use local\n',
    )
  })

  it('has the agreed fields in JSON', async () => {
    const json = JSON.parse(await output('explain service default/webpod -o json', { view: webpod('local') })) as {
      frontends: { backends: object[] }[]
    }
    expect(Object.keys(json)).toEqual(['service', 'mesh', 'frontends', 'problems'])
    expect(json.frontends[0]?.backends[2]).toEqual({
      address: '10.1.0.190:80/TCP',
      cluster: 'east',
      selected: false,
      weight: 100,
      tier: 1,
      reason: 'affinity-hides',
    })
  })

  it('refuses what is no name, and fails for a service nobody has', async () => {
    const view = webpod('none')
    expect(await weft('explain service a/b/c', { view })).toMatchObject({ code: 2, out: '' })
    expect(await weft('explain service default/nothing', { view })).toMatchObject({
      code: 1,
      out: '',
      err: 'error: no cluster has a service default/nothing\nhint: look again\n',
    })
  })
})

describe('smaller lists', () => {
  it('nodes', async () => {
    const { view, writer } = world()
    addEast(writer)
    expect(await output('node list', { view })).toBe(
      `\
Name                      IPv4 Address   Endpoint CIDR   IPv6 Address   Endpoint CIDR   Source
east/east-control-plane   172.18.0.4     10.1.0.0/24                                    clustermesh
east/east-worker          172.18.0.3     10.1.1.0/24                                    clustermesh
`,
    )
  })

  it('identities, all or by label', async () => {
    const { view, writer } = world()
    addEast(writer)
    const all = await output('identity list', { view })
    expect(all.split('\n').slice(0, 2)).toEqual(['ID       LABELS', '1        reserved:host'])
    const some = await output('identity list io.cilium.k8s.policy.cluster=east app=app-137204', { view })
    expect(some).toBe(
      `\
ID       LABELS
137204   k8s:app=app-137204
         k8s:io.cilium.k8s.policy.cluster=east
`,
    )
  })

  it('endpoints', async () => {
    const { view, writer } = world()
    const labels = { app: 'curl', tier: 'lab' }
    writer.upsertPod(podRow({ name: 'curl-pod', address: ip('10.0.0.144'), nodeName: 'west-worker', labels }))
    expect(await output('endpoint list', { view })).toBe(
      `\
ENDPOINT           POLICY (ingress)   POLICY (egress)   IDENTITY   LABELS (source:key[=value])   IPv6   IPv4         STATUS
                   ENFORCEMENT        ENFORCEMENT
default/curl-pod   Disabled           Disabled          5          k8s:app=curl                         10.0.0.144   ready
                                                                   k8s:tier=lab
`,
    )
  })

  it('nodes as endpoints, for a selector that names their identity', async () => {
    const { view, writer } = world()
    addEast(writer)
    expect(await output('endpoint list --selector reserved:remote-node', { view })).toBe(
      `\
ENDPOINT                  POLICY (ingress)   POLICY (egress)   IDENTITY   LABELS (source:key[=value])   IPv6   IPv4         STATUS
                          ENFORCEMENT        ENFORCEMENT
east/east-control-plane   Disabled           Disabled          6          reserved:remote-node                 172.18.0.4   ready
east/east-worker          Disabled           Disabled          6          reserved:remote-node                 172.18.0.3   ready
`,
    )
    expect((await output('endpoint list --selector app=none', { view })).split('\n')).toHaveLength(3)
  })

  it('configuration, with where each value came from', async () => {
    expect(await output('config view --sources', { view: world().view })).toBe(
      `\
KEY           VALUE    SOURCE
algorithm     maglev   file /etc/weft/agent.yaml
clusterName   west     flag --cluster-name
devices       -        default
`,
    )
    expect(JSON.parse(await output('config view -o json', { view: world().view }))).toEqual(world().view.config)
  })

  it('configuration, under the keys of a ConfigMap', async () => {
    const lines = (await output('config view', { view: world().view })).split('\n')
    expect(lines.filter((line) => /^(cluster-|devices|algorithm|routing)/.test(line))).toEqual([
      'algorithm                                         maglev',
      'cluster-name                                      west',
      'devices',
      'routing-mode                                      native',
    ])
  })
})
