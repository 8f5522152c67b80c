import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { createSocket } from 'node:dgram'
import {
  BpfLink,
  type BpfMap,
  BpfObject,
  ClsactHook,
  type Direction,
  enterNetns,
  ifIndex,
  kernelHasTcx,
  newNetns,
  type TestRunResult,
  XdpFlag,
} from '../../native/index.ts'
import { DatapathMaps } from './maps.ts'
import { RESERVE_PORTS } from './wire.ts'
import { be32, type Config, NODE_MAC, objectPath, PEER_MAC as FAR_MAC, ROUTER_MAC } from './world.ts'

/** The node's own address: nodePorts are on it, and what it forwards elsewhere comes from it. */
export const NODE = '172.18.0.2'
/** Addresses that are a service's alone. */
export const VIP = '198.51.100.80'
export const VIP2 = '198.51.100.81'
export const CLIENT = '192.0.2.10'
export const BACKEND = '10.1.0.190'
export const POD = '10.0.0.46'
/** Routers: the client's, and the one between the node and the backend that is elsewhere. */
export const NEAR = '192.0.2.1'
export const FAR = '172.18.1.1'

export const NODE_PORT = 30080

/** Where a service's only backend is. */
export type Where = 'elsewhere' | 'here'
/** What is at the ingress of the node's uplinks; `both` as an agent has it. */
export type Mode = 'tc' | 'xdp' | 'both'

const SPACES = ['client', 'near', 'far', 'backend', 'pod', 'node'] as const
export type Space = (typeof SPACES)[number]

/** Both ends of every wire, the node's own ones last. */
const ENDS: readonly (readonly [Space, string])[] = [
  ['client', 'c0'],
  ['near', 'r0'],
  ['near', 'r1'],
  ['far', 'f0'],
  ['far', 'f1'],
  ['backend', 'b0'],
  ['pod', 'e0'],
  ['node', 'n0'],
  ['node', 'n1'],
  ['node', 'p0'],
]

/**
 * A client behind a router, the node with a pod, and a backend behind another router, each a network namespace that lives
 * as long as its descriptor here:
 *
 *     client c0 -- r0 near r1 -- n0 node n1 -- f0 far f1 -- b0 backend
 *                                   p0 -- e0 pod
 *
 */
export class Roads {
  readonly maps: DatapathMaps
  readonly mode: Mode
  private readonly maxEntries: Readonly<Record<string, number>>
  private readonly home = openSync('/proc/self/ns/net', 'r')
  private readonly spaces: Record<Space, number>
  private readonly links: BpfLink[] = []
  private readonly closers: (() => void)[] = []
  private readonly objects: BpfObject[] = []
  private readonly skb = Buffer.alloc(192)

  constructor(mode: Mode, { config = {}, flows = 4096 }: { config?: Config; flows?: number } = {}) {
    this.mode = mode
    this.maxEntries = { w_flow4t_v1: flows, w_flow4s_v1: flows, w_flow4a_v1: flows }
    const spaces: Partial<Record<Space, number>> = {}
    for (const name of SPACES) {
      newNetns()
      spaces[name] = openSync('/proc/self/ns/net', 'r')
    }
    this.spaces = spaces as Record<Space, number>
    const fd = (name: Space) => `/proc/${process.pid}/fd/${this.spaces[name]}`
    const router = 'net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0'
    for (const name of SPACES) this.in(name, () => sh(`ip link set lo up; sysctl -qw ${router} ${RESERVE_PORTS}`))
    sh(`
      ip link add n0 address ${NODE_MAC} type veth peer name r1 address ${ROUTER_MAC} netns ${fd('near')}
      ip link add n1 type veth peer name f0 address ${FAR_MAC} netns ${fd('far')}
      ip link add p0 type veth peer name e0 netns ${fd('pod')}
      ip addr add ${NODE}/24 dev n0; ip addr add 172.18.1.2/24 dev n1; ip addr add 10.0.0.1/32 dev p0
      ip link set n0 up; ip link set n1 up; ip link set p0 up
      ip neigh add 172.18.0.1 lladdr ${ROUTER_MAC} dev n0 nud permanent
      ip neigh add ${FAR} lladdr ${FAR_MAC} dev n1 nud permanent
      ip route add default via 172.18.0.1; ip route add 10.1.0.0/24 via ${FAR}; ip route add ${POD} dev p0
    `)
    this.in('near', () =>
      sh(`
        ip link add r0 type veth peer name c0 netns ${fd('client')}
        ip addr add ${NEAR}/24 dev r0; ip addr add 172.18.0.1/24 dev r1
        ip link set r0 up; ip link set r1 up
        ip route add 198.51.100.0/24 via ${NODE}
      `),
    )
    this.in('far', () =>
      sh(`
        ip link add f1 type veth peer name b0 netns ${fd('backend')}
        ip addr add ${FAR}/24 dev f0; ip addr add 10.1.0.1/24 dev f1
        ip link set f0 up; ip link set f1 up
        ip route add default via 172.18.1.2
      `),
    )
    this.in('client', () => sh(`ip addr add ${CLIENT}/24 dev c0; ip link set c0 up; ip route add default via ${NEAR}`))
    this.in('backend', () =>
      sh(`ip addr add ${BACKEND}/24 dev b0; ip link set b0 up; ip route add default via 10.1.0.1`),
    )
    this.in('pod', () =>
      sh(`ip addr add ${POD}/32 dev e0; ip link set e0 up
        ip route add 10.0.0.1 dev e0; ip route add default via 10.0.0.1`),
    )
    this.maps = this.load(config)
  }

