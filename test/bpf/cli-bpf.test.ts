import { mkdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { BACKEND_MAP, BACKEND_STATES, backendKey, backendValue } from '../../agent/maps/backend.ts'
import type { Codec, MapShape } from '../../agent/maps/codec.ts'
import { encoded } from '../../agent/maps/codec.ts'
import { DROP_REASONS } from '../../agent/maps/drop-reasons.ts'
import { FLOW_FLAGS, FLOW_OTHER_MAP, FLOW_SYN_MAP, FLOW_TCP_MAP, flowKey, flowValue } from '../../agent/maps/flow.ts'
import { IPCACHE_MAP, ipcacheKey, ipcacheValue } from '../../agent/maps/ipcache.ts'
import { METRIC_DIRECTIONS, metricIndex, metricKey, METRICS_MAP } from '../../agent/maps/metrics.ts'
import { REVNAT_MAP, revNatKey, revNatValue } from '../../agent/maps/revnat.ts'
import {
  SERVICE_MAP,
  serviceKey,
  serviceValue,
  SVC_ALGORITHMS,
  SVC_FLAGS,
  SVC_FORWARD,
  SVC_SCOPES,
} from '../../agent/maps/service.ts'
import { SLOT_MAP, slotKey, slotValue } from '../../agent/maps/slot.ts'
import { BpfMap, possibleCpus } from '../../native/index.ts'
import { ip } from '../unit/api/fixture.ts'
import { output, weft } from '../unit/cli/harness.ts'
import { type Bpffs, mountBpffs } from './bpffs.ts'

/** With the maps an agent would have pinned: no program, no agent. */
let bpffs: Bpffs
let root: string
const maps = new Map<string, BpfMap>()

/** Whole, where the number of elements is part of the layout; small otherwise. */
const SIZES: Readonly<Record<string, number>> = { [METRICS_MAP.name]: METRICS_MAP.maxEntries }

beforeAll(() => {
  bpffs = mountBpffs()
  root = bpffs.root
  mkdirSync(join(root, 'weft/maps'), { recursive: true })
  const shapes = [
    SERVICE_MAP,
    SLOT_MAP,
    BACKEND_MAP,
    REVNAT_MAP,
    FLOW_TCP_MAP,
    FLOW_SYN_MAP,
    FLOW_OTHER_MAP,
    IPCACHE_MAP,
    METRICS_MAP,
  ]
  for (const shape of shapes as readonly MapShape[]) {
    const map = BpfMap.create({ ...shape, maxEntries: SIZES[shape.name] ?? 512 })
    maps.set(shape.name, map)
    map.pin(join(root, 'weft/maps', shape.name))
  }
  fillServices()
  fillRest()
})

afterAll(() => {
  for (const map of maps.values()) map.close()
  bpffs?.close()
})

function put<K, V>(shape: MapShape, key: Codec<K>, value: Codec<V>, entry: readonly [K, V]): void {
  maps.get(shape.name)!.update(encoded(key, entry[0]), encoded(value, entry[1]))
}

const BACKENDS = [
  [3, '10.0.0.46', 1, BACKEND_STATES.ACTIVE],
  [4, '10.1.0.190', 2, BACKEND_STATES.ACTIVE],
  [9, '10.0.1.219', 1, BACKEND_STATES.TERMINATING],
] as const

const NO_MAGLEV = { maglevOffset: 0, maglevSize: 0, algorithm: SVC_ALGORITHMS.RANDOM }

function fillServices(): void {
  for (const [id, address, clusterId, state] of BACKENDS) {
    put(BACKEND_MAP, backendKey, backendValue, [
      id,
      { address: ip(address), port: 80, protocol: 6, state, clusterId, zone: 0, flags: 0, nodeAddress: ip('0.0.0.0') },
    ])
  }
  // The guide's service: two selectable slots and one that only keeps its flows, at 16; a Maglev table of 7 at 32.
  const cells: Readonly<Record<number, readonly number[]>> = { 16: [3, 4, 9], 32: [3, 3, 3, 3, 4, 4, 4], 48: [77] }
  for (const [offset, ids] of Object.entries(cells)) {
    ids.forEach((id, i) => put(SLOT_MAP, slotKey, slotValue, [Number(offset) + i, id]))
  }
  const key = { address: ip('10.2.47.149'), port: 80, protocol: 6, scope: SVC_SCOPES.EXT }
  const value = {
    serviceId: 13,
    flags: SVC_FLAGS.CLUSTER_IP,
    affinitySeconds: 0,
    algorithm: SVC_ALGORITHMS.MAGLEV,
    forward: SVC_FORWARD.SNAT,
    count: 2,
    quarantined: 1,
    slotOffset: 16,
    maglevOffset: 32,
    maglevSize: 7,
  }
  const nodePort =
    SVC_FLAGS.NODEPORT | SVC_FLAGS.ROUTABLE | SVC_FLAGS.ETP_LOCAL | SVC_FLAGS.AFFINITY | SVC_FLAGS.TWO_SCOPES
  put(SERVICE_MAP, serviceKey, serviceValue, [key, value])
  put(SERVICE_MAP, serviceKey, serviceValue, [
    { ...key, address: ip('172.18.0.6'), port: 30080, scope: SVC_SCOPES.INT },
    {
      ...value,
      ...NO_MAGLEV,
      serviceId: 14,
      flags: nodePort,
      affinitySeconds: 10800,
      count: 1,
      quarantined: 0,
      slotOffset: 48,
    },
  ])
  put(SERVICE_MAP, serviceKey, serviceValue, [
    { address: ip('10.2.0.10'), port: 53, protocol: 17, scope: SVC_SCOPES.EXT },
    { ...value, ...NO_MAGLEV, serviceId: 2, count: 0, quarantined: 0, slotOffset: 0 },
  ])
  put(REVNAT_MAP, revNatKey, revNatValue, [13, { address: ip('10.2.47.149'), port: 80, flags: 0 }])
  put(REVNAT_MAP, revNatKey, revNatValue, [14, { address: ip('172.18.0.6'), port: 30080, flags: 0 }])
}

function fillRest(): void {
  const now = Number(process.hrtime.bigint() / 1_000_000_000n)
  const value = {
    addressDiff: 1,
    portDiff: 2,
    serviceId: 14,
    backendId: 4,
    last: now,
    created: now,
    expires: now + 21_600,
  }
  const client = { source: ip('172.18.0.100'), sourcePort: 40000 }
  const vip = { destination: ip('172.18.0.6'), destinationPort: 30080 }
  put(FLOW_TCP_MAP, flowKey, flowValue, [
    { ...client, ...vip, protocol: 6 },
    {
      ...value,
      source: ip('172.18.0.6'),
      sourcePort: 32768,
      destination: ip('10.1.0.190'),
      destinationPort: 80,
      flags: FLOW_FLAGS.SNAT | FLOW_FLAGS.ESTABLISHED,
    },
  ])
  put(FLOW_TCP_MAP, flowKey, flowValue, [
    { source: ip('10.1.0.190'), sourcePort: 80, destination: ip('172.18.0.6'), destinationPort: 32768, protocol: 6 },
    {
      ...value,
      source: vip.destination,
      sourcePort: 30080,
      destination: client.source,
      destinationPort: 40000,
      flags: FLOW_FLAGS.REV | FLOW_FLAGS.SNAT | FLOW_FLAGS.ESTABLISHED,
    },
  ])
  put(FLOW_SYN_MAP, flowKey, flowValue, [
    { ...client, sourcePort: 40001, ...vip, protocol: 6 },
    {
      ...value,
      ...client,
      sourcePort: 40001,
      destination: ip('10.0.0.46'),
      destinationPort: 80,
      flags: FLOW_FLAGS.LOCAL,
    },
  ])
  put(FLOW_SYN_MAP, flowKey, flowValue, [
    { ...client, sourcePort: 40002, ...vip, protocol: 6 },
    {
      ...{ ...value, ...client, sourcePort: 40002, destination: ip('10.0.0.46'), destinationPort: 80 },
      flags: FLOW_FLAGS.LOCAL | FLOW_FLAGS.RST,
      expires: now - 1000,
    },
  ])
  put(FLOW_OTHER_MAP, flowKey, flowValue, [
    { ...client, ...vip, protocol: 17 },
    { ...value, ...client, destination: ip('10.0.0.46'), destinationPort: 53, serviceId: 2, flags: FLOW_FLAGS.LOCAL },
  ])
  const entry = { identity: 2, tunnel: undefined, clusterId: 0, remoteCluster: false, isNode: false, takesDsr: false }
  const remote = { clusterId: 2, tunnel: ip('172.18.0.3'), remoteCluster: true }
  put(IPCACHE_MAP, ipcacheKey, ipcacheValue, [{ address: ip('0.0.0.0'), bits: 0 }, entry])
  put(IPCACHE_MAP, ipcacheKey, ipcacheValue, [
    { address: ip('10.1.1.0'), bits: 24 },
    { ...entry, ...remote },
  ])
  put(IPCACHE_MAP, ipcacheKey, ipcacheValue, [
    { address: ip('10.1.1.41'), bits: 32 },
    { ...entry, ...remote, identity: 137204 },
  ])
  put(IPCACHE_MAP, ipcacheKey, ipcacheValue, [
    { address: ip('172.18.0.3'), bits: 32 },
    { ...entry, identity: 6, isNode: true },
  ])
  count(METRIC_DIRECTIONS.INGRESS, DROP_REASONS.REASON_FORWARDED, 5n, 500n)
  count(METRIC_DIRECTIONS.INGRESS, DROP_REASONS.DROP_NO_SERVICE, 1n, 60n)
}

/** The same count on every cpu. */
function count(direction: number, reason: number, packets: bigint, bytes: bigint): void {
  const value = Buffer.alloc(16 * possibleCpus())
  for (let cpu = 0; cpu < possibleCpus(); cpu++) {
    value.writeBigUInt64LE(packets, cpu * 16)
    value.writeBigUInt64LE(bytes, cpu * 16 + 8)
  }
  maps.get(METRICS_MAP.name)!.update(encoded(metricKey, metricIndex(direction, reason)), value)
}

function list(command: string): Promise<string> {
  return output(`bpf ${command} --bpf-root ${root}`, {})
}

describe('weft bpf lb list', () => {
  it('has the service, then its slots', async () => {
    expect(await list('lb list')).toBe(
      `\
SERVICE ADDRESS              BACKEND ADDRESS (REVNAT_ID) (SLOT)
10.2.0.10:53/UDP (0)         0.0.0.0:0 (2) (0) [ClusterIP, non-routable]
10.2.47.149:80/TCP (0)       0.0.0.0:0 (13) (0) [ClusterIP, non-routable]
10.2.47.149:80/TCP (1)       10.0.0.46:80/TCP (13) (1)
10.2.47.149:80/TCP (2)       10.1.0.190:80/TCP (13) (2)
10.2.47.149:80/TCP (3)       10.0.1.219:80/TCP (13) (3) [quarantined]
172.18.0.6:30080/TCP/i (0)   0.0.0.0:0 (14) (0) [NodePort, Local, two-scopes, sessionAffinity]
172.18.0.6:30080/TCP/i (1)   backend 77 not found
`,
    )
  })

  it('has one line per service with --frontends', async () => {
    expect(await list('lb list --frontends')).toBe(
      `\
SERVICE ADDRESS          ID   BACKENDS   QUARANTINED   ALGORITHM    MODE   AFFINITY   FLAGS
10.2.0.10:53/UDP         2    0          0             random       snat   -          ClusterIP, non-routable
10.2.47.149:80/TCP       13   2          1             maglev (7)   snat   -          ClusterIP, non-routable
172.18.0.6:30080/TCP/i   14   1          0             random       snat   10800s     NodePort, Local, two-scopes, sessionAffinity
`,
    )
  })

  it('has backends and reverse addresses', async () => {
    expect(await list('lb list --backends')).toBe(
      'ID   BACKEND ADDRESS\n3    TCP://10.0.0.46\n4    TCP://10.1.0.190\n9    TCP://10.0.1.219\n',
    )
    expect(await list('lb list --revnat')).toBe(
      'ID   BACKEND ADDRESS (REVNAT_ID) (SLOT)\n13   10.2.47.149:80\n14   172.18.0.6:30080\n',
    )
  })

  it('has the same in JSON and YAML', async () => {
    const json = JSON.parse(await list('lb list -o json')) as unknown
    expect(parse(await list('lb list -o yaml'))).toEqual(json)
    expect(json).toMatchObject([
      { address: '10.2.0.10:53/UDP', slots: [] },
      {
        id: 13,
        address: '10.2.47.149:80/TCP',
        algorithm: 'maglev',
        slots: [
          { backendId: 3, address: '10.0.0.46:80/TCP', quarantined: false },
          { backendId: 4, address: '10.1.0.190:80/TCP', quarantined: false },
          { backendId: 9, address: '10.0.1.219:80/TCP', quarantined: true },
        ],
      },
      { id: 14 },
    ])
  })
})

it('weft bpf backend list', async () => {
  expect(await list('backend list')).toBe(
    `\
ID   BACKEND ADDRESS     STATE         CLUSTER ID   ZONE
3    10.0.0.46:80/TCP    active        1            0
4    10.1.0.190:80/TCP   active        2            0
9    10.0.1.219:80/TCP   terminating   1            0
`,
  )
})

it('weft bpf maglev list', async () => {
  expect(await list('maglev list')).toBe(
    `\
SERVICE ADDRESS      ID   TABLE SIZE   BACKEND             SLOTS   SHARE
10.2.47.149:80/TCP   13   7            10.0.0.46:80/TCP    4       57.14%
                                       10.1.0.190:80/TCP   3       42.86%
`,
  )
})

it('weft bpf ct list', async () => {
  const out = await list('ct list')
  // Time passes between filling and listing.
  expect(out.replace(/\b21[56]\d\ds/g, '21600s')).toBe(
    `\
PROTO   DIRECTION   PACKET                                   BECOMES                                  SERVICE   BACKEND   EXPIRES   FLAGS
UDP     forward     172.18.0.100:40000 -> 172.18.0.6:30080   172.18.0.100:40000 -> 10.0.0.46:53       2         4         21600s    local
TCP     forward     172.18.0.100:40000 -> 172.18.0.6:30080   172.18.0.6:32768 -> 10.1.0.190:80        14        4         21600s    snat,established
TCP     forward     172.18.0.100:40001 -> 172.18.0.6:30080   172.18.0.100:40001 -> 10.0.0.46:80       14        4         21600s    local
TCP     reverse     10.1.0.190:80 -> 172.18.0.6:32768        172.18.0.6:30080 -> 172.18.0.100:40000   14        4         21600s    snat,established
`,
  )
})

it('weft bpf ct list --all', async () => {
  const shown = (await list('ct list')).split('\n')
  const more = (await list('ct list --all')).split('\n').filter((line) => line.includes('expired'))
  expect(shown.join()).not.toContain(':40002')
  expect(more.map((line) => line.split(/ {2,}/).slice(2))).toEqual([
    [
      '172.18.0.100:40002 -> 172.18.0.6:30080',
      '172.18.0.100:40002 -> 10.0.0.46:80',
      ...['14', '4', 'expired', 'local,rst'],
    ],
  ])
})

it('weft bpf ipcache list', async () => {
  expect(await list('ipcache list')).toBe(
    `\
IP PREFIX/ADDRESS   IDENTITY
0.0.0.0/0           identity=2 encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>
10.1.1.0/24         identity=2 encryptkey=0 tunnelendpoint=172.18.0.3 flags=hastunnel,remotecluster cluster=2
10.1.1.41/32        identity=137204 encryptkey=0 tunnelendpoint=172.18.0.3 flags=hastunnel,remotecluster cluster=2
172.18.0.3/32       identity=6 encryptkey=0 tunnelendpoint=0.0.0.0 flags=node
`,
  )
})

it('weft bpf metrics list', async () => {
  const rows = JSON.parse(await list('metrics list -o json')) as unknown
  const cpus = possibleCpus()
  expect(rows).toEqual([
    { reason: 'forwarded', direction: 'ingress', packets: 5 * cpus, bytes: 500 * cpus },
    { reason: 'no-service', direction: 'ingress', packets: cpus, bytes: 60 * cpus },
  ])
  expect(await list('metrics list')).toMatch(/^REASON\s+DIRECTION\s+PACKETS\s+BYTES\nforwarded\s+ingress\s/)
})

it('says what is missing when a map is not pinned', async () => {
  unlinkSync(join(root, 'weft/maps', IPCACHE_MAP.name))
  const { code, out, err } = await weft(`bpf ipcache list --bpf-root ${root}`)
  expect({ code, out }).toEqual({ code: 1, out: '' })
  expect(err).toContain(`error: cannot read the maps under ${root}/weft/maps: `)
  expect(err).toContain('ENOENT')
  expect(err).toContain("hint: the maps were made by another version: start this version's agent once\n")
})
