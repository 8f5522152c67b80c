import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  BpfLink,
  BpfMap,
  BpfObject,
  type BpfProgram,
  enterNetns,
  ifIndex,
  newNetns,
  RingBuffer,
  type RodataValue,
} from '../../native/index.ts'
import { DatapathMaps } from './maps.ts'
import { address } from './packet.ts'

/** Addresses of the node under test and what is around it. */
export const NODE = '172.18.0.2'
export const NODE_MAC = '02:00:00:00:00:02'
/** Router towards clients, and the node that has the pods of 10.1.0.0/16: both are known neighbours. */
export const ROUTER_MAC = '02:00:00:00:00:01'
export const PEER_MAC = '02:00:00:00:00:03'
export const POD_MAC = '02:00:00:00:01:01'
/** The node's side of the pod's veth. */
export const POD_GATEWAY_MAC = '02:00:00:00:01:02'
export const POD = '10.0.0.46'
/** A second uplink, and the node behind it that has the pods of 10.2.0.0/16. */
export const NODE2 = '172.19.0.2'
export const NODE2_MAC = '02:00:00:00:02:02'
export const PEER2_MAC = '02:00:00:00:02:09'

const NETWORK = `
ip link set lo up
ip link add up0 address ${NODE_MAC} type veth peer name up1 address ${ROUTER_MAC}
ip link add pod0 address ${POD_GATEWAY_MAC} type veth peer name pod1 address ${POD_MAC}
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv6.conf.all.disable_ipv6=1
ip link set up0 up
ip link set up1 up
ip link set pod0 up
ip link set pod1 up
ip link add up2 address ${NODE2_MAC} type veth peer name up3
ip link set up2 up
ip link set up3 up
ip addr add ${NODE2}/24 dev up2
ip neigh add 172.19.0.9 lladdr ${PEER2_MAC} dev up2 nud permanent
ip route add 10.2.0.0/16 via 172.19.0.9
ip addr add ${NODE}/24 dev up0
ip neigh add 172.18.0.1 lladdr ${ROUTER_MAC} dev up0 nud permanent
ip neigh add 172.18.0.3 lladdr ${PEER_MAC} dev up0 nud permanent
ip neigh add ${POD} lladdr ${POD_MAC} dev pod0 nud permanent
ip route add default via 172.18.0.1
ip route add 10.1.0.0/16 via 172.18.0.3
ip route add 10.9.0.0/16 via 172.18.0.9
ip route add 10.7.0.0/16 via 172.18.0.3 mtu lock 1400
ip route add unreachable 10.8.0.0/16
ip route add ${POD}/32 dev pod0
`

/** Big enough for the tables, small enough for a virtual machine. Exhaustion is tried with one client at a time. */
const MAX_ENTRIES = {
  w_svc4_v1: 1024,
  w_slot_v1: 65536,
  w_be4_v1: 1024,
  w_rnat4_v1: 1024,
  w_ep_v1: 1024,
  w_flow4t_v1: 8192,
  w_flow4s_v1: 8192,
  w_flow4a_v1: 8192,
  w_aff4_v1: 1024,
  w_frag4_v1: 1024,
  w_dev_v1: 16,
  w_srcr4_v1: 1024,
  w_masq4_v1: 1024,
}

/** Where the built objects are, seen from the sources and from the compiled tests alike. */
export function objectPath(name: string): string {
  const here = dirname(fileURLToPath(import.meta.url))
  const root = here.includes('/build/js/') ? here.slice(0, here.indexOf('/build/js/')) : join(here, '../..')
  return join(root, 'build/bpf', `${name}.o`)
}

/** Network-order bytes of an address, as .rodata variables of type __be32 want them. */
export function be32(text: string): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(address(text))
  return bytes
}

export type Config = Readonly<Record<string, RodataValue>>

export type Hook = 'ingress' | 'egress' | 'pod' | 'to-pod' | 'xdp'

const PROGRAMS: Readonly<Record<Hook, { object: string; program: string; device: 'up0' | 'pod0' }>> = {
  ingress: { object: 'weft_netdev', program: 'weft_from_netdev', device: 'up0' },
  egress: { object: 'weft_netdev', program: 'weft_to_netdev', device: 'up0' },
  pod: { object: 'weft_netdev', program: 'weft_from_pod', device: 'pod0' },
  'to-pod': { object: 'weft_netdev', program: 'weft_to_pod', device: 'pod0' },
  xdp: { object: 'weft_xdp', program: 'weft_xdp_uplink', device: 'up0' },
}

/** The hooks whose programs are in an object, with the programs' names. */
export function hooksOf(object: string): ReadonlyMap<string, Hook> {
  const hooks = Object.entries(PROGRAMS) as [Hook, (typeof PROGRAMS)[Hook]][]
  return new Map(hooks.filter(([, each]) => each.object === object).map(([hook, { program }]) => [program, hook]))
}

/** A program that was loaded, and how long that took. */
export interface Loaded {
  readonly program: string
  readonly config: Config
  readonly ms: number
}

