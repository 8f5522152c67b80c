import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import type { Signer } from '../../../agent/pki/issue.ts'
import type { Check, PreflightInput, Verdict } from '../../../agent/peering/check.ts'
import { refused } from '../../../agent/peering/check.ts'
import { overlap, preflight } from '../../../agent/peering/preflight.ts'
import type { Address, Cidr } from '../../../agent/types/address.ts'
import { maskAddress } from '../../../agent/types/address.ts'
import { factsOf, issue, makeCa, NOW, probe } from './fixture.ts'

let ca: Signer
let good: PreflightInput

beforeAll(async () => {
  ca = await makeCa()
  good = {
    own: {
      name: 'west',
      id: 1,
      podCidrs: ['10.0.0.0/16'],
      serviceCidrs: ['10.2.0.0/16'],
      maxConnectedClusters: 255,
      mtu: 1500,
      version: '0.1.7',
    },
    peer: factsOf(ca, { client: await issue(ca, { kind: 'remote' }) }),
    others: [{ name: 'north', id: 3, podCidrs: ['10.4.0.0/16'], serviceCidrs: ['10.5.0.0/16'] }],
    probes: [probe()],
    now: NOW,
  }
})

type Change = (input: PreflightInput) => PreflightInput

const own =
  (more: Partial<PreflightInput['own']>): Change =>
  (input) => ({ ...input, own: { ...input.own, ...more } })
const peer =
  (more: Partial<PreflightInput['peer']>): Change =>
  (input) => ({ ...input, peer: { ...input.peer, ...more } })
const probes =
  (...more: Parameters<typeof probe>[0][]): Change =>
  (input) => ({ ...input, probes: more.map(probe) })
const others =
  (...more: PreflightInput['others']): Change =>
  (input) => ({ ...input, others: more })

test('two clusters that fit: every line is ok', () => {
  const checks = preflight(good)
  expect(checks.map(({ verdict }) => verdict)).toEqual(Array(10).fill('ok'))
  expect(refused(checks)).toBe(false)
})

const REFUSED = { address: '172.18.0.4', error: 'connect ECONNREFUSED' }

const table: readonly [check: Check['check'], verdict: Verdict, text: string, change: Change][] = [
  ['names', 'problem', 'both clusters are called east', own({ name: 'east' })],
  ['names', 'problem', '"default" cannot be', own({ name: 'default' })],
  ['names', 'problem', 'is for south, this is west', peer({ audience: 'south' })],
  ['names', 'ok', 'west and east', peer({ audience: 'west' })],
  ['ids', 'problem', 'west and east both have id 2', own({ id: 2 })],
  ['ids', 'problem', 'id 3 of east is taken by north', peer({ cluster: { name: 'east', id: 3 } })],
  ['ids', 'problem', 'east has id 300', peer({ cluster: { name: 'east', id: 300 } })],
  ['ids', 'ok', 'has 2', others({ name: 'east', id: 2, podCidrs: ['10.1.0.0/16'], serviceCidrs: ['10.3.0.0/16'] })],
  ['ids', 'warning', 'not known of north', others({ name: 'north', id: undefined, podCidrs: [], serviceCidrs: [] })],
  [
    'pod-cidrs',
    'problem',
    '10.1.0.0/16 of east overlaps pod CIDR 10.0.0.0/8 of west',
    own({ podCidrs: ['10.0.0.0/8'] }),
  ],
  ['pod-cidrs', 'problem', 'overlaps service CIDR 10.1.128.0/17 of west', own({ serviceCidrs: ['10.1.128.0/17'] })],
  [
    'pod-cidrs',
    'problem',
    'overlaps pod CIDR 10.4.0.0/16 of north',
    peer({ podCidrs: ['10.9.0.0/16', '10.4.7.0/24'] }),
  ],
  ['pod-cidrs', 'warning', 'not known are the pod CIDRs of west', own({ podCidrs: undefined })],
  ['pod-cidrs', 'warning', 'east names no pod CIDRs', peer({ podCidrs: [] })],
  ['service-cidrs', 'problem', '10.3.0.0/16 of east overlaps service CIDR', own({ serviceCidrs: ['10.3.0.0/24'] })],
  ['service-cidrs', 'problem', 'overlaps pod CIDR 10.3.1.0/24 of west', own({ podCidrs: ['10.3.1.0/24'] })],
  ['clock', 'problem', 'east is 61 s ahead', probes({ skewMs: 61_000 })],
  ['clock', 'problem', 'east is 90 s behind', probes({ skewMs: 0 }, { skewMs: -90_000 })],
  ['clock', 'warning', 'east is 30 s ahead', probes({ skewMs: 30_000 })],
  ['clock', 'warning', 'not known', probes({ skewMs: undefined })],
  ['tls', 'problem', 'unable to verify', probes({ tls: { error: 'unable to verify the first certificate' } })],
  ['tls', 'problem', 'alert certificate required', probes({ version: { error: 'alert certificate required' } })],
  ['tls', 'warning', 'not encrypted', peer({ endpoints: ['http://10.9.9.9:2379'] })],
  ['reachable', 'problem', 'ECONNREFUSED', probes({ tcp: REFUSED })],
  ['reachable', 'problem', 'ENOTFOUND', probes({ tcp: undefined, dnsError: 'getaddrinfo ENOTFOUND' })],
  ['reachable', 'warning', 'ECONNREFUSED', probes({}, { tcp: REFUSED })],
  ['mtu', 'warning', '9000 in west, 1500 in east', own({ mtu: 9000 })],
  ['mtu', 'warning', 'not known of east', peer({ mtu: undefined })],
  ['max-clusters', 'problem', '255 in west, 511 in east', peer({ maxConnectedClusters: 511 })],
  ['versions', 'problem', 'weft 0.1.7 here, 1.0.0 in east', peer({ version: '1.0.0' })],
  ['versions', 'problem', 'is an etcd 3.3.9', probes({ version: { etcd: '3.3.9' } })],
  ['versions', 'ok', 'etcd 3.10.1', probes({ version: { etcd: '3.10.1' } })],
]

test.each(table)('%s is a %s: %s', (name, verdict, text, change) => {
  const checks = preflight(change(good))
  const check = checks.find((each) => each.check === name)
  expect(check).toMatchObject({ verdict })
  expect(check?.message).toContain(text)
  expect(check?.next === undefined).toBe(verdict === 'ok')
  expect(refused(checks)).toBe(checks.some((each) => each.verdict === 'problem'))
})

test('a client certificate of another CA is a problem before anything is tried', async () => {
  const client = await issue(await makeCa('other'), { kind: 'remote' })
  expect(preflight(peer({ client })(good)).find(({ check }) => check === 'tls')).toMatchObject({
    verdict: 'problem',
    message: 'client certificate "CN=remote": not signed by this CA',
  })
})

test('prefixes overlap exactly when an address is in both', () => {
  const cidr = fc
    .tuple(fc.integer({ min: 0, max: 0xff }), fc.integer({ min: 24, max: 32 }))
    .map(([low, bits]): Cidr => ({ address: maskAddress((0x0a000000 + low) as Address, bits), bits }))
  fc.assert(
    fc.property(cidr, cidr, (a, b) => {
      const last = (each: Cidr): number => each.address + 2 ** (32 - each.bits) - 1
      expect(overlap(a, b)).toBe(a.address <= last(b) && b.address <= last(a))
    }),
  )
})
