import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { ClustersLab } from './lab-clusters-fixture.ts'

/** What guides to ClusterMesh show at a prompt, asked from a machine that is in neither cluster. */

const UP_MS = 180_000
const CASE_MS = 90_000

describe('the prompts of the guides', { timeout: CASE_MS }, () => {
  const mesh = new ClustersLab(`guide-${String(process.pid)}`, 2)
  const { lab } = mesh
  const [west] = mesh.clusters
  const weft = (line: string): Promise<string> => lab.exec('client', ['weft', ...line.split(' ')])
  const onNode = (line: string): Promise<string> => lab.exec('west-control-plane', ['weft', ...line.split(' ')])
  const grep = (text: string, pattern: RegExp): string[] => text.split('\n').filter((line) => pattern.test(line))

  const settings = [
    'bpf.masquerade=true',
    'ipMasqAgent.enabled=true',
    'ipMasqAgent.config.nonMasqueradeCIDRs=[10.1.0.0/16]',
  ]
  beforeAll(() => mesh.up(...settings.flatMap((setting) => ['--set', setting])), UP_MS)
  afterAll(() => mesh.down(), UP_MS)

  test('config view | grep -E "cluster-|masq"', async () => {
    const values = (lines: readonly string[]): string[][] => lines.map((line) => line.split(/ +/))
    const west = values(grep(await weft('config view --context kind-west'), /cluster-|masq/))
    expect(west).toEqual(
      expect.arrayContaining([
        ['cluster-id', '1'],
        ['cluster-name', 'west'],
        ['enable-bpf-masquerade', 'true'],
        ['enable-ip-masq-agent', 'true'],
        ['enable-ipv4-masquerade', 'true'],
      ]),
    )
    const east = values(grep(await weft('config view --context kind-east'), /cluster-id|bgp/))
    expect(east).toEqual([
      ['cluster-id', '2'],
      ['enable-bgp-control-plane', 'false'],
    ])
    expect(await onNode('bpf ipmasq list')).toBe('IP PREFIX/ADDRESS\n10.1.0.0/16\n169.254.0.0/16\n')
  })

  test('clustermesh enable, status --wait and connect', async () => {
    const enable = 'clustermesh enable --service-type NodePort --enable-kvstoremesh=false --context kind-west'
    const file = path.join(lab.paths.state, 'enabled.yaml')
    writeFileSync(file, await weft(enable))
    await lab.run(['apply', west!.name, file])
    // Agents elsewhere connect to this address: it leads to the etcd, by the node port.
    await eventually(
      async () => {
        const health = await lab.try(['exec', 'client', '--', 'curl', '-s', '-m', '2', '172.18.0.2:32379/health'])
        expect(health.stdout).toContain('true')
      },
      { what: 'the etcd behind the node port', timeoutMs: 30_000 },
    )
    expect(await weft('clustermesh status --context kind-west --wait')).toBe(`\
✅ Service "clustermesh-apiserver" of type "NodePort" found
✅ Cluster access information is available:
  - 172.18.0.2:32379
✅ clustermesh-apiserver is ready

✅ All 1 nodes are connected to all clusters [min:1 / avg:1.0 / max:1]

🔌 Cluster Connections:
  - east: 1/1 configured, 1/1 connected

🔀 Global services: [ min:1 / avg:1.0 / max:1 ]
`)
    expect(await weft('clustermesh connect --context kind-west --destination-context kind-east')).toBe(
      '✅ Cluster west => east: connected\n✅ Cluster east => west: connected\n',
    )
    await lab.run(['delete', west!.name, file])
  })

  test('what troubleshooting asks', async () => {
    expect(await onNode('troubleshoot clustermesh')).toContain('✅ Etcd connection successfully established')
    expect(grep(await onNode('status --verbose'), /^ClusterMesh:/)).toEqual([
      'ClusterMesh:   1/1 remote clusters ready, 1 global-services',
    ])
    const nodes = grep(await onNode('endpoint list --selector reserved:remote-node'), /^east\//)
    expect(nodes.map((line) => line.split(' ')[0])).toEqual(['east/east-control-plane', 'east/east-worker'])
    expect(grep(await onNode('identity list'), /cluster=east/)).not.toEqual([])
    expect(grep(await onNode('bpf lb list'), /global/)).toHaveLength(1)
    expect(grep(await onNode('bpf ipcache list'), /cluster=east/).length).toBeGreaterThan(4)
    const workloads = await lab.try(['exec', 'client', '--', 'weft', 'clustermesh', 'vm', 'create', 'my-vm'])
    expect([workloads.code, workloads.stderr]).toEqual([1, expect.stringContaining('make it a cluster of its own')])
  })
})
