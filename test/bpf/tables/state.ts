import type { Case, Step } from '../run.ts'
import { expectThat } from '../run.ts'
import { NODE } from '../world.ts'
import {
  CLIENT,
  REMOTE,
  REMOTE2,
  REMOTE_BACKEND,
  REMOTE_BACKEND2,
  replied,
  reply,
  request,
  toPeer,
  toRemote,
  UDP,
  VIP,
} from './common.ts'
import { OTHERWISE } from './settings.ts'

const both = { services: [toRemote], backends: [REMOTE_BACKEND, REMOTE_BACKEND2] }

function there(flags: string, entry?: string): Step {
  return step({ send: { ...request, flags }, verdict: 'redirect', becomes: toPeer }, entry)
}

function back(flags: string, entry?: string): Step {
  return step({ send: { ...reply, flags }, verdict: 'redirect', becomes: replied }, entry)
}

/** Both entries afterwards, given what the forward one ends with; the reverse one sees FIN the other way round. */
function step(base: Step, forward?: string): Step {
  return forward === undefined ? base : { ...base, flows: flows(forward) }
}

function flows(forward: string, backend = REMOTE): string[] {
  const closed = forward.includes('FIN_SELF FIN_TWIN')
  const swapped = closed
    ? forward
    : forward.replace(/FIN_(SELF|TWIN)/g, (_all, side) => `FIN_${side === 'SELF' ? 'TWIN' : 'SELF'}`)
  return [
    `tcp ${CLIENT}:40000>${VIP}:80 => ${NODE}:40000>${backend}:8080 SNAT ${forward}`,
    `tcp ${backend}:8080>${NODE}:40000 => ${VIP}:80>${CLIENT}:40000 REV SNAT ${swapped}`,
  ]
}

/** New connections go to the other backend from now on, so that a packet shows whether it was chosen anew. */
const otherBackend: NonNullable<Step['before']> = (maps) => maps.addService({ ...toRemote, backends: [3] })
const toOther = { ...toPeer, dst: REMOTE2 }

const EXPIRED = 1

