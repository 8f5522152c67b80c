import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import type { Api } from '../../../agent/api/client.ts'
import type { ExporterReport } from '../../../agent/api/types.ts'
import { serviceName } from '../../../agent/types/service.ts'
import { addEast, decision, frontend, ip, row, world } from '../api/fixture.ts'
import { apiOver, impatientClock, output, weft } from './harness.ts'

const dir = mkdtempSync(join(tmpdir(), 'weft-contexts-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
for (const name of ['kind-west.sock', 'kind-west.apiserver.sock', 'kind-east.sock']) writeFileSync(join(dir, name), '')
const env = { WEFT_CONTEXTS: dir }

function west(withEast = true) {
  const made = world()
  if (withEast) addEast(made.writer)
  return made.view
}

/** The agent of east, which is connected to west or not. */
function east(connected: boolean): Api {
  const made = world([], { cluster: { name: 'east', id: 2 } })
  if (connected) addEast(made.writer, { name: 'west', id: 1 })
  return apiOver(made.view)
}

function exporter(fields: Partial<ExporterReport> = {}): Api {
  const report = { ok: true, problems: [], ready: true, etcd: ['http://172.18.0.2:2379'], ...fields }
  return { ...apiOver(west()), status: async () => report as never }
}

const lines = (text: string): string[] => text.split('\n')

describe('--context', () => {
  it('names a socket in a directory', async () => {
    const { code, socket } = await weft('node list --context kind-west', { env, view: west() })
    expect({ code, socket }).toEqual({ code: 0, socket: join(dir, 'kind-west.sock') })
  })

  it('says which there are, or how to have one', async () => {
    expect(await weft('status --context west', { env, view: west() })).toMatchObject({
      code: 2,
      err: `error: there is no context west: no socket ${dir}/west.sock\nhint: there are: kind-east, kind-west\n`,
    })
    expect((await weft('status --context ../x', { env, view: west() })).code).toBe(2)
    const { err } = await weft('status --context west', { env: { WEFT_CONTEXTS: '/nonexistent' }, view: west() })
    expect(err).toContain('hint: link an agent')
  })

  it('is refused where only the own machine can answer', async () => {
    expect(await weft('bpf lb list --context kind-west', { env })).toMatchObject({
      code: 2,
      err: 'error: weft bpf lb list is about the machine it runs on, not about a context\nhint: run it there\n',
    })
  })
})

describe('how others get at this cluster', () => {
  const status = 'clustermesh status --context kind-west'

  it('by the etcd of the exporter, when nobody says more', async () => {
    const out = await output(status, { env, view: west(), others: { 'apiserver.sock': exporter() } })
    expect(lines(out).slice(0, 4)).toEqual([
      '✅ Cluster access information is available:',
      '  - 172.18.0.2:2379',
      '✅ clustermesh-apiserver is ready',
      '',
    ])
    const local = exporter({ etcd: ['https://127.0.0.1:2379'] })
    const report = JSON.parse(
      await output(`${status} -o json`, { env, view: west(), others: { 'apiserver.sock': local } }),
    ) as object
    expect(report).toMatchObject({ access_information: [], apiserver: { ready: true, problems: [] } })
  })

  it('by the Service that "enable" makes, as the guide shows', async () => {
    const etcd = decision('172.18.0.2', { port: 2379 })
    const service = serviceName('kube-system', 'clustermesh-apiserver')
    const at = (id: string, type: 'ClusterIP' | 'NodePort') =>
      row(frontend([etcd], { id, service, type, address: ip('172.18.0.2') }))
    const made = world([
      at('10.2.216.182:2379/TCP', 'ClusterIP'),
      at('0.0.0.0:32379/TCP', 'NodePort'),
      at('172.18.0.2:32379/TCP', 'NodePort'),
    ])
    addEast(made.writer)
    const out = await output(status, { env, view: made.view, others: { 'apiserver.sock': exporter() } })
    expect(lines(out).slice(0, 5)).toEqual([
      '✅ Service "clustermesh-apiserver" of type "NodePort" found',
      '✅ Cluster access information is available:',
      '  - 172.18.0.2:32379',
      '✅ clustermesh-apiserver is ready',
      '',
    ])
  })

  it('not, while the exporter is not ready or does not answer', async () => {
    const problems = [{ code: 'etcd-lost', severity: 'error', message: 'the own etcd does not answer' }] as never
    const unready = exporter({ ready: false, problems })
    const { code, out } = await weft(status, { env, view: west(), others: { 'apiserver.sock': unready } })
    expect(code).toBe(1)
    expect(lines(out).slice(2, 4)).toEqual([
      '❌ clustermesh-apiserver is not ready',
      '  ⚠️  the own etcd does not answer',
    ])
    const dead = await weft(status, { env, view: west() })
    expect(dead.code).toBe(1)
    expect(lines(dead.out).slice(0, 2)).toEqual([
      '❌ clustermesh-apiserver is not ready',
      `  ⚠️  no agent answers on ${dir}/kind-west.apiserver.sock`,
    ])
  })
})

it('weft clustermesh status --wait waits for the exporter, too', async () => {
  const clock = impatientClock()
  const report = (): unknown => ({ ok: true, problems: [], ready: clock.waited >= 2000, etcd: [] })
  const slow: Api = { ...exporter(), status: async () => report() as never }
  const line = 'clustermesh status --wait --context kind-west'
  const { code, err } = await weft(line, { env, clock, view: west(), others: { 'apiserver.sock': slow } })
  expect({ code, err }).toEqual({
    code: 0,
    err: '⌛ Waiting (0s) for clusters to be connected: clustermesh-apiserver is not ready\n',
  })
  expect(clock.waited).toBe(2000)
})

describe('weft clustermesh enable', () => {
  const objects = (out: string): unknown[] => parseAllDocuments(out).map((document) => document.toJS() as unknown)

  it('prints the objects for the etcd of the exporter, and what is left to do', async () => {
    const line = 'clustermesh enable --service-type NodePort --enable-kvstoremesh=false'
    const { code, out, err } = await weft(line, { view: west(), others: { 'apiserver.sock': exporter() } })
    expect(code).toBe(0)
    expect(objects(out)).toMatchObject([
      {
        kind: 'Service',
        metadata: { name: 'clustermesh-apiserver', namespace: 'kube-system' },
        spec: { type: 'NodePort', ports: [{ port: 2379, nodePort: 32379 }] },
      },
      {
        kind: 'EndpointSlice',
        metadata: { labels: { 'kubernetes.io/service-name': 'clustermesh-apiserver' } },
        endpoints: [{ addresses: ['172.18.0.2'] }],
        ports: [{ port: 2379 }],
      },
    ])
    expect(lines(err)).toEqual([
      '💡 1. apply the objects above ("kubectl apply -f -"), or write them into the directory of manifests of every node',
      '💡 2. tell the other clusters, and connect with what they tell:',
      '      weft clustermesh export-join --endpoint http://172.18.0.2:32379 --service-cidr PREFIX -f west.join',
      '      weft clustermesh connect OTHER.join --trust FINGERPRINT',
      '',
    ])
  })

  it('names certificates and programs where there are none', async () => {
    writeFileSync(join(dir, 'ca.crt'), '')
    const line = `clustermesh enable --service-type LoadBalancer --pki ${dir}`
    const { code, out, err } = await weft(line, { view: west() })
    expect(code).toBe(0)
    expect(objects(out)[0]).toMatchObject({ spec: { type: 'LoadBalancer', ports: [{ port: 2379 }] } })
    expect(out).not.toContain('nodePort')
    expect(err).not.toContain('ca init')
    for (const command of [
      `weft clustermesh ca issue server -d ${dir} --ip 172.18.0.6`,
      `weft clustermesh ca issue admin -d ${dir} --cluster west`,
      'weft clustermesh-apiserver --cluster-name west --cluster-id 1 --etcd-endpoints https://172.18.0.6:2379',
      'start "weft kvstoremesh" too',
      'export-join --endpoint https://BALANCER:2379',
    ]) {
      expect(err).toContain(command)
    }
  })

  it('wants to know where etcd is', async () => {
    const own = '--cluster-name west --cluster-id 1'
    expect(await weft(`clustermesh enable ${own}`)).toMatchObject({ code: 1, out: '' })
    expect((await weft(`clustermesh enable ${own} --etcd etcd.west`)).err).toContain('etcd.west is no IPv4 address')
    expect((await weft(`clustermesh enable ${own} --etcd 172.18.0.2:2390`)).out).toContain('port: 2390')
  })

  it('has the way back', async () => {
    const config = join(dir, 'mesh')
    const { code, out, err } = await weft(`clustermesh disable --config-dir ${config}`, { view: west() })
    expect({ code, out }).toMatchObject({ code: 1, out: '' })
    expect(err).toContain(config)
    const alone = await weft('clustermesh disable', { view: west() })
    expect(alone.code).toBe(0)
    expect(objects(alone.out)).toMatchObject([{ kind: 'Service' }, { kind: 'EndpointSlice' }])
    expect(lines(alone.err)).toHaveLength(3)
  })
})

describe('weft clustermesh connect --destination-context', () => {
  const line = 'clustermesh connect --context kind-west --destination-context kind-east'

  it('is content with clusters that are connected both ways', async () => {
    expect(await output(line, { env, view: west(), others: { 'kind-east.sock': east(true) } })).toBe(
      '✅ Cluster west => east: connected\n✅ Cluster east => west: connected\n',
    )
  })

  it('says what to run where, when they are not', async () => {
    const { code, out, err } = await weft(line, { env, view: west(), others: { 'kind-east.sock': east(false) } })
    expect({ code, out }).toEqual({
      code: 1,
      out: '✅ Cluster west => east: connected\n❌ Cluster east => west: not connected\n',
    })
    expect(err).toBe(
      'error: east => west not connected\n' +
        'hint: in west run "weft clustermesh export-join --for east --endpoint URL --service-cidr PREFIX -f west.join", ' +
        'then in east "weft clustermesh connect west.join --trust FINGERPRINT"\n',
    )
  })

  it('refuses what could never be one mesh', async () => {
    const { err } = await weft(line, { env, view: west(), others: { 'kind-east.sock': apiOver(west()) } })
    expect(err).toContain('west and west cannot be connected: they have the same name')
    expect((await weft('clustermesh connect', { env, view: west() })).err).toContain('the join file is missing')
  })
})

it('weft clustermesh vm says what there is instead', async () => {
  for (const rest of ['create my-vm --ipv4-alloc-cidr 10.192.1.0/24', 'install install-external-workload.sh']) {
    const { code, out, err } = await weft(`clustermesh vm ${rest}`)
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toMatch(/^error: a machine outside Kubernetes cannot .*\nhint: make it a cluster of its own/)
  }
})