export interface WorldOptions {
  /** Where an object is, by its name. */
  readonly objects?: (name: string) => string
  /** Of maps that are to have another size. */
  readonly maxEntries?: Readonly<Record<string, number>>
  /** Called after each load. */
  readonly onLoad?: (loaded: Loaded) => void
}

/** What is in an object file. */
interface Names {
  readonly maps: ReadonlySet<string>
  readonly programs: readonly string[]
}

/** A node in a network namespace of its own, with the datapath loaded but, for XDP, not attached to anything that has traffic. */
export class World {
  readonly maps: DatapathMaps
  private readonly home: number
  private readonly options: Required<WorldOptions>
  private readonly owned = new Map<string, BpfMap>()
  private readonly names = new Map<string, Names>()
  private readonly programs = new Map<string, BpfProgram>()
  private readonly closers: (() => void)[] = []
  private ring: RingBuffer | undefined
  private records = 0
  private xdpAttached = false
  private readonly devices = new Map<string, number>()

  constructor({ objects = objectPath, maxEntries = {}, onLoad = () => undefined }: WorldOptions = {}) {
    this.options = { objects, maxEntries: { ...MAX_ENTRIES, ...maxEntries }, onLoad }
    this.home = openSync('/proc/self/ns/net', 'r')
    newNetns()
    execFileSync('bash', ['-euc', NETWORK], { stdio: ['ignore', 'ignore', 'inherit'] })
    for (const device of ['up0', 'up2', 'pod0']) this.devices.set(device, ifIndex(device))
    this.maps = new DatapathMaps(
      (name) => this.map(name),
      (device) => this.devices.get(device) ?? 0,
    )
    for (const object of new Set(Object.values(PROGRAMS).map(({ object }) => object))) this.load(object, {}).close()
  }

  /** Also ends the network namespace: nothing else is in it. */
  close(): void {
    for (const close of this.closers.reverse()) close()
    this.ring?.close()
    for (const program of this.programs.values()) program.close()
    for (const map of this.owned.values()) map.close()
    enterNetns(`/proc/self/fd/${this.home}`)
    closeSync(this.home)
  }

  ifindex(hook: Hook): number {
    return this.devices.get(PROGRAMS[hook].device) ?? 0
  }

  deviceIndex(name: string): number {
    return this.devices.get(name) ?? 0
  }

  map(name: string): BpfMap {
    const map = this.owned.get(name)
    if (map === undefined) throw new Error(`no map ${name}`)
    return map
  }

  mapIfAny(name: string): BpfMap | undefined {
    return this.owned.get(name)
  }

  /** Records of the event ring that nobody has read. */
  ringPosition(): number {
    this.ring ??= new RingBuffer(this.map('w_ev'))
    return (this.records += this.ring.drain(() => undefined))
  }

  /** The program of a hook with this configuration: loaded when it is first asked for, and alone, for that can take long; all on the same maps. */
  program(hook: Hook, config: Config): BpfProgram {
    const { object, program } = PROGRAMS[hook]
    const name = `${program} ${JSON.stringify(config)}`
    const known = this.programs.get(name)
    if (known !== undefined) return known
    const start = performance.now()
    const loaded = this.load(object, config, program)
    const found = loaded.program(program)
    loaded.close()
    this.programs.set(name, found)
    this.options.onLoad({ program, config, ms: performance.now() - start })
    if (hook === 'xdp') this.attachXdp(found)
    return found
  }

  /** A queue takes XDP contexts only while a program is attached to its device. */
  private attachXdp(program: BpfProgram): void {
    if (this.xdpAttached) return
    const link = BpfLink.attachXdp(program, this.ifindex('xdp'))
    this.closers.push(() => link.close())
    this.xdpAttached = true
  }

  /** An object with one of its programs or none, and with all of its maps: those that there are already, or new ones. */
  private load(name: string, config: Config, program?: string): BpfObject {
    const path = this.options.objects(name)
    const has = this.namesIn(path)
    const pick = <T>(from: Readonly<Record<string, T>>) =>
      Object.fromEntries(Object.entries(from).filter(([map]) => has.maps.has(map)))
    const object = BpfObject.open(path, {
      rodata: { cfg_snat_addr: be32(NODE), ...config },
      maxEntries: pick(this.options.maxEntries),
      reuseMaps: pick(Object.fromEntries(this.owned)),
      skipPrograms: has.programs.filter((each) => each !== program),
    })
    try {
      object.load()
      for (const map of object.mapNames) {
        if (map.startsWith('w_') && !this.owned.has(map)) this.owned.set(map, object.map(map))
      }
    } catch (error) {
      object.close()
      throw error
    }
    return object
  }

  private namesIn(path: string): Names {
    let names = this.names.get(path)
    if (names === undefined) {
      const object = BpfObject.open(path)
      names = { maps: new Set(object.mapNames), programs: object.programNames }
      object.close()
      this.names.set(path, names)
    }
    return names
  }
}
