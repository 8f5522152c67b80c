import type { FlowKeyFields, FlowValueFields } from '../../agent/maps/flow.ts'
import {
  FLOW_FLAGS,
  FLOW_MAPS,
  FLOW_OTHER_MAP,
  FLOW_SYN_MAP,
  FLOW_TCP_MAP,
  flowKey,
  flowValue,
} from '../../agent/maps/flow.ts'
import { decodePurge, PURGE_MAP, PURGE_PROGRAM, PURGE_RANGES_MAP } from '../../agent/maps/purge.ts'
import type { Address } from '../../agent/types/address.ts'
import { formatAddress, parseCidr } from '../../agent/types/address.ts'
import { systemClock } from '../../agent/lib/clock.ts'
import { FlowPurge } from '../../agent/targets/flow-purge.ts'
import { type BpfMap, BpfObject } from '../../native/index.ts'
import { DatapathMaps } from './maps.ts'
import { address } from './packet.ts'
import { objectPath } from './world.ts'

/** The program that purges flows, with tables of its own. */
export class PurgeWorld {
  readonly purge: FlowPurge
  readonly walks: number[] = []
  private readonly object: BpfObject
  private readonly closers: (() => void)[] = []

  constructor(maxEntries: { readonly tcp: number; readonly other: number }) {
    const { tcp, other } = maxEntries
    this.object = BpfObject.open(objectPath('weft_tools'), {
      maxEntries: { [FLOW_TCP_MAP.name]: tcp, [FLOW_SYN_MAP.name]: tcp, [FLOW_OTHER_MAP.name]: other },
    })
    this.object.load()
    const ids = this.object.map(PURGE_MAP.name).mmap()
    const ranges = this.object.map(PURGE_RANGES_MAP.name).mmap()
    const program = this.object.program(PURGE_PROGRAM)
    this.closers.push(
      () => ids.close(),
      () => ranges.close(),
      () => program.close(),
    )
    this.purge = new FlowPurge({
      ids,
      ranges,
      walk: (run) => {
        const { retval, args } = program.call(run)
        if (retval !== 0) throw new Error(`the walk failed: ${retval}`)
        const { tcp, other } = decodePurge(args)
        this.walks.push(tcp + other)
        return args
      },
      clock: systemClock,
      onError: (error) => {
        throw error
      },
    })
  }

  /** Half of TCP is established. Service and backend are the number of the entry in its table, modulo so many. */
  fill(tcp: number, other: number, services: number, backends: number): void {
    this.fillMap(this.object.map(FLOW_TCP_MAP.name), 6, tcp / 2, services, backends)
    this.fillMap(this.object.map(FLOW_SYN_MAP.name), 6, tcp / 2, services, backends)
    this.fillMap(this.object.map(FLOW_OTHER_MAP.name), 17, other, services, backends)
  }

  /** Entries of all tables. */
  get size(): number {
    return FLOW_MAPS.reduce((sum, { name }) => sum + this.object.map(name).dump().count, 0)
  }

  flows(): [FlowKeyFields, FlowValueFields][] {
    return FLOW_MAPS.flatMap(({ name }) => {
      const { keys, values, count } = this.object.map(name).dump()
      return Array.from({ length: count }, (_, i): [FlowKeyFields, FlowValueFields] => [
        flowKey.decode(keys, i * flowKey.size),
        flowValue.decode(values, i * flowValue.size),
      ])
    })
  }

  map(name: string): BpfMap {
    return this.object.map(name)
  }

  close(): void {
    this.purge.close()
    for (const close of this.closers) close()
    for (const name of this.object.mapNames) this.object.map(name).close()
    this.object.close()
  }

  private fillMap(map: BpfMap, protocol: number, count: number, services: number, backends: number): void {
    const keys = Buffer.alloc(count * flowKey.size)
    const values = Buffer.alloc(count * flowValue.size)
    const tuple = { destination: 0x0a000001 as Address, destinationPort: 80 }
    for (let i = 0; i < count; i++) {
      const source = { source: (0xac000000 + Math.floor(i / 60000)) as Address, sourcePort: 1024 + (i % 60000) }
      flowKey.encode({ ...tuple, ...source, protocol }, keys, i * flowKey.size)
      const ids = { serviceId: i % services, backendId: i % backends }
      const times = { expires: 0xffffffff, last: 0, created: 0, flags: 0, addressDiff: 0, portDiff: 0 }
      flowValue.encode({ ...tuple, ...source, ...ids, ...times }, values, i * flowValue.size)
    }
    map.updateBatch(keys, values, count)
  }
}