export const STATE: readonly Case[] = [
  {
    description: 'TCP: short life until something else than a SYN is seen in either direction',
    ...both,
    steps: [there('S', '60s'), back('SA', '60s'), there('S', '60s'), there('A', 'ESTABLISHED 8000s')],
  },
  {
    description: 'TCP: the answering side may be the first without a SYN',
    ...both,
    steps: [there('S', '60s'), back('A', 'ESTABLISHED 8000s')],
  },
  {
    description: 'TCP: a FIN closes one direction, the second FIN the flow',
    ...both,
    steps: [
      there('S'),
      there('A', 'ESTABLISHED 8000s'),
      there('FA', 'ESTABLISHED FIN_SELF 8000s'),
      back('A', 'ESTABLISHED FIN_SELF 8000s'),
      back('FA', 'ESTABLISHED FIN_SELF FIN_TWIN 10s'),
      there('A', 'ESTABLISHED FIN_SELF FIN_TWIN 10s'),
    ],
  },
  {
    description: 'TCP: a reset closes both directions, from either side',
    ...both,
    steps: [there('S'), there('A'), back('R', 'ESTABLISHED RST 10s'), there('R', 'ESTABLISHED RST 10s')],
  },
  {
    description: 'TCP: a connection that goes on after a reset was never reset',
    ...both,
    steps: [there('S'), there('A'), there('R', 'ESTABLISHED RST 10s'), there('A', 'ESTABLISHED 8000s')],
  },
  {
    description: 'TCP: stragglers do not keep a closed flow',
    ...both,
    steps: [
      there('S'),
      there('FA'),
      back('FA'),
      {
        before: (maps) =>
          maps.editFlows((_key, value) => ({ ...value, last: value.last - 5, expires: value.expires - 5 })),
        ...back('A'),
        check: (maps) =>
          expectThat(
            maps.flows().every(([, value]) => value.expires - value.last <= 5),
            'the life of a closed flow was extended',
          ),
      },
    ],
  },
  {
    description: 'TCP: known flows keep their backend when the service changes',
    ...both,
    steps: [there('S'), back('SA'), { before: otherBackend, ...there('A') }, back('A')],
  },
  {
    description: 'TCP: a SYN on a closed flow chooses anew, and the old answers are forgotten',
    ...both,
    steps: [
      there('S'),
      there('FA'),
      back('FA'),
      {
        before: otherBackend,
        send: request,
        verdict: 'redirect',
        becomes: toOther,
        flows: flows('60s', REMOTE2),
      },
    ],
  },
  {
    description: 'TCP: a SYN after a reset chooses anew, data does not',
    ...both,
    steps: [
      there('S'),
      there('A'),
      back('R'),
      { before: otherBackend, ...there('R') },
      { send: request, verdict: 'redirect', becomes: toOther },
    ],
  },
  {
    description: 'TCP: same backend again after a close: same port',
    ...both,
    steps: [there('S'), there('FA'), back('FA'), there('S', '60s')],
  },
  {
    description: 'an expired flow is none: requests choose anew',
    ...both,
    steps: [
      there('S'),
      there('A'),
      {
        before: (maps) => {
          otherBackend(maps)
          maps.editFlows((_key, value) => ({ ...value, expires: EXPIRED }))
        },
        send: { ...request, flags: 'A' },
        verdict: 'redirect',
        becomes: toOther,
        flows: flows('ESTABLISHED 8000s', REMOTE2),
      },
    ],
  },
  {
    description: 'an expired flow is none: answers are not translated',
    ...both,
    steps: [
      there('S'),
      {
        before: (maps) => maps.editFlows((_key, value) => ({ ...value, expires: EXPIRED })),
        send: reply,
        verdict: 'pass',
      },
    ],
  },
  {
    description: 'a backend that is gone: the next packet chooses anew',
    ...both,
    steps: [
      there('S'),
      there('A'),
      {
        before: (maps) => {
          otherBackend(maps)
          maps.removeBackend(2)
        },
        send: { ...request, flags: 'A' },
        verdict: 'redirect',
        becomes: toOther,
        flows: flows('ESTABLISHED 8000s', REMOTE2),
      },
    ],
  },
  {
    description: 'a backend id that now means another address: chosen anew',
    ...both,
    steps: [
      there('S'),
      {
        before: (maps) => {
          otherBackend(maps)
          maps.addBackend({ id: 2, address: '10.1.7.7' })
        },
        send: { ...request, flags: 'A' },
        verdict: 'redirect',
        becomes: toOther,
      },
    ],
  },
  {
    description: 'a terminating backend keeps its connections and gets no new ones',
    ...both,
    steps: [
      there('S'),
      there('A'),
      {
        before: (maps) => {
          otherBackend(maps)
          maps.addBackend({ ...REMOTE_BACKEND, state: 'TERMINATING' })
        },
        ...there('A'),
      },
      back('A'),
      { send: request, verdict: 'redirect', becomes: toOther },
    ],
  },
  {
    description:
      "a connection that begins anew leaves a backend that its service has left, and is another one's last hope",
    ...both,
    steps: [there('S'), { before: otherBackend, send: request, verdict: 'redirect', becomes: toOther }],
  },
  {
    description: 'a connection that begins keeps its backend while all of them terminate',
    ...both,
    steps: [
      there('S'),
      {
        before: (maps) => {
          maps.addService({ ...toRemote, backends: [3, 3, 3, 3, 3, 3, 3, REMOTE_BACKEND.id] })
          for (const backend of [REMOTE_BACKEND, REMOTE_BACKEND2]) maps.addBackend({ ...backend, state: 'TERMINATING' })
        },
        ...there('S'),
      },
      there('S'),
      there('S'),
    ],
  },
  {
    description: 'a request restores the answer entry that was evicted',
    ...both,
    steps: [
      there('S'),
      there('A'),
      {
        before: (maps) =>
          maps.editFlows((key, value) => (key.source === 0x0a0100be ? undefined : { ...value, last: value.last - 1 })),
        ...there('A', 'ESTABLISHED 8000s'),
      },
      back('A'),
    ],
  },
  {
    description: 'an answer restores the request entry that was evicted',
    ...both,
    steps: [
      there('S'),
      there('A'),
      there('FA'),
      {
        before: (maps) => {
          otherBackend(maps)
          maps.editFlows((key, value) => (key.source === 0x0a0100be ? { ...value, last: value.last - 1 } : undefined))
        },
        ...back('A', 'ESTABLISHED FIN_SELF 8000s'),
      },
      there('A'),
    ],
  },
  {
    description: 'a packet keeps both entries alive',
    ...both,
    steps: [
      there('S'),
      there('A'),
      {
        before: (maps) => maps.editFlows((_key, value) => ({ ...value, last: 0, expires: value.last + 5 })),
        ...there('A', 'ESTABLISHED 8000s'),
        check: (maps) => {
          const now = Number(process.hrtime.bigint() / 1_000_000_000n)
          expectThat(
            maps.flows().every(([, value]) => Math.abs(value.expires - now - 8000) <= 2),
            'not 8000 s from now',
          )
        },
      },
    ],
  },
  {
    description: 'an evicted answer entry whose port another flow took since: a new port, same service',
    ...both,
    steps: [
      there('S'),
      {
        before: (maps) =>
          maps.editFlows((key, value) =>
            key.source === 0x0a0100be
              ? { ...value, destination: 0x01010101 as typeof value.destination }
              : { ...value, last: value.last - 1 },
          ),
        send: { ...request, flags: 'A' },
        verdict: 'redirect',
        becomes: { ...toPeer, sport: 'any' },
        check: (maps) => expectThat(maps.flows().length === 3, 'not a new pair beside the other flow'),
      },
    ],
  },
  {
    description: 'UDP: 60 s after the last packet, whatever it was',
    services: [{ ...toRemote, protocol: UDP }],
    backends: [{ ...REMOTE_BACKEND, protocol: UDP }],
    steps: [
      { send: { ...request, proto: 'udp' }, verdict: 'redirect', becomes: toPeer },
      {
        send: { ...reply, proto: 'udp' },
        verdict: 'redirect',
        becomes: replied,
        flows: flows('60s').map((line) => line.replace('tcp', 'udp')),
      },
    ],
  },
  {
    description: 'lifetimes are configuration',
    config: OTHERWISE,
    ...both,
    steps: [there('S', '5s'), there('A', 'ESTABLISHED 50s'), there('R', 'ESTABLISHED RST 3s')],
  },
]
