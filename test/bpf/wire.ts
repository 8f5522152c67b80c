import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import {
  BpfLink,
  BpfObject,
  ClsactHook,
  type Direction,
  enterNetns,
  ifIndex,
  kernelHasTcx,
  newNetns,
} from '../../native/index.ts'
import { DatapathMaps } from './maps.ts'
import { portOf, udpServer } from './sockets.ts'
import { be32, objectPath } from './world.ts'

export const VIP = '198.51.100.80'
export const BACKEND = '10.1.0.190'
export const NODE_ADDRESS = '10.1.0.1'

/** Ports that tests bind sockets to: a connection before them may not have been given one. */
export const RESERVE_PORTS = 'net.ipv4.ip_local_reserved_ports=45000-45999'

/**
 * Client, node and backend, each in a network namespace that lives as long as its descriptor here, and the node with the
 * programs of its uplink on both sides.
 */
export class Wire {
  readonly maps: DatapathMaps
  private readonly home = openSync('/proc/self/ns/net', 'r')
  private readonly spaces: Record<'client' | 'node' | 'backend', number>
  private readonly links: BpfLink[] = []
  private readonly closers: (() => void)[] = []
  private readonly object: BpfObject

  constructor() {
    const make = (): number => {
      newNetns()
      return openSync('/proc/self/ns/net', 'r')
    }
    this.spaces = { client: make(), backend: make(), node: make() }
    const fd = (name: 'client' | 'backend') => `/proc/${process.pid}/fd/${this.spaces[name]}`
    sh(`
      sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 ${RESERVE_PORTS}
      ip link add n0 type veth peer name c0
      ip link add n1 type veth peer name b0
      ip addr add 192.0.2.1/24 dev n0
      ip addr add ${NODE_ADDRESS}/24 dev n1
      ip link set n0 up
      ip link set n1 up
      ip link set c0 netns ${fd('client')}
      ip link set b0 netns ${fd('backend')}
    `)
    this.in('client', () =>
      sh(
        `ip link set lo up; ip addr add 192.0.2.10/24 dev c0; ip link set c0 up; ip route add default via 192.0.2.1
         sysctl -qw ${RESERVE_PORTS}`,
      ),
    )
    this.in('backend', () =>
      sh(
        `ip link set lo up; ip addr add ${BACKEND}/24 dev b0; ip link set b0 up; ip route add default via ${NODE_ADDRESS}`,
      ),
    )
    this.object = BpfObject.open(objectPath('weft_netdev'), {
      rodata: { cfg_snat_addr: be32(NODE_ADDRESS) },
      maxEntries: { w_flow4t_v1: 4096, w_flow4s_v1: 4096, w_flow4a_v1: 4096 },
    }).load()
    this.maps = new DatapathMaps((name) => this.object.map(name))
    this.attach('weft_from_netdev', 'n0', 'ingress')
    this.attach('weft_to_netdev', 'n0', 'egress')
    this.attach('weft_from_netdev', 'n1', 'ingress')
  }

  in<T>(space: 'client' | 'backend' | 'node', run: () => T): T {
    enterNetns(`/proc/self/fd/${this.spaces[space]}`)
    try {
      return run()
    } finally {
      enterNetns(`/proc/self/fd/${this.spaces.node}`)
    }
  }

  /** As {@link in}, for work that goes on after its first step. */
  async inside<T>(space: 'client' | 'backend', run: () => Promise<T>): Promise<T> {
    enterNetns(`/proc/self/fd/${this.spaces[space]}`)
    try {
      return await run()
    } finally {
      enterNetns(`/proc/self/fd/${this.spaces.node}`)
    }
  }

  offload(ends: 'on' | 'off', node: 'on' | 'off'): void {
    this.in('client', () => sh(`ethtool -K c0 tx ${ends} >/dev/null`))
    this.in('backend', () => sh(`ethtool -K b0 tx ${ends} >/dev/null`))
    sh(`ethtool -K n0 tx ${node} >/dev/null; ethtool -K n1 tx ${node} >/dev/null`)
  }

  /** Servers on the backend that answer what they are sent (TCP) or with a name (UDP), and the VIP's port 80 for both. */
  async serve(): Promise<{ tcp: number; udp: number }> {
    const ports = await this.inside('backend', async () => {
      const tcp = createServer((socket) => socket.on('error', () => socket.destroy()).pipe(socket))
      tcp.listen(0, BACKEND)
      await once(tcp, 'listening')
      const udp = await udpServer('backend', BACKEND)
      this.closers.push(
        () => tcp.close(),
        () => udp.close(),
      )
      return { tcp: portOf(tcp), udp: portOf(udp) }
    })
    this.maps.addBackend({ id: 1, address: BACKEND, port: ports.tcp })
    this.maps.addBackend({ id: 2, address: BACKEND, port: ports.udp, protocol: 17 })
    this.maps.addService({ id: 1, address: VIP, backends: [1] })
    this.maps.addService({ id: 2, address: VIP, protocol: 17, backends: [2] })
    return ports
  }

  close(): void {
    for (const close of this.closers) close()
    for (const link of this.links) link.close()
    this.object.close()
    enterNetns(`/proc/self/fd/${this.home}`)
    for (const fd of [...Object.values(this.spaces), this.home]) closeSync(fd)
  }

  private attach(program: string, device: string, direction: Direction): void {
    const loaded = this.object.program(program)
    const ifindex = ifIndex(device)
    if (kernelHasTcx()) this.links.push(BpfLink.attachTcx(loaded, ifindex, direction))
    else ClsactHook.ensure(ifindex).attach(loaded, direction)
  }
}

function sh(script: string): void {
  execFileSync('bash', ['-euc', script], { stdio: ['ignore', 'ignore', 'inherit'] })
}
