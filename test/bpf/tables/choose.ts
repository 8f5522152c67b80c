import type { Case, Step } from '../run.ts'
import { expectThat } from '../run.ts'
import { destinationAddress } from '../packet.ts'
import { formatAddress } from '../../../agent/types/address.ts'
import { REMOTE, REMOTE2, REMOTE_BACKEND, REMOTE_BACKEND2, request, toPeer, toRemote, UDP, VIP2 } from './common.ts'

/** Table in which every cell names itself, so that the packet tells which cell was chosen: backend 100 + cell. */
const CELLS = 251
const CELL_TABLE = Array.from({ length: CELLS }, (_, i) => 100 + i)
const cellAddress = (cell: number) => `10.1.2.${cell}`
const CELL_BACKENDS = CELL_TABLE.map((id, cell) => ({ id, address: cellAddress(cell) }))

function reaches(cell: number): Pick<Step, 'verdict' | 'becomes'> {
  return { verdict: 'redirect', becomes: { ...toPeer, dst: cellAddress(cell) } }
}

const both = [REMOTE_BACKEND, REMOTE_BACKEND2]

/** Counts where packets go over many steps. */
function spread(packets: number, check: (counts: ReadonlyMap<string, number>) => void): Step[] {
  const counts = new Map<string, number>()
  return Array.from({ length: packets }, (_, i): Step => ({
    send: { ...request, sport: 33000 + i },
    verdict: 'redirect',
    becomes: { ...toPeer, dst: 'any' },
    check: (_maps, out) => {
      if (i === 0) counts.clear()
      const to = formatAddress(destinationAddress(out))
      counts.set(to, (counts.get(to) ?? 0) + 1)
      if (i === packets - 1) check(counts)
    },
  }))
}

export const CHOOSE: readonly Case[] = [
  {
    description: 'Maglev: client and ports choose the cell, as on every node of the mesh',
    services: [
      { ...toRemote, backends: [100], maglev: CELL_TABLE },
      { id: 2, address: VIP2, backends: [100], maglev: CELL_TABLE },
    ],
    backends: CELL_BACKENDS,
    steps: [
      { send: { ...request, src: '192.168.1.10', sport: 40000 }, ...reaches(7) },
      { send: { ...request, src: '192.168.1.10', sport: 40001 }, ...reaches(74) },
      { send: { ...request, src: '192.168.1.11', sport: 40000 }, ...reaches(247) },
      {
        send: { ...request, src: '192.168.1.10', sport: 40000, dst: VIP2 },
        verdict: 'redirect',
        becomes: { ...reaches(7).becomes, sport: 'any' },
      },
    ],
  },
  {
    description: 'Maglev, UDP',
    services: [{ ...toRemote, protocol: UDP, port: 53, backends: [100], maglev: CELL_TABLE }],
    backends: CELL_BACKENDS.map((backend) => ({ ...backend, protocol: UDP })),
    steps: [{ send: { ...request, proto: 'udp', src: '10.20.30.40', sport: 53123, dport: 53 }, ...reaches(210) }],
  },
  {
    description: 'Maglev with affinity: the source port does not count',
    services: [
      {
        ...toRemote,
        flags: ['LB', 'ROUTABLE', 'AFFINITY'],
        affinitySeconds: 100,
        backends: [175, 100],
        maglev: CELL_TABLE,
      },
    ],
    backends: CELL_BACKENDS,
    steps: [
      { send: { ...request, src: '192.168.1.10', sport: 40000 }, ...reaches(75) },
      { send: { ...request, src: '192.168.1.10', sport: 40001 }, ...reaches(75) },
    ],
  },
  {
    description: 'random: all backends get their share, and nobody else',
    services: [{ ...toRemote, backends: [2, 3] }],
    backends: both,
    steps: spread(64, (counts) => {
      expectThat(counts.size === 2 && counts.has(REMOTE) && counts.has(REMOTE2), 'not both backends')
      // Fewer than 8 of 64 for one of two: less than once in 10^10 runs.
      expectThat(Math.min(...counts.values()) >= 8, `lopsided: ${[...counts.values()].join(', ')}`)
    }),
  },
  {
    description: 'affinity: a client stays with its backend',
    services: [{ ...toRemote, flags: ['LB', 'ROUTABLE', 'AFFINITY'], affinitySeconds: 100, backends: [2, 3] }],
    backends: both,
    steps: spread(24, (counts) => expectThat(counts.size === 1, 'more than one backend')),
  },
  {
    description: 'affinity ends at its timeout, and is refreshed by use',
    services: [{ ...toRemote, flags: ['LB', 'ROUTABLE', 'AFFINITY'], affinitySeconds: 100, backends: [2] }],
    backends: both,
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      {
        before: (maps) => {
          maps.addService({
            ...toRemote,
            flags: ['LB', 'ROUTABLE', 'AFFINITY'],
            affinitySeconds: 100,
            backends: [3, 3, 3, 2],
          })
          maps.editAffinities((last) => last - 98)
        },
        send: { ...request, sport: 40001 },
        verdict: 'redirect',
        becomes: toPeer,
      },
      {
        before: (maps) => {
          maps.addService({ ...toRemote, flags: ['LB', 'ROUTABLE', 'AFFINITY'], affinitySeconds: 100, backends: [3] })
          maps.editAffinities((last) => last - 100)
        },
        send: { ...request, sport: 40002 },
        verdict: 'redirect',
        becomes: { ...toPeer, dst: REMOTE2 },
        check: (maps) => expectThat(maps.affinities()[0]?.backendId === 3, 'the new choice is not remembered'),
      },
    ],
  },
  {
    description: 'affinity does not hold a client at a backend that the service no longer chooses',
    services: [{ ...toRemote, flags: ['LB', 'ROUTABLE', 'AFFINITY'], affinitySeconds: 100, backends: [2] }],
    backends: both,
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      {
        before: (maps) =>
          maps.addService({ ...toRemote, flags: ['LB', 'ROUTABLE', 'AFFINITY'], affinitySeconds: 100, backends: [3] }),
        send: { ...request, sport: 40001 },
        verdict: 'redirect',
        becomes: { ...toPeer, dst: REMOTE2 },
      },
    ],
  },
]
