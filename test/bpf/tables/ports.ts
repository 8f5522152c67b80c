import type { DatapathMaps } from '../maps.ts'
import { address, destinationPort, sourcePort } from '../packet.ts'
import type { Case, Step } from '../run.ts'
import { expectThat } from '../run.ts'
import { NODE, POD } from '../world.ts'
import {
  CLIENT,
  LOCAL_BACKEND,
  localReply,
  REMOTE,
  REMOTE_BACKEND,
  replied,
  reply,
  request,
  toLocal,
  toPeer,
  toRemote,
  VIP,
  VIP2,
} from './common.ts'
import { SCARCE } from './settings.ts'

const remote = { services: [toRemote], backends: [REMOTE_BACKEND] }
const OTHER = '192.0.2.11'
const inRange = (port: number) => port >= 32768 && port <= 65535

/** Another flow has this answer tuple; it lives or closes as given. */
function taken(maps: DatapathMaps, port: number, expires: number, flags = 0): void {
  const [source, destination] = [address(REMOTE), address(NODE)]
  maps.addFlow(
    { source, destination, sourcePort: 8080, destinationPort: port, protocol: 6 },
    {
      source: address(VIP),
      destination: address('203.0.113.1'),
      sourcePort: 80,
      destinationPort: 1,
      addressDiff: 0,
      portDiff: 0,
      serviceId: 1,
      backendId: 2,
      expires,
      last: 0,
      flags: 1 | 2 | flags,
      created: 0,
    },
  )
}

const FAR = 0xffff_ffff

/** The answer to a packet that left with an allocated port comes back to its sender. */
function answered(client: string, port: number): [Step, Step] {
  let allocated = 0
  const answer: Step = {
    get send() {
      return { ...reply, dport: allocated }
    },
    verdict: 'redirect',
    becomes: { ...replied, dst: client, dport: port },
  }
  return [
    {
      send: { ...request, src: client, sport: port },
      verdict: 'redirect',
      becomes: { ...toPeer, sport: 'any' },
      check: (_maps, out) => {
        allocated = sourcePort(out)
        expectThat(inRange(allocated), `port ${allocated} is out of range`)
      },
    },
    answer,
  ]
}

export const PORTS: readonly Case[] = [
  {
    description: 'a client port below the range is replaced by one inside it',
    ...remote,
    steps: answered(CLIENT, 1024),
  },
  {
    description: 'two clients with the same port: both get answers',
    ...remote,
    steps: [
      { send: request, verdict: 'redirect', becomes: toPeer },
      ...answered(OTHER, 40000),
      { send: reply, verdict: 'redirect', becomes: replied },
    ],
  },
  {
    description: 'two services that share a backend, same client and port: both get answers',
    services: [toRemote, { id: 2, address: VIP2, backends: [2] }],
    backends: [REMOTE_BACKEND],
    steps: sharedBackend(),
  },
  {
    description: 'the same on this node: the client keeps its address and gets another port',
    services: [toLocal, { id: 2, address: VIP2, backends: [1] }],
    backends: [LOCAL_BACKEND],
    endpoints: [POD],
    steps: sharedLocalBackend(),
  },
  {
    description: 'a range of one port: the second client is refused, the first goes on',
    config: { cfg_snat_port_min: 50000, cfg_snat_port_max: 50000 },
    ...remote,
    steps: [
      { send: request, verdict: 'redirect', becomes: { ...toPeer, sport: 50000 } },
      { send: { ...request, src: OTHER }, verdict: 'drop', counts: 'DROP_NAT_NO_MAPPING' },
      { send: { ...request, flags: 'A' }, verdict: 'redirect', becomes: { ...toPeer, sport: 50000 } },
    ],
  },
  {
    description: 'a nearly full range: the search steps over taken ports until it finds the free one',
    config: SCARCE,
    ...remote,
    steps: [
      {
        before: (maps) => {
          for (let port = 50000; port <= 50015; port++) if (port !== 50011) taken(maps, port, FAR)
        },
        send: request,
        verdict: 'redirect',
        becomes: { ...toPeer, sport: 50011 },
      },
    ],
  },
  {
    description: 'a full range: refused with a name of its own',
    config: SCARCE,
    ...remote,
    steps: [
      {
        before: (maps) => {
          for (let port = 50000; port <= 50015; port++) taken(maps, port, FAR)
        },
        send: request,
        verdict: 'drop',
        counts: 'DROP_NAT_NO_MAPPING',
      },
    ],
  },
  {
    description: 'a port whose flow is over is free',
    ...remote,
    steps: [
      {
        before: (maps) => taken(maps, 40000, 1),
        send: request,
        verdict: 'redirect',
        becomes: toPeer,
      },
      { send: reply, verdict: 'redirect', becomes: replied },
    ],
  },
  {
    description: 'a port whose flow is only closing is not: the backend may still remember it',
    ...remote,
    steps: [
      {
        before: (maps) => taken(maps, 40000, FAR, 64),
        send: request,
        verdict: 'redirect',
        becomes: { ...toPeer, sport: 'any' },
        check: (_maps, out) =>
          expectThat(sourcePort(out) !== 40000 && inRange(sourcePort(out)), 'the port is not free'),
      },
    ],
  },
]

function sharedBackend(): Step[] {
  let second = 0
  return [
    { send: request, verdict: 'redirect', becomes: toPeer },
    {
      send: { ...request, dst: VIP2 },
      verdict: 'redirect',
      becomes: { ...toPeer, sport: 'any' },
      check: (_maps, out) => {
        second = sourcePort(out)
        expectThat(second !== 40000 && inRange(second), `port ${second}`)
      },
    },
    { send: reply, verdict: 'redirect', becomes: replied },
    {
      get send() {
        return { ...reply, dport: second }
      },
      verdict: 'redirect',
      becomes: { ...replied, src: VIP2 },
    },
  ]
}

function sharedLocalBackend(): Step[] {
  let second = 0
  return [
    { send: request, verdict: 'pass', becomes: { dst: POD, dport: 8080 } },
    {
      send: { ...request, dst: VIP2 },
      verdict: 'pass',
      becomes: { dst: POD, dport: 8080, sport: 'any' },
      check: (_maps, out) => {
        second = sourcePort(out)
        expectThat(second !== 40000, 'both flows have the same tuple')
      },
    },
    { send: localReply, hook: 'egress', verdict: 'pass', becomes: { src: VIP, sport: 80 } },
    {
      get send() {
        return { ...localReply, dport: second }
      },
      hook: 'egress',
      verdict: 'pass',
      becomes: { src: VIP2, sport: 80, dport: 40000 },
      check: (_maps, out) => expectThat(destinationPort(out) === 40000, 'the client port is not restored'),
    },
  ]
}