/** Throws when a change of ranges ends flows of clients that are let in, or leaves those of others. */
export function checkAdmission(): void {
  const world = new PurgeWorld({ tcp: 1024, other: 64 })
  const maps = new DatapathMaps((name) => world.map(name))
  const clients = { inside: '192.0.2.7', outside: '203.0.113.7', pod: '10.0.0.46' }
  const [vip, backend, node] = [address('198.51.100.80'), address('10.1.0.190'), address('172.18.0.2')]
  const end = { expires: 0xffffffff, last: 0, created: 0, addressDiff: 0, portDiff: 0, backendId: 1 }
  const add = (serviceId: number, client: Address, source: Address, flags: number): void => {
    const asked = { source: client, destination: vip, sourcePort: 40_000 + serviceId, destinationPort: 80 }
    const reached = { source, destination: backend, sourcePort: 50_000 + serviceId, destinationPort: 80 }
    const turned = (tuple: typeof asked): typeof asked => ({
      ...{ source: tuple.destination, destination: tuple.source },
      ...{ sourcePort: tuple.destinationPort, destinationPort: tuple.sourcePort },
    })
    maps.addFlow({ ...asked, protocol: 6 }, { ...reached, ...end, serviceId, flags })
    maps.addFlow(
      { ...turned(reached), protocol: 6 },
      { ...turned(asked), ...end, serviceId, flags: flags | FLOW_FLAGS.REV },
    )
  }
  try {
    for (const id of [1, 2, 3]) {
      add(id, address(clients.inside), node, FLOW_FLAGS.SNAT)
      add(id, address(clients.outside), address(clients.outside), FLOW_FLAGS.LOCAL)
      add(id, address(clients.pod), address(clients.pod), FLOW_FLAGS.CLIENT_HERE)
    }
    const ranges = ['198.18.0.0/15', '192.0.2.0/24'].map((text) => parseCidr(text)!)
    world.purge.purge({ services: [3], clients: { serviceId: 1, policy: 'allow', ranges } })
    world.purge.purge({ clients: { serviceId: 2, policy: 'deny', ranges } })
    world.purge.flush()
    const left = world
      .flows()
      .map(
        ([key, flow]) => [flow.serviceId, (flow.flags & FLOW_FLAGS.REV) === 0 ? key.source : flow.destination] as const,
      )
      .map(([service, client]) => `${service} ${formatAddress(client)}`)
    const { inside, outside, pod } = clients
    const wanted = [`1 ${inside}`, `1 ${pod}`, `2 ${outside}`, `2 ${pod}`].flatMap((line) => [line, line])
    if (left.sort().join() !== wanted.sort().join()) throw new Error(`left: ${left.join()}; wanted: ${wanted.join()}`)
  } finally {
    world.close()
  }
}

/** Throws when flows of other ids are deleted, or flows of these are not. */
export function checkPurge(): void {
  const world = new PurgeWorld({ tcp: 16384, other: 8192 })
  try {
    world.fill(4000, 2000, 7, 101)
    const before = world.flows()
    world.purge.purge({ services: [3], backends: [64, 100] })
    world.purge.flush()
    const kept = before.filter(([, flow]) => flow.serviceId !== 3 && flow.backendId !== 64 && flow.backendId !== 100)
    const lines = (flows: typeof before): string =>
      flows
        .map((each) => JSON.stringify(each))
        .sort()
        .join('\n')
    if (lines(world.flows()) !== lines(kept)) throw new Error(`${world.flows().length} left, expected ${kept.length}`)
    if (world.walks.at(-1) !== 0) throw new Error(`the last walk deleted ${world.walks.at(-1)}`)
  } finally {
    world.close()
  }
}
