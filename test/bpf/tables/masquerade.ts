import type { Case, Step } from '../run.ts'
import type { PacketSpec } from '../packet.ts'
import { sourcePort } from '../packet.ts'
import { expectThat } from '../run.ts'
import { be32, NODE, POD, type Config } from '../world.ts'
import { REMOTE, REMOTE_BACKEND, request, toPeer, toRemote, toRouter } from './common.ts'

/** Somebody in the world. */
const WORLD = '203.0.113.9'
const ROUTER = '203.0.113.1'
const on: Config = { cfg_masquerade: true, cfg_masq_list: true }
/** Two ports, and a network to which pods go by their own address. */
const elsewise: Config = {
  ...on,
  cfg_snat_port_min: 40000,
  cfg_snat_port_max: 40001,
  cfg_native_net: be32('10.9.0.0'),
  cfg_native_mask: be32('255.255.0.0'),
}
const sent: PacketSpec = { src: POD, dst: WORLD, dport: 443 }
const answer: PacketSpec = { src: WORLD, dst: NODE, sport: 443, dport: 40000, flags: 'SA' }
const begin: Step = { send: sent, hook: 'egress', verdict: 'pass', becomes: { src: NODE } }
const udp = (spec: PacketSpec): PacketSpec => ({ ...spec, proto: 'udp' })
const echo = (spec: PacketSpec, type: number, id: number): PacketSpec => ({
  ...spec,
  proto: 'icmp',
  icmp: { type, id },
})
const stays = (spec: PacketSpec): Step => ({ send: spec, hook: 'egress', verdict: 'pass', flows: [] })
const pod = { endpoints: [POD], config: on }

function error(src: string, dst: string, quote: PacketSpec, quoteBytes = 8): PacketSpec {
  return { src, dst, proto: 'icmp', icmp: { type: 3, code: 4, mtu: 1400, quote, quoteBytes } }
}

