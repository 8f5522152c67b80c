import type { IpcacheEntry } from '../../../agent/types/datapath.ts'
import type { Address } from '../../../agent/types/address.ts'
import { systemClock } from '../../../agent/lib/clock.ts'
import { ENDPOINT_MAP } from '../../../agent/maps/endpoint.ts'
import { IPCACHE_MAP } from '../../../agent/maps/ipcache.ts'
import { EndpointTarget } from '../../../agent/targets/endpoints.ts'
import { IpcacheTarget } from '../../../agent/targets/ipcache.ts'
import { formatAddress, formatCidr, maskAddress } from '../../../agent/types/address.ts'
import { BpfMap } from '../../../native/index.ts'
import { targetCompliance } from '../../compliance/target.ts'
import { backend, entry, frontend, groupOf, LbFixture } from './lb-fixture.ts'

const CAPACITY = 16

targetCompliance('load balancer, kernel maps', async () => {
  const maps = new LbFixture({ services: CAPACITY, slots: 4096, backends: 1024 })
  const target = maps.target(systemClock)
  await target.load()
  const maglev = { algorithm: 'maglev', maglevSize: 31 } as const
  return {
    target,
    sample: (n) => entry(frontend(n, groupOf([backend(n), backend(n + 1)]), n % 2 === 0 ? maglev : {})),
    changed: (n) => frontend(n, groupOf([backend(n + 1), backend(n + 100, { state: 'terminating' })], 1)),
    reopen: () => maps.target(systemClock),
    capacity: CAPACITY,
    close: () => maps.close(),
  }
})

targetCompliance('ipcache, kernel map', () => {
  const map = BpfMap.create({ ...IPCACHE_MAP, maxEntries: CAPACITY })
  const make = (n: number, identity: number): IpcacheEntry => ({
    prefix: { address: maskAddress((0x0a000000 + n * 256) as Address, 24 + (n % 8)), bits: 24 + (n % 8) },
    identity,
    tunnel: n % 2 === 0 ? undefined : ((0xac120000 + n) as Address),
    clusterId: n % 3,
    remoteCluster: n % 3 === 2,
    isNode: n % 5 === 0,
    takesDsr: n % 10 === 0,
  })
  return {
    target: new IpcacheTarget(map),
    sample: (n) => [formatCidr(make(n, 0).prefix), make(n, 65536 + n)],
    changed: (n) => make(n, 7),
    reopen: () => new IpcacheTarget(map),
    capacity: CAPACITY,
    close: () => map.close(),
  }
})

targetCompliance('endpoints, kernel map', () => {
  const map = BpfMap.create({ ...ENDPOINT_MAP, maxEntries: CAPACITY })
  const address = (n: number): Address => (0x0a000000 + n) as Address
  return {
    target: new EndpointTarget(map),
    sample: (n) => [formatAddress(address(n)), { address: address(n), identity: 65536 + n, isHost: n % 2 === 0 }],
    changed: (n) => ({ address: address(n), identity: 7, isHost: n % 2 === 1 }),
    reopen: () => new EndpointTarget(map),
    capacity: CAPACITY,
    close: () => map.close(),
  }
})
