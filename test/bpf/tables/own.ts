import type { Case, Step } from '../run.ts'
import type { PacketSpec } from '../packet.ts'
import { FLOW_FLAGS } from '../../../agent/maps/flow.ts'
import { address } from '../packet.ts'
import { NODE } from '../world.ts'
import { CLIENT, REMOTE, REMOTE_BACKEND, replied, reply, request, toPeer, toRemote, UDP, VIP } from './common.ts'

/** A backend in the network of its node. */
const PORT = 8080
const hostBackend = { id: 9, address: NODE, port: PORT }
const itself = { id: 1, address: VIP, backends: [9] }
const translated = { dst: NODE, dport: PORT }
const answer: PacketSpec = { src: NODE, dst: CLIENT, sport: PORT, dport: 40000, flags: 'SA' }
const answered = { src: VIP, sport: 80 }
const host = { services: [itself], backends: [hostBackend], ownAddresses: [NODE], only: 'tc' } as const

/** What a socket of the node says to a server elsewhere. */
const speaks = (sport: number, flags = 'A'): PacketSpec => ({ src: NODE, dst: REMOTE, sport, dport: 443, flags })
/** What a server there says to the node. */
const told = (dport: number): PacketSpec => ({ ...reply, dport, flags: 'A' })
const silent: Pick<Step, 'hook' | 'verdict'> = { hook: 'egress', verdict: 'pass' }

/** An entry that changes nothing, under a key whose port nobody has noted: no program makes one so. */
function planted(spec: PacketSpec, flags: number): NonNullable<Step['before']> {
  const [source, destination] = [address(spec.src), address(spec.dst)]
  const tuple = { source, destination, sourcePort: spec.sport!, destinationPort: spec.dport! }
  const rest = { addressDiff: 0, portDiff: 0, serviceId: 1, backendId: 9, expires: 0xffff_ffff, last: 0, created: 0 }
  return (maps) =>
    maps.addFlow(
      { ...tuple, protocol: 6 },
      { ...tuple, ...rest, flags: flags | FLOW_FLAGS.REV | FLOW_FLAGS.ESTABLISHED },
    )
}

const answering = (spec: PacketSpec): NonNullable<Step['before']> => planted(spec, FLOW_FLAGS.LOCAL)
const forwarded = (spec: PacketSpec): NonNullable<Step['before']> => planted(spec, FLOW_FLAGS.SNAT)

/** What processes of the node send: answers of backends among them, and what they have to say for themselves. And what is said to them. */
export const OWN: readonly Case[] = [
  {
    description: 'a process of the node is a backend: asked from outside, its answers come from the service',
    ...host,
    steps: [
      { send: request, verdict: 'pass', becomes: translated },
      { send: answer, hook: 'egress', verdict: 'pass', becomes: answered },
      { send: { ...request, flags: 'A' }, verdict: 'pass', becomes: translated },
      { send: { ...answer, flags: 'A' }, hook: 'egress', verdict: 'pass', becomes: answered },
      { send: { ...answer, flags: 'R' }, hook: 'egress', verdict: 'pass', becomes: answered },
    ],
  },
  {
    description: 'the same by UDP, from another port',
    ...host,
    services: [{ ...itself, protocol: UDP }],
    backends: [{ ...hostBackend, port: 5353, protocol: UDP }],
    steps: [
      { send: { ...request, proto: 'udp' }, verdict: 'pass', becomes: { ...translated, dport: 5353 } },
      { send: { ...answer, proto: 'udp', sport: 5353 }, hook: 'egress', verdict: 'pass', becomes: answered },
    ],
  },
  {
    description: 'from a port that no flow has had: none is looked for',
    ...host,
    steps: [
      { send: speaks(20001, 'S'), ...silent, flows: [] },
      { before: answering(speaks(20001)), send: speaks(20001), ...silent },
    ],
  },
  {
    description: 'from one that a flow has had: it may be an answer',
    ...host,
    backends: [{ ...hostBackend, port: 20002 }],
    steps: [
      { send: request, verdict: 'pass', becomes: { ...translated, dport: 20002 } },
      { before: answering(speaks(20002)), send: speaks(20002), ...silent, counts: 'REASON_FORWARDED' },
    ],
  },
  {
    description: 'the same for what comes in',
    services: [toRemote],
    backends: [REMOTE_BACKEND],
    steps: [
      { before: forwarded(told(20003)), send: told(20003), verdict: 'pass' },
      { send: { ...request, sport: 40003 }, verdict: 'redirect', becomes: { ...toPeer, sport: 40003 } },
      { send: told(40003), verdict: 'redirect', becomes: { ...replied, dport: 40003 } },
    ],
  },
]