export const MASQUERADE: readonly Case[] = [
  {
    description: 'a pod goes out with the address of the node, and the answer finds it',
    ...pod,
    steps: [
      {
        ...begin,
        flows: [
          `tcp ${POD}:40000>${WORLD}:443 => ${NODE}:40000>${WORLD}:443 SNAT MASQ 60s`,
          `tcp ${WORLD}:443>${NODE}:40000 => ${WORLD}:443>${POD}:40000 REV SNAT MASQ 60s`,
        ],
      },
      { send: answer, verdict: 'pass', becomes: { dst: POD } },
      { send: { ...sent, flags: 'A' }, hook: 'egress', verdict: 'pass', becomes: { src: NODE } },
      {
        send: { ...answer, flags: 'FA' },
        verdict: 'pass',
        becomes: { dst: POD },
        flows: [
          `tcp ${POD}:40000>${WORLD}:443 => ${NODE}:40000>${WORLD}:443 SNAT ESTABLISHED FIN_TWIN MASQ 8000s`,
          `tcp ${WORLD}:443>${NODE}:40000 => ${WORLD}:443>${POD}:40000 REV SNAT ESTABLISHED FIN_SELF MASQ 8000s`,
        ],
      },
    ],
  },
  {
    description: 'UDP, with and without a checksum; ping, with its identifier in place of the port',
    ...pod,
    steps: [
      { ...begin, send: udp(sent) },
      { send: udp(answer), verdict: 'pass', becomes: { dst: POD } },
      { ...begin, send: { ...udp(sent), noChecksum: true } },
      { ...begin, send: echo(sent, 8, 40001), becomes: { src: NODE } },
      { send: echo(answer, 0, 40001), verdict: 'pass', becomes: { dst: POD } },
      { send: echo(answer, 0, 40002), verdict: 'pass' },
    ],
  },
  {
    description: 'ping with identifier 0: the question gets another one',
    ...pod,
    config: elsewise,
    only: 'tc',
    steps: [
      { send: echo(sent, 0, 0), hook: 'egress', verdict: 'pass', flows: [] },
      { ...begin, send: echo(sent, 8, 40001) },
      { ...begin, send: echo(sent, 8, 0), becomes: { src: NODE, icmp: { type: 8, id: 40000 } } },
      { ...begin, send: echo(sent, 0, 0) },
      {
        ...begin,
        send: error(POD, WORLD, echo({ ...answer, dst: POD }, 8, 0)),
        becomes: error(NODE, WORLD, echo(answer, 8, 0)),
      },
    ],
  },
  {
    description: 'a source port below the range is replaced by one in it',
    ...pod,
    steps: [
      {
        ...begin,
        send: { ...sent, sport: 1024 },
        becomes: { src: NODE, sport: 'any' },
        check: (_maps, out) => expectThat(sourcePort(out) >= 32768, `source port ${sourcePort(out)}`),
      },
    ],
  },
  {
    description: 'what is known by its own address stays as it is',
    ...pod,
    config: elsewise,
    steps: [
      {
        before: (maps) => {
          maps.addUnmasqueraded('198.18.0.0/15')
          maps.addIpcache('10.1.0.0/24', 2, '172.18.0.3')
          maps.addIpcache('172.18.0.4/32', 6)
          maps.addIpcache('10.1.7.7/32', 131072 + 9)
          maps.addIpcache('192.0.2.0/24', (1 << 24) + 1)
          maps.addEndpoint('172.18.0.77', true)
        },
        ...stays({ ...sent, dst: '10.9.3.3' }),
      },
      stays({ ...sent, dst: '198.19.1.1' }),
      stays({ ...sent, dst: '10.1.0.200' }),
      stays({ ...sent, dst: '172.18.0.4' }),
      stays({ ...sent, dst: '10.1.7.7' }),
      stays({ ...sent, src: '172.18.0.77' }),
      stays({ ...sent, src: '10.0.0.99' }),
      stays({ ...sent, flags: 'SA' }),
      stays(echo(sent, 0, 1)),
      { ...begin, send: { ...sent, dst: '192.0.2.7' } },
    ],
  },
  {
    description: 'off: nothing is masqueraded',
    only: 'tc',
    endpoints: [POD],
    steps: [stays(sent), stays(udp(sent)), stays(echo(sent, 13, 0))],
  },
  {
    description: 'fragments of both directions, and one whose first did not come by',
    ...pod,
    only: 'tc',
    steps: [
      { ...begin, send: { ...udp(sent), fragment: { offset: 0, more: true } } },
      { ...begin, send: { ...udp(sent), fragment: { offset: 185, more: false } } },
      { send: { ...udp(answer), fragment: { offset: 0, more: true } }, verdict: 'pass', becomes: { dst: POD } },
      { send: { ...udp(answer), fragment: { offset: 185, more: false } }, verdict: 'pass', becomes: { dst: POD } },
      {
        send: { ...udp(sent), id: 9, fragment: { offset: 185, more: false } },
        hook: 'egress',
        verdict: 'drop',
        counts: 'DROP_FRAG_NOT_FOUND',
      },
    ],
  },
  {
    description: 'what cannot be translated does not leave with a pod address',
    ...pod,
    only: 'tc',
    steps: [
      { send: echo(sent, 13, 0), hook: 'egress', verdict: 'drop', counts: 'DROP_NAT_UNSUPPORTED_PROTO' },
      { send: echo({ ...sent, src: NODE }, 13, 0), hook: 'egress', verdict: 'pass' },
      { send: { ...udp(sent), udpLength: 7 }, hook: 'egress', verdict: 'drop', counts: 'DROP_INVALID_PACKET' },
      { send: { ...udp(sent), src: NODE, udpLength: 7 }, hook: 'egress', verdict: 'pass' },
    ],
  },
  {
    description: 'ICMP errors about what a pod sent, and those that a pod sends',
    ...pod,
    steps: [
      begin,
      {
        send: error(ROUTER, NODE, { ...sent, src: NODE, flags: 'A' }, 20),
        verdict: 'pass',
        becomes: error(ROUTER, POD, { ...sent, flags: 'A' }, 20),
      },
      {
        send: error(POD, WORLD, { ...answer, dst: POD }),
        hook: 'egress',
        verdict: 'pass',
        becomes: error(NODE, WORLD, answer),
      },
      { ...begin, send: echo(sent, 8, 40001) },
      {
        send: error(ROUTER, NODE, echo({ ...sent, src: NODE }, 8, 40001)),
        verdict: 'pass',
        becomes: error(ROUTER, POD, echo(sent, 8, 40001)),
      },
    ],
  },
  {
    description: 'a port that a forwarded flow has is not taken twice towards one address',
    ...pod,
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      {
        ...begin,
        send: { ...sent, dst: REMOTE, dport: 8080 },
        becomes: { src: NODE, sport: 'any' },
        check: (_maps, out) => expectThat(sourcePort(out) !== 40000, 'the port of the forwarded flow'),
      },
      { ...begin, send: { ...sent, dst: REMOTE, dport: 8081 } },
      {
        send: { src: REMOTE, dst: NODE, sport: 8080, dport: 40000, flags: 'SA' },
        verdict: 'redirect',
        becomes: { src: '198.51.100.80', dst: '192.0.2.10', sport: 80, ...toRouter },
      },
    ],
  },
  {
    description:
      'answers to who talks to a pod by its own address stay as they are, and the pod still goes out elsewhere',
    ...pod,
    steps: [
      {
        send: { src: WORLD, dst: POD, sport: 5000, dport: 8080 },
        verdict: 'pass',
        flows: [
          `tcp ${POD}:8080>${WORLD}:5000 => ${POD}:8080>${WORLD}:5000 REV DIRECT 60s`,
          `tcp ${WORLD}:5000>${POD}:8080 => ${WORLD}:5000>${POD}:8080 DIRECT 60s`,
        ],
      },
      { send: { src: POD, dst: WORLD, sport: 8080, dport: 5000, flags: 'SA' }, hook: 'egress', verdict: 'pass' },
      { send: { src: POD, dst: WORLD, sport: 8080, dport: 5000, flags: 'A' }, hook: 'pod', verdict: 'pass' },
      {
        send: { src: WORLD, dst: POD, sport: 5000, dport: 8080, flags: 'A' },
        verdict: 'pass',
        flows: [
          `tcp ${POD}:8080>${WORLD}:5000 => ${POD}:8080>${WORLD}:5000 REV ESTABLISHED DIRECT 8000s`,
          `tcp ${WORLD}:5000>${POD}:8080 => ${WORLD}:5000>${POD}:8080 ESTABLISHED DIRECT 8000s`,
        ],
      },
      { send: udp({ src: WORLD, dst: POD, sport: 5000, dport: 53 }), verdict: 'pass' },
      { send: udp({ src: POD, dst: WORLD, sport: 53, dport: 5000 }), hook: 'egress', verdict: 'pass' },
      begin,
    ],
  },
  {
    description: 'the node has another address since: the flow begins anew',
    ...pod,
    steps: [
      begin,
      {
        before: (maps) =>
          maps.editFlows((key, value) =>
            key.source === value.source
              ? undefined
              : { ...value, source: (value.source + 5) as typeof value.source, last: value.last - 5 },
          ),
        ...begin,
        send: { ...sent, flags: 'A' },
      },
    ],
  },
  {
    description: 'nobody from outside speaks for a pod',
    ...pod,
    steps: [begin, { send: sent, verdict: 'pass' }],
  },
]
