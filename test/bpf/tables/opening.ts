import type { Case, Step } from '../run.ts'
import type { DatapathMaps } from '../maps.ts'
import { FLOW_FLAGS, FLOW_SYN_MAP, FLOW_TCP_MAP } from '../../../agent/maps/flow.ts'
import { address, sourcePort } from '../packet.ts'
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
  VIP,
  VIP2,
} from './common.ts'

const both = {
  services: [toRemote, { id: 2, address: VIP2, backends: [2] }],
  backends: [REMOTE_BACKEND, REMOTE_BACKEND2],
}
const FAR = 0xffff_ffff

/** Entries afterwards: how many are where only SYNs were seen, and how many are established. */
function tables(opening: number, established: number): NonNullable<Step['check']> {
  return (maps) => {
    const count = (name: string): number => maps.flows().filter(([, , table]) => table === name).length
    const got = [count(FLOW_SYN_MAP.name), count(FLOW_TCP_MAP.name)]
    expectThat(
      got.join() === `${opening},${established}`,
      `${got.join(' and ')}, expected ${opening} and ${established}`,
    )
  }
}

function there(flags: string, opening: number, established: number): Step {
  return {
    send: { ...request, flags },
    verdict: 'redirect',
    becomes: toPeer,
    check: tables(opening, established),
  }
}

function back(flags: string, opening: number, established: number): Step {
  return { send: { ...reply, flags }, verdict: 'redirect', becomes: replied, check: tables(opening, established) }
}

/** Only the answers' entry is left, or only the requests'; the next packet is the first of its second. */
function thrownOut(which: 'answers' | 'requests'): NonNullable<Step['before']> {
  return (maps) =>
    maps.editFlows((_key, value) =>
      ((value.flags & FLOW_FLAGS.REV) === 0) === (which === 'requests')
        ? undefined
        : { ...value, last: value.last - 1 },
    )
}

const over: NonNullable<Step['before']> = (maps) => maps.editFlows((_key, value) => ({ ...value, expires: 1 }))

/** An entry for answers to `port` that belongs to somebody else. */
function taken(maps: DatapathMaps, port: number, expires: number, flags: number): void {
  const [source, destination] = [address(REMOTE), address(NODE)]
  const client = { destination: address('203.0.113.1'), destinationPort: 1 }
  maps.addFlow(
    { source, destination, sourcePort: 8080, destinationPort: port, protocol: 6 },
    {
      ...{ source: address(VIP), sourcePort: 80, ...client, addressDiff: 0, portDiff: 0, serviceId: 1, backendId: 2 },
      ...{ expires, last: 0, created: 0, flags: FLOW_FLAGS.REV | FLOW_FLAGS.SNAT | flags },
    },
  )
}

const otherPort: NonNullable<Step['check']> = (_maps, out) =>
  expectThat(sourcePort(out) !== 40000, 'another flow has this port')

/** A flow on a port of another one, which lives in the other table, and one on a port that is free again. */
function claims(what: string, flags: string, rival: number, opening: number, established: number): Case[] {
  return [
    {
      description: `a port that ${what} has is not free`,
      ...both,
      steps: [
        {
          before: (maps) => taken(maps, 40000, FAR, rival),
          send: { ...request, flags },
          verdict: 'redirect',
          becomes: { ...toPeer, sport: 'any' },
          check: otherPort,
        },
      ],
    },
    {
      description: `a port that ${what} had is, and only the new one has it`,
      ...both,
      steps: [
        {
          before: (maps) => taken(maps, 40000, 1, rival),
          send: { ...request, flags },
          verdict: 'redirect',
          becomes: toPeer,
          check: tables(opening, established),
        },
        { send: reply, verdict: 'redirect', becomes: replied },
      ],
    },
  ]
}

