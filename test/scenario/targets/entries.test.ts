import { afterEach, expect, test } from 'vitest'
import type { EndpointEntry, IpcacheEntry } from '../../../agent/types/datapath.ts'
import { ENDPOINT_MAP } from '../../../agent/maps/endpoint.ts'
import { IPCACHE_MAP } from '../../../agent/maps/ipcache.ts'
import { silentLog } from '../../../agent/lib/log.ts'
import { systemClock } from '../../../agent/lib/clock.ts'
import { IPCACHE_ROWS } from '../../../agent/reconcile/ipcache-rows.ts'
import { PrefixDelta } from '../../../agent/reconcile/prefix-delta.ts'
import { Reconciler } from '../../../agent/reconcile/reconciler.ts'
import { EndpointTarget } from '../../../agent/targets/endpoints.ts'
import { IpcacheTarget } from '../../../agent/targets/ipcache.ts'
import { formatAddress, formatCidr, parseAddress, parseCidr } from '../../../agent/types/address.ts'
import { BpfMap } from '../../../native/index.ts'

const open: BpfMap[] = []
afterEach(() => open.splice(0).forEach((map) => map.close()))

function mapLike(shape: typeof IPCACHE_MAP | typeof ENDPOINT_MAP, maxEntries: number): BpfMap {
  const map = BpfMap.create({ ...shape, maxEntries })
  open.push(map)
  return map
}

function ip(prefix: string, over: Partial<IpcacheEntry> = {}): [string, IpcacheEntry] {
  const cidr = parseCidr(prefix)!
  return [
    formatCidr(cidr),
    {
      prefix: cidr,
      identity: 70000,
      tunnel: parseAddress('172.18.0.4'),
      clusterId: 1,
      remoteCluster: false,
      isNode: false,
      takesDsr: false,
      ...over,
    },
  ]
}

function endpoint(address: string, over: Partial<EndpointEntry> = {}): [string, EndpointEntry] {
  const parsed = parseAddress(address)!
  return [formatAddress(parsed), { address: parsed, identity: 70000, isHost: false, ...over }]
}

test('ipcache entries come back as they went in, prefixes of one address apart', async () => {
  const target = new IpcacheTarget(mapLike(IPCACHE_MAP, 1000))
  const wanted = [
    ip('10.1.0.0/16', { tunnel: undefined, remoteCluster: true, clusterId: 2 }),
    ip('10.1.0.0/24'),
    ip('10.1.0.0/32', { identity: 1, isNode: true, takesDsr: true }),
    ip('0.0.0.0/0', { identity: 2, tunnel: undefined }),
  ]
  expect((await target.set(wanted)).size).toBe(0)
  const loaded = await target.load()
  expect(new Map([...loaded].sort())).toEqual(new Map([...wanted].sort()))
  for (const [key, entry] of wanted) expect(target.equals(entry, loaded.get(key)!)).toBe(true)
  await target.delete(['10.1.0.0/24', '10.7.0.0/24', 'nonsense'])
  expect([...(await target.load()).keys()].sort()).toEqual(['0.0.0.0/0', '10.1.0.0/16', '10.1.0.0/32'])
})

test('endpoints come back as they went in', async () => {
  const target = new EndpointTarget(mapLike(ENDPOINT_MAP, 100))
  const wanted = [endpoint('10.0.0.1'), endpoint('172.18.0.3', { identity: 1, isHost: true })]
  await target.set(wanted)
  expect(new Map([...(await target.load())].sort())).toEqual(new Map([...wanted].sort()))
})

test.each([
  ['ipcache', () => new IpcacheTarget(mapLike(IPCACHE_MAP, 4)), (n: number) => ip(`10.0.0.${n}/32`)],
  ['endpoints', () => new EndpointTarget(mapLike(ENDPOINT_MAP, 4)), (n: number) => endpoint(`10.0.0.${n}`)],
] as const)('%s: a full map refuses the new entries alone', async (_name, make, entry) => {
  const target = make() as IpcacheTarget
  const [one, two, three, four, five, six] = [1, 2, 3, 4, 5, 6].map((n) => entry(n) as [string, IpcacheEntry])
  expect((await target.set([one!, two!, three!, four!])).size).toBe(0)
  const changed: [string, IpcacheEntry] = [two![0], { ...two![1], identity: 5 }]
  const failures = await target.set([five!, changed, six!])
  expect([...failures].map(([key, error]) => [key, (error as { code?: unknown }).code])).toEqual([
    [five![0], 'map-full'],
    [six![0], 'map-full'],
  ])
  const loaded = await target.load()
  expect(loaded.size).toBe(4)
  expect(loaded.get(changed[0])?.identity).toBe(5)
  await target.delete([one![0]])
  expect((await target.set([five!])).size).toBe(0)
})

test('20 000 entries, more than one batch', async () => {
  const target = new IpcacheTarget(mapLike(IPCACHE_MAP, 30_000))
  const many = Array.from({ length: 20_000 }, (_, n) => ip(`10.${n >> 8}.${n & 255}.0/24`))
  expect((await target.set(many)).size).toBe(0)
  expect((await target.load()).size).toBe(20_000)
  await target.delete(many.slice(0, 19_990).map(([key]) => key))
  expect((await target.load()).size).toBe(10)
})

test('an audit in pieces repairs what was changed from outside, and writes do not wait for it', async () => {
  const map = mapLike(IPCACHE_MAP, 30_000)
  const target = new IpcacheTarget(map)
  const delta = new PrefixDelta(IPCACHE_ROWS)
  const reconciler = new Reconciler<IpcacheEntry>({
    ...{ target, delta, clock: systemClock, random: Math.random, log: silentLog, auditMs: 0 },
  })
  const other = new IpcacheTarget(map)
  const entry = (n: number): [string, IpcacheEntry] => ip(`10.1.${n >> 8}.${n & 255}/32`)
  await other.set([entry(0), entry(1), ip('10.9.0.1/32')])
  await reconciler.start()
  const want = ([key, value]: [string, IpcacheEntry]): void => reconciler.replace(key, new Map([[key, value]]))
  for (let n = 0; n < 20_000; n++) want(entry(n))
  await reconciler.round()
  reconciler.allowPrune()
  await reconciler.audit()
  expect(reconciler.stats()).toMatchObject({ desired: 20_000, actual: 20_000, pending: 0, failing: 0, drift: 0 })

  const wrong = [17, 9000, 19_999].map(entry)
  await other.delete(wrong.map(([key]) => key))
  await other.set([
    [entry(40)[0], { ...entry(40)[1], identity: 9 }],
    [entry(12_345)[0], { ...entry(12_345)[1], tunnel: undefined }],
    ip('10.9.0.2/32'),
  ])
  const audit = reconciler.audit().then(() => 'audit')
  want(entry(20_000))
  reconciler.replace(entry(3)[0], new Map())
  expect(await Promise.race([audit, reconciler.round().then(() => 'round')])).toBe('round')
  await audit
  expect(reconciler.stats()).toMatchObject({ desired: 20_000, actual: 20_000, pending: 0, failing: 0, drift: 6 })
  const expected = new Map(Array.from({ length: 20_001 }, (_, n) => entry(n)).filter((_, n) => n !== 3))
  expect(await target.load()).toEqual(expected)
})
