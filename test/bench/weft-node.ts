import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { Address } from '../../agent/types/address.ts'
import type { Service } from '../../agent/types/service.ts'
import type { Lane } from './lanes.ts'
import { desiredFrontends } from '../../agent/desired/frontends.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { encoded } from '../../agent/maps/codec.ts'
import { DEVICE_MAP, deviceKey, deviceValue } from '../../agent/maps/device.ts'
import { FLOW_MAPS } from '../../agent/maps/flow.ts'
import { SyncGates } from '../../agent/state/sync.ts'
import { createTables } from '../../agent/state/tables.ts'
import { Writer } from '../../agent/state/writer.ts'
import { Datapath } from '../../agent/targets/programs.ts'
import { parseAddress } from '../../agent/types/address.ts'
import { BpfLink, BpfObject, BpfProgram, enterNetns, ifIndex } from '../../native/index.ts'
import { BACKEND, inNetns } from './lanes.ts'
import { BUILD } from './place.ts'
import { backendRow, Balancer, endpoint, lbMapsOf, rows, serviceRow, snapshotOf } from './world.ts'

/** Services that are measured: what one costs in iptables depends on where in a list kube-proxy happened to put it. */
export const COPIES = 8

/** The first of them, on every node and every peer alike; the others have the addresses and node ports behind. */
export const SERVICE = {
  clusterIP: '10.99.1.1',
  tcp: { port: 80, target: 8080, nodePort: 30080 },
  udp: { port: 53, target: 5353, nodePort: 30053 },
} as const

const UPLINKS = ['up0', 'up1'] as const
const XDP_DRIVER = 1 << 2

/** The shipped programs on one lane's node. The agent has one uplink; here clients and backends are on two. */
export class WeftNode {
  readonly #datapath: Datapath
  readonly #balancer: Balancer
  readonly #lane: Lane
  readonly #bpffs: string

  private constructor(lane: Lane, datapath: Datapath, bpffs: string) {
    this.#balancer = new Balancer(lbMapsOf(datapath.maps), systemClock)
    this.#datapath = datapath
    this.#lane = lane
    this.#bpffs = bpffs
  }

  /** One at a time: this process is in the lane's namespace afterwards. */
  static async on(
    lane: Lane,
    { directory, cgroup, xdp }: { directory: string; cgroup: string; xdp: boolean },
  ): Promise<WeftNode> {
    enterNetns(lane.netns)
    const bpffs = `${directory}/bpffs-${lane.name}`
    mkdirSync(bpffs)
    execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs])
    const rodata = { cfg_snat_addr: Buffer.from(lane.back.split('.').map(Number)).readUInt32LE() }
    const datapath = await Datapath.open({
      objectsDir: `${BUILD}/bpf`,
      bpfRoot: bpffs,
      cgroupRoot: cgroup,
      uplink: UPLINKS[0],
      nodePorts: { first: 30000, last: 32767 },
      rodata: { ...rodata, cfg_xdp: xdp },
    })
    for (const { name, id } of datapath.programs) {
      const direction = name === 'weft_from_netdev' ? 'ingress' : name === 'weft_to_netdev' ? 'egress' : undefined
      if (direction !== undefined) BpfLink.attachTcx(BpfProgram.openById(id), ifIndex(UPLINKS[1]), direction)
    }
    const node = new WeftNode(lane, datapath, bpffs)
    if (xdp) node.#attachXdp(rodata)
    return node
  }

  /** A veth takes frames from XDP only while its peer polls, and finishes no checksum that the sender has left to it. */
  #attachXdp(rodata: { cfg_snat_addr: number }): void {
    const { maps } = this.#datapath
    const object = BpfObject.open(`${BUILD}/bpf/weft_xdp.o`, { rodata, pinRoot: `${this.#bpffs}/weft/maps` }).load()
    for (const uplink of UPLINKS) {
      const entry = { address: parseAddress('0.0.0.0')!, several: false, xdp: true }
      maps[DEVICE_MAP.name]!.update(encoded(deviceKey, ifIndex(uplink)), encoded(deviceValue, entry))
      BpfLink.attachXdp(object.program('weft_xdp_uplink'), ifIndex(uplink), XDP_DRIVER)
    }
    for (const end of ['client', 'backend']) inNetns(end, 'ethtool', '-K', this.#lane.name, 'gro', 'on', 'tx', 'off')
  }

  /** The services under test and as many others as are missing to `count`. */
  async fill(count: number): Promise<void> {
    const tables = createTables()
    const writer = new Writer(tables, new SyncGates())
    const others = rows(count - COPIES, 10)
    for (const row of others.services) writer.upsertService(row)
    for (const row of others.sets) writer.upsertBackends(row)
    for (let copy = 0; copy < COPIES; copy++) {
      const own = ownService(count, copy)
      writer.upsertService(own)
      const ports = own.ports.map(({ name, protocol, targetPort }) => ({ name, protocol, port: Number(targetPort) }))
      const backend = { ...endpoint(parseAddress(BACKEND)!), ports }
      writer.upsertBackends({ ...backendRow(own, 0, 0), endpoints: [backend] })
    }
    const snapshot = snapshotOf(tables, 'random', [parseAddress(this.#lane.front)!])
    const services = [...tables.services.values()]
    await this.#balancer.set(services.flatMap((row) => desiredFrontends(snapshot, row.name).frontends))
  }

  /** Empties the flow tables, so that what was measured before is not measured again: they forget nothing by themselves. */
  forget(): void {
    for (const { name } of FLOW_MAPS) {
      const map = this.#datapath.maps[name]!
      const { keys, count } = map.dump()
      if (count > 0) map.deleteBatch(keys, count)
    }
  }

  /** What each program costs in `work`, by the kernel's own statistics; apart from measurements, which they slow down. */
  async profile(work: () => Promise<number>): Promise<string> {
    const setting = '/proc/sys/kernel/bpf_stats_enabled'
    const before = readFileSync(setting, 'utf8')
    const read = (): { name: string; ns: number; runs: number }[] =>
      this.#datapath.programs.map(({ name, id }) => {
        using program = BpfProgram.openById(id)
        const { runTimeNs, runCount } = program.info()
        return { name, ns: Number(runTimeNs), runs: Number(runCount) }
      })
    writeFileSync(setting, '1')
    try {
      const start = read()
      const times = await work()
      return read()
        .map((end, i) => ({ name: end.name, ns: end.ns - start[i]!.ns, runs: end.runs - start[i]!.runs }))
        .filter(({ runs }) => runs > 0)
        .map(({ name, ns, runs }) => `${name} ${(runs / times).toFixed(1)} × ${(ns / runs).toFixed(0)} ns`)
        .join(', ')
    } finally {
      writeFileSync(setting, before)
    }
  }

  close(): void {
    this.#balancer.close()
    this.#datapath.close()
  }
}

function ownService(count: number, copy: number): Service {
  const { tcp, udp, clusterIP } = SERVICE
  return serviceRow(count + copy, {
    type: 'NodePort',
    clusterIPs: [(parseAddress(clusterIP)! + copy) as Address],
    ports: [
      { name: 'http', protocol: 6, port: tcp.port, targetPort: tcp.target, nodePort: tcp.nodePort + copy },
      { name: 'dns', protocol: 17, port: udp.port, targetPort: udp.target, nodePort: udp.nodePort + copy },
    ],
  })
}