  /** Run something with the main thread in a namespace; sockets and processes made there stay there. */
  in<T>(space: Space, run: () => T): T {
    enterNetns(`/proc/self/fd/${this.spaces[space]}`)
    try {
      return run()
    } finally {
      enterNetns(`/proc/self/fd/${this.spaces.node}`)
    }
  }

  /** As {@link in}, for work that goes on after its first step. */
  async inside<T>(space: Space, run: () => Promise<T>): Promise<T> {
    enterNetns(`/proc/self/fd/${this.spaces[space]}`)
    try {
      return await run()
    } finally {
      enterNetns(`/proc/self/fd/${this.spaces.node}`)
    }
  }

  sh(space: Space, script: string): void {
    this.in(space, () => sh(script))
  }

  /** Whether devices finish checksums: those of the node, and all others. What XDP sees must be finished. */
  offload(ends: 'on' | 'off', node: 'on' | 'off'): void {
    for (const [space, device] of ENDS) {
      this.sh(space, `ethtool -K ${device} tx ${space === 'node' ? node : ends} >/dev/null`)
    }
  }

  /** One service for each protocol under an address, with one backend or none. Echo servers are behind them, see {@link serve}. */
  service(
    where: Where | 'nowhere',
    address = VIP,
    port = 80,
    flags?: readonly ('LB' | 'ROUTABLE' | 'ETP_LOCAL')[],
  ): void {
    const id = (address === VIP ? 10 : address === VIP2 ? 20 : 30) + (port % 5) * 2
    const [tcp, udp] = where === 'here' ? [3, 4] : [1, 2]
    const common = { address, port, ...(flags === undefined ? {} : { flags }) }
    this.maps.addService({ ...common, id, backends: where === 'nowhere' ? [] : [tcp] })
    this.maps.addService({ ...common, id: id + 1, protocol: 17, backends: where === 'nowhere' ? [] : [udp] })
  }

  /** Nothing but services is on this address. */
  keepForServices(address: string): void {
    this.maps.addService({ id: 9, address, port: 0, protocol: 0, flags: ['WILDCARD_DROP'], backends: [] })
  }

  /** One packet through the program of a device's ingress, as if it had come by it; what the program made of it goes nowhere. */
  run(device: 'n0' | 'n1', data: Buffer): TestRunResult {
    const index = ifIndex(device)
    this.skb.writeUInt32LE(index, 36)
    this.skb.writeUInt32LE(index, 40)
    return this.objects[0]!.program('weft_from_netdev').testRun({ data, ctx: this.skb })
  }