/** Which table a TCP flow is in. That no entry is in the wrong one is looked at after each packet of every table. */
export const OPENING: readonly Case[] = [
  {
    description: 'SYNs and their answers find a flow where floods are; the first other packet moves both entries',
    ...both,
    steps: [
      there('S', 2, 0),
      back('SA', 2, 0),
      there('S', 2, 0),
      back('SA', 2, 0),
      there('A', 0, 2),
      back('A', 0, 2),
      there('FA', 0, 2),
      back('FA', 0, 2),
    ],
  },
  {
    description: 'the other side may be the one that moves it',
    ...both,
    steps: [there('S', 2, 0), back('A', 0, 2), there('A', 0, 2)],
  },
  {
    description: 'a connection that is refused is never established',
    ...both,
    steps: [
      there('S', 2, 0),
      {
        ...back('RA', 2, 0),
        flows: [
          `tcp ${CLIENT}:40000>${VIP}:80 => ${NODE}:40000>${REMOTE}:8080 SNAT RST 10s`,
          `tcp ${REMOTE}:8080>${NODE}:40000 => ${VIP}:80>${CLIENT}:40000 REV SNAT RST 10s`,
        ],
      },
      there('S', 2, 0),
    ],
  },
  {
    description: 'nor is one whose client resets at once; life after a forged reset is',
    ...both,
    steps: [there('S', 2, 0), back('SA', 2, 0), there('R', 2, 0), there('A', 0, 2)],
  },
  {
    description: 'a reset of no connection makes none',
    ...both,
    steps: [there('R', 2, 0)],
  },
  {
    description: 'a flow that is met in the middle is established',
    ...both,
    steps: [there('A', 0, 2), back('A', 0, 2)],
  },
  {
    description: 'a SYN on a closed flow: back to where floods are, and nothing is left of the old one',
    ...both,
    steps: [there('S', 2, 0), there('FA', 0, 2), back('FA', 0, 2), there('S', 2, 0), there('A', 0, 2)],
  },
  {
    description: 'a SYN on a flow that lives changes nothing',
    ...both,
    steps: [there('S', 2, 0), there('A', 0, 2), there('S', 0, 2)],
  },
  {
    description: 'a flow that is over is none: what comes next goes where it belongs, alone',
    ...both,
    steps: [
      there('S', 2, 0),
      { before: over, ...there('A', 0, 2) },
      { before: over, ...there('S', 2, 0) },
      { before: over, ...there('S', 2, 0) },
    ],
  },
  {
    description: 'an answer to a SYN that is over is not translated',
    ...both,
    steps: [there('S', 2, 0), { before: over, send: reply, verdict: 'pass' }],
  },
  {
    description: 'the answers’ entry was thrown out: the ACK restores and moves',
    ...both,
    steps: [there('S', 2, 0), { before: thrownOut('answers'), ...there('A', 0, 2) }, back('A', 0, 2)],
  },
  {
    description: 'the requests’ entry was thrown out: the answer restores it where it was',
    ...both,
    steps: [there('S', 2, 0), { before: thrownOut('requests'), ...back('SA', 2, 0) }, there('A', 0, 2)],
  },
  {
    description: 'both were thrown out: the ACK of a table’s flow finds the same backend by Maglev',
    services: [{ ...toRemote, backends: [2, 3], maglev: [3, 3, 3, 3, 3, 3, 3] }],
    backends: [REMOTE_BACKEND, REMOTE_BACKEND2],
    steps: [
      { send: request, verdict: 'redirect', becomes: { ...toPeer, dst: REMOTE2 }, check: tables(2, 0) },
      {
        before: (maps) => maps.editFlows(() => undefined),
        send: { ...request, flags: 'A' },
        verdict: 'redirect',
        becomes: { ...toPeer, dst: REMOTE2 },
        check: tables(0, 2),
      },
    ],
  },
  ...claims('an established flow', 'S', FLOW_FLAGS.ESTABLISHED, 2, 0),
  ...claims('a flow of SYNs', 'A', 0, 0, 2),
]
