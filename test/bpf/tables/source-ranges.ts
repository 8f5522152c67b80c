import type { Case, Step } from '../run.ts'
import type { PacketSpec } from '../packet.ts'
import type { FlagName } from './common.ts'
import { LOCAL_BACKEND, REMOTE_BACKEND, request, toPeer, toRemote, VIP2 } from './common.ts'
import { POD } from '../world.ts'

const CHECKED: readonly FlagName[] = ['LB', 'ROUTABLE', 'SRC_CHECK']
const DENYING: readonly FlagName[] = [...CHECKED, 'SRC_DENY']
const from = (src: string, sport = 40000): PacketSpec => ({ ...request, src, sport })
const admitted = (src: string): Step => ({
  send: from(src),
  verdict: 'redirect',
  becomes: { ...toPeer, sport: 'any' },
})
const refused = (src: string): Step => ({
  send: from(src),
  verdict: 'drop',
  counts: 'DROP_NOT_IN_SOURCE_RANGE',
})

export const SOURCE_RANGES: readonly Case[] = [
  {
    description: 'only clients of the list get in; each service has its own list',
    services: [
      { ...toRemote, flags: CHECKED },
      { ...toRemote, id: 2, address: VIP2, flags: CHECKED },
    ],
    backends: [REMOTE_BACKEND],
    steps: [
      {
        before: (maps) => {
          maps.addSourceRange(1, '192.0.2.0/25')
          maps.addSourceRange(1, '203.0.113.7/32')
          maps.addSourceRange(2, '198.18.0.0/15')
        },
        ...admitted('192.0.2.10'),
      },
      admitted('192.0.2.127'),
      refused('192.0.2.128'),
      admitted('203.0.113.7'),
      refused('203.0.113.8'),
      refused('198.18.0.1'),
      { ...admitted('198.19.255.255'), send: { ...from('198.19.255.255'), dst: VIP2 } },
      { ...refused('192.0.2.10'), send: { ...from('192.0.2.10'), dst: VIP2 } },
    ],
  },
  {
    description: 'nobody gets in by an empty list, everybody by 0.0.0.0/0',
    services: [{ ...toRemote, flags: CHECKED }],
    backends: [REMOTE_BACKEND],
    steps: [
      { ...refused('192.0.2.10'), flows: [] },
      { before: (maps) => maps.addSourceRange(1, '0.0.0.0/0'), ...admitted('192.0.2.10') },
    ],
  },
  {
    description: 'a list of clients to be denied',
    services: [{ ...toRemote, flags: DENYING }],
    backends: [REMOTE_BACKEND],
    steps: [
      { before: (maps) => maps.addSourceRange(1, '192.0.2.0/28'), ...refused('192.0.2.10') },
      admitted('192.0.2.16'),
    ],
  },
  {
    description: 'without the flag nobody asks',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [{ before: (maps) => maps.addSourceRange(1, '203.0.113.0/24'), ...admitted('192.0.2.10') }],
  },
  {
    description: 'asked before a backend is chosen, for backends here and for UDP as well',
    services: [{ ...toRemote, flags: CHECKED, protocol: 17, backends: [1] }],
    backends: [{ ...LOCAL_BACKEND, protocol: 17 }],
    endpoints: [POD],
    steps: [
      { ...refused('192.0.2.10'), send: { ...from('192.0.2.10'), proto: 'udp' }, flows: [] },
      {
        before: (maps) => maps.addSourceRange(1, '192.0.2.10/32'),
        send: { ...from('192.0.2.10'), proto: 'udp' },
        verdict: 'pass',
        becomes: { dst: POD, dport: 8080 },
      },
    ],
  },
  {
    description: 'a known flow is not asked again: the agent ends those that it must',
    services: [{ ...toRemote, flags: CHECKED }],
    backends: [REMOTE_BACKEND],
    steps: [
      { before: (maps) => maps.addSourceRange(1, '192.0.2.0/24'), ...admitted('192.0.2.10') },
      {
        before: (maps) => maps.removeSourceRange(1, '192.0.2.0/24'),
        send: { ...from('192.0.2.10'), flags: 'A' },
        verdict: 'redirect',
        becomes: toPeer,
      },
      { before: (maps) => maps.editFlows(() => undefined), ...refused('192.0.2.10'), flows: [] },
    ],
  },
]