  /** Servers that send back what they get, on the backend and in the pod; a UDP port there on which nobody listens. */
  async serve(): Promise<void> {
    for (const [space, host, id] of [
      ['backend', BACKEND, 1],
      ['pod', POD, 3],
    ] as const) {
      await this.inside(space, async () => {
        const tcp = createServer({ allowHalfOpen: true }, (socket) =>
          socket.on('error', () => socket.destroy()).pipe(socket),
        )
        tcp.listen(8080, host)
        await once(tcp, 'listening')
        const udp = createSocket('udp4')
        udp.on('message', (message, from) => udp.send(message, from.port, from.address))
        udp.bind(8080, host)
        await once(udp, 'listening')
        this.closers.push(
          () => tcp.close(),
          () => udp.close(),
        )
      })
      this.maps.addBackend({ id, address: host })
      this.maps.addBackend({ id: id + 1, address: host, protocol: 17 })
    }
    this.maps.addEndpoint(POD)
  }

  /** Forget flows, and what the hosts have learnt of the ways to others. */
  forget(): void {
    this.maps.editFlows(() => undefined)
    for (const space of SPACES) this.sh(space, 'ip route flush cache')
  }

  /** Packets counted under a reason's name, in all directions. */
  counted(reason: string): number {
    return this.maps.counters().get(reason)?.packets ?? 0
  }

  close(): void {
    for (const close of this.closers) close()
    for (const link of this.links) link.close()
    for (const object of this.objects) {
      for (const name of object.mapNames) object.map(name).close()
      for (const name of object.programNames) object.program(name).close()
      object.close()
    }
    enterNetns(`/proc/self/fd/${this.home}`)
    for (const fd of [...Object.values(this.spaces), this.home]) closeSync(fd)
  }

  private load(config: Config): DatapathMaps {
    const rodata = { cfg_snat_addr: be32(NODE), ...config }
    const netdev = BpfObject.open(objectPath('weft_netdev'), {
      rodata,
      maxEntries: this.maxEntries,
    }).load()
    this.objects.push(netdev)
    for (const device of ['n0', 'n1']) {
      if (this.mode !== 'xdp') this.attach(netdev, 'weft_from_netdev', device, 'ingress')
      this.attach(netdev, 'weft_to_netdev', device, 'egress')
    }
    this.attach(netdev, 'weft_from_pod', 'p0', 'ingress')
    this.attach(netdev, 'weft_to_pod', 'p0', 'egress')
    if (this.mode !== 'tc') this.attachXdp(netdev, rodata)
    const maps = new DatapathMaps((name) => netdev.map(name), ifIndex)
    for (const name of ['n0', 'n1']) maps.addDevice({ name, address: NODE, xdp: this.mode !== 'tc' })
    return maps
  }

  /** A veth takes redirected frames only while its peer polls (gro on), and what the driver sends back not even then; nobody finishes checksums for XDP (tx off). */
  private attachXdp(netdev: BpfObject, rodata: Config): void {
    const probe = BpfObject.open(objectPath('weft_xdp'))
    const shared = probe.mapNames.filter((name) => name.startsWith('w_') && netdev.mapNames.includes(name))
    probe.close()
    const reuseMaps: Record<string, BpfMap> = Object.fromEntries(shared.map((name) => [name, netdev.map(name)]))
    const xdp = BpfObject.open(objectPath('weft_xdp'), {
      rodata: { cfg_xdp_tx: false, ...rodata },
      maxEntries: this.maxEntries,
      reuseMaps,
    }).load()
    this.objects.push(xdp)
    const program = xdp.program('weft_xdp_uplink')
    for (const device of ['n0', 'n1']) {
      this.links.push(BpfLink.attachXdp(program, ifIndex(device), XdpFlag.DRV))
    }
    this.offload('off', 'off')
    this.sh('near', 'ethtool -K r1 gro on')
    this.sh('far', 'ethtool -K f0 gro on')
  }

  private attach(object: BpfObject, program: string, device: string, direction: Direction): void {
    const loaded = object.program(program)
    const ifindex = ifIndex(device)
    if (kernelHasTcx()) this.links.push(BpfLink.attachTcx(loaded, ifindex, direction))
    else ClsactHook.ensure(ifindex).attach(loaded, direction)
  }
}

function sh(script: string): void {
  execFileSync('bash', ['-euc', script], { stdio: ['ignore', 'ignore', 'inherit'] })
}
