import { execFileSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { REVSK_MAP } from '../../agent/maps/revsk.ts'
import { BpfLink, BpfMap, BpfObject, cgroup2Mount, enterNetns, netnsCookie, newNetns } from '../../native/index.ts'
import { DatapathMaps } from './maps.ts'
import { type Config, objectPath } from './world.ts'

/** Every address that a test listens on is the namespace's own, so that connections need no other host. */
const NETWORK = `
ip link set lo up
ip addr add 172.18.0.2/32 dev lo
ip addr add 10.0.0.46/32 dev lo
ip addr add 10.0.0.47/32 dev lo
ip addr add 172.18.0.3/32 dev lo
`

const MAX_ENTRIES = { w_slot_v1: 65536, w_be4_v1: 1024, w_revsk4_v1: 4096, w_ipc_v1: 1024 }

const PREFIX = 'weft-socket-test-'

const PROGRAMS = ['weft_connect4', 'weft_sendmsg4', 'weft_recvmsg4', 'weft_getpeername4', 'weft_release']

/**
 * This process as a process of the node: in a network namespace of its own and in a cgroup with the socket programs. Both
 * are left and removed by {@link close}.
 */
export class SocketWorld {
  readonly maps: DatapathMaps
  private readonly object: BpfObject
  private readonly links: BpfLink[] = []
  private readonly home: number
  private readonly homeCgroup: string
  private readonly cgroup: string

  constructor(config: Config = {}) {
    const mount = cgroup2Mount()
    if (mount === undefined) throw new Error('no cgroup2 mounted')
    const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/'
    this.homeCgroup = join(mount, own)
    sweep(mount)
    this.cgroup = join(mount, `${PREFIX}${process.pid}`)
    this.home = openSync('/proc/self/ns/net', 'r')
    newNetns()
    execFileSync('bash', ['-euc', NETWORK], { stdio: ['ignore', 'ignore', 'inherit'] })
    this.object = BpfObject.open(objectPath('weft_sock'), {
      rodata: { cfg_host_netns_cookie: netnsCookie(), ...config },
      maxEntries: MAX_ENTRIES,
    }).load()
    this.maps = new DatapathMaps((name) => this.map(name))
    mkdirSync(this.cgroup)
    writeFileSync(join(this.cgroup, 'cgroup.procs'), String(process.pid))
    for (const name of PROGRAMS) this.links.push(BpfLink.attachCgroup(this.object.program(name), this.cgroup))
  }

  map(name: string): BpfMap {
    return this.object.map(name)
  }

  /** How many sockets are remembered to have asked for a service. */
  remembered(): number {
    return this.map(REVSK_MAP.name).dump().count
  }

  close(): void {
    for (const link of this.links) link.close()
    writeFileSync(join(this.homeCgroup, 'cgroup.procs'), String(process.pid))
    rmdirSync(this.cgroup)
    for (const name of this.object.mapNames) this.object.map(name).close()
    for (const name of this.object.programNames) this.object.program(name).close()
    this.object.close()
    enterNetns(`/proc/self/fd/${this.home}`)
    closeSync(this.home)
  }
}

/** Remove what a killed run left behind. */
function sweep(mount: string): void {
  for (const name of readdirSync(mount)) {
    if (name.startsWith(PREFIX) && !existsSync(`/proc/${name.slice(PREFIX.length)}`)) rmdirSync(join(mount, name))
  }
}
