import { closeSync, openSync } from 'node:fs'
import path from 'node:path'
import { type BpfMap, BpfObject, type BpfProgram, ClsactHook, enterNetns, ifIndex } from '../../native/index.ts'
import { type Checks, sh } from './kernel-checks.ts'
import { nodePortService, pod } from './services.ts'

/**
 * A Cilium node beside the machine, in the namespace `peer`: Cilium's own programs on a geneve device of the kernel. Packets
 * of DSR go to it and come from it; answers reach the client on a way of their own. Needs the module geneve.
 */

const BUILT = path.resolve(import.meta.dirname, '../../../vm')
const CILIUM = `${BUILT}/cilium_node.o`

const CLIENT = '10.50.0.1'
const NODE = '10.50.0.2'
const PEER = '10.70.0.1'
const NODE_AT_PEER = '10.70.0.2'
const PEER_POD = '10.1.0.9'
const POD = '10.0.0.9'
const SERVICE = '172.16.9.1'
const NODE_PORT = 30090
const PORT = 8080
/** cilium_node.bpf.c knows it. */
const GENEVE_INDEX = 77
const WORLD = 2

const NETWORK = `
ip netns add peer; ip -n peer link set lo up
ip netns exec peer sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
ip netns exec client sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
ip link add up2 type veth peer name eth0 netns peer
ip addr add ${NODE_AT_PEER}/24 dev up2; ip link set up2 up
ip -n peer addr add ${PEER}/24 dev eth0; ip -n peer link set eth0 up
ip netns exec peer ethtool -K eth0 gro on tx off >/dev/null
ip -n peer addr add ${PEER_POD}/32 dev lo
ip -n peer link add gnv0 index ${GENEVE_INDEX} type geneve external
ip -n peer link set gnv0 up
ip -n peer link add out0 type veth peer name eth1 netns client
ip -n peer addr add 10.51.0.2/24 dev out0; ip -n peer link set out0 up
ip -n client addr add 10.51.0.1/24 dev eth1; ip -n client link set eth1 up
ip -n peer route add ${CLIENT}/32 via 10.51.0.1 src ${PEER_POD}
ip -n client route add ${SERVICE}/32 via 10.51.0.2 src ${CLIENT} mtu lock 1400

ip netns add pod; ip -n pod link set lo up
ip link add lxc1 type veth peer name eth0 netns pod
ip addr add 169.254.9.1/32 dev lxc1; ip link set lxc1 up
ip -n pod addr add ${POD}/32 dev eth0; ip -n pod link set eth0 up
ip -n pod route add 169.254.9.1 dev eth0 scope link
ip -n pod route add default via 169.254.9.1
ip route add ${POD}/32 dev lxc1 src ${NODE}
`

export class CiliumNode {
  readonly #objects: readonly BpfObject[]
  readonly #seen: BpfMap
  readonly #count: BpfMap

  /** Services and nodes that the agent is to know. */
  static readonly objects: readonly object[] = [
    node('west-worker', NODE, '10.0.0.0/24'),
    node('peer', PEER, '10.1.0.0/24'),
    pod('inside', POD),
    ...nodePortService({
      name: 'there',
      nodePort: NODE_PORT,
      backends: [PEER_POD],
      port: PORT,
      annotations: { 'service.cilium.io/forwarding-mode': 'dsr' },
    }),
  ]

  /** The namespaces that are to serve on {@link PORT}. */
  static readonly servers = ['peer', 'pod']

  constructor() {
    sh(NETWORK)
    const witness = BpfObject.open(`${BUILT}/geneve_witness.o`).load()
    const cilium = loadCilium()
    this.#objects = [witness, cilium]
    this.#seen = witness.map('seen')
    this.#count = witness.map('count')
    cilium.program('cilium_setup').testRun({ data: setupFrame() })
    inPeer(() => {
      attach('gnv0', 'ingress', witness.program('geneve_witness'), 1)
      attach('gnv0', 'ingress', cilium.program('cil_from_overlay'), 2)
      attach('out0', 'egress', cilium.program('cil_to_overlay'), 1)
      attach('out0', 'ingress', cilium.program('cilium_from_netdev'), 1)
    })
  }

  close(): void {
    for (const object of this.#objects) object.close()
  }

  /** The machine is asked, and the Cilium node has the backend. */
  receives(checks: Checks, when: string): void {
    this.#forget()
    const here = `http://${NODE}:${NODE_PORT}`
    checks.same(`weft to Cilium, ${when}`, () => http(`${here}/`), `peer ${CLIENT} 0\n`)
    checks.same(`weft to Cilium by UDP, ${when}`, () => datagram(NODE, NODE_PORT), `peer ${CLIENT} 5\n`)
    this.#checkWhatWasSeen(checks, when)
    checks.holds(`answers of the Cilium node do not pass this one, ${when}`, () =>
      passing('eth0', `${here}/bytes/300000`),
    )
    checks.same(`weft to Cilium, full packets, ${when}`, () => post(`${here}/`, 200_000), `peer ${CLIENT} 200000\n`)
  }

  /** The Cilium node is asked, and the machine has the backend. */
  sends(checks: Checks, when: string): void {
    const there = `http://${SERVICE}`
    checks.same(`Cilium to weft, ${when}`, () => http(`${there}/`), `pod ${CLIENT} 0\n`)
    checks.same(`Cilium to weft by UDP, ${when}`, () => datagram(SERVICE, 80), `pod ${CLIENT} 5\n`)
    checks.holds(`answers of this node do not pass the Cilium node, ${when}`, () =>
      passing('eth1', `${there}/bytes/300000`),
    )
    checks.same(`Cilium to weft, full packets, ${when}`, () => post(`${there}/`, 200_000), `pod ${CLIENT} 200000\n`)
  }

  /** Bit for bit: class, type and length of the option, service address and port, padding; on each SYN and each datagram. */
  #checkWhatWasSeen(checks: Checks, when: string): void {
    const option = `014b8102${bytesOf(NODE).toString('hex')}${NODE_PORT.toString(16).padStart(4, '0')}0000`
    const seen = this.#read()
    for (const kind of ['SYN', 'TCP', 'UDP']) {
      const told = `${kind} VNI ${WORLD} from ${NODE_AT_PEER} TTL 64: ${CLIENT} to ${PEER_POD} port ${PORT}`
      const these = seen.filter((line) => line.startsWith(kind))
      const wanted = `${told}, option ${kind === 'TCP' ? 'none' : option}`
      checks.same(`the kernel's decoder reads ${kind}, ${when}`, [...new Set(these)].join('\n'), wanted)
    }
  }

  #forget(): void {
    this.#count.update(Buffer.alloc(4), Buffer.alloc(4))
  }

  #read(): string[] {
    const count = this.#count.lookup(Buffer.alloc(4))!.readUInt32LE(0)
    return Array.from({ length: Math.min(count, 64) }, (_, at) => {
      const key = Buffer.alloc(4)
      key.writeUInt32LE(at)
      return decode(this.#seen.lookup(key)!)
    })
  }
}

const bytesOf = (address: string): Buffer => Buffer.from(address.split('.').map(Number))

/** `struct seen` of geneve_witness.bpf.c: what the kernel's decoder understood. */
function decode(raw: Buffer): string {
  const address = (at: number): string => [...raw.subarray(at, at + 4)].join('.')
  const tunnel = `VNI ${raw.readUInt32LE(0)} from ${Buffer.from(raw.subarray(4, 8)).reverse().join('.')} TTL ${raw[8]}`
  const kind = raw[9] === 17 ? 'UDP' : (raw[10]! & 0x12) === 0x02 ? 'SYN' : 'TCP'
  const options = raw[11] === 255 ? 'none' : raw.toString('hex', 12, 12 + raw[11]!)
  return `${kind} ${tunnel}: ${address(28)} to ${address(32)} port ${raw.readUInt16BE(38)}, option ${options}`
}

function node(name: string, address: string, podCIDR: string): object {
  return {
    ...{ apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: { podCIDR, podCIDRs: [podCIDR] } },
    status: {
      addresses: [{ type: 'InternalIP', address }],
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  }
}

/** Only what is attached, and where it leads to: the verifier takes its time here. */
function loadCilium(): BpfObject {
  const wanted = /^(cil_from_overlay|cil_to_overlay|cilium_.*|tail_handle_ipv4|tail_nodeport_ipv4_dsr)$/
  const probe = BpfObject.open(CILIUM)
  const skipPrograms = probe.programNames.filter((name) => !wanted.test(name))
  const sizes = { cilium_snat_v4_external: 1024, cilium_nodeport_neigh4: 1024, cilium_ipcache_v2: 1024 }
  const maxEntries = Object.fromEntries(Object.entries(sizes).filter(([name]) => probe.mapNames.includes(name)))
  probe.close()
  return BpfObject.open(CILIUM, { skipPrograms, maxEntries }).load()
}

/** `struct setup` of cilium_node.bpf.c behind an Ethernet header. */
function setupFrame(): Buffer {
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(80, 0)
  ports.writeUInt16BE(PORT, 2)
  const bytes = [SERVICE, POD, NODE_AT_PEER].map(bytesOf)
  return Buffer.concat([Buffer.alloc(12), Buffer.from([0x08, 0x00]), ...bytes, ports, Buffer.alloc(64)])
}

function attach(device: string, direction: 'ingress' | 'egress', program: BpfProgram, priority: number): void {
  ClsactHook.ensure(ifIndex(device)).attach(program, direction, { priority })
}

function inPeer(run: () => void): void {
  const home = openSync('/proc/self/ns/net', 'r')
  enterNetns('/run/netns/peer')
  try {
    run()
  } finally {
    enterNetns(`/proc/self/fd/${home}`)
    closeSync(home)
  }
}

const CURL = "ip netns exec client curl -sS -m 60 --http1.1 -H 'Expect:'"
const http = (url: string): string => sh(`${CURL} ${url}`)
const post = (url: string, bytes: number): string => sh(`head -c ${bytes} /dev/zero | ${CURL} --data-binary @- ${url}`)
const datagram = (address: string, port: number): string =>
  sh(`ip netns exec client bash -euc 'exec 3<>/dev/udp/${address}/${port}; printf hello >&3; timeout 20 head -n 1 <&3'`)

/** Whether the bytes of a download of 300 kB come in by the device by which the client asks for them. */
function passing(asking: string, url: string): string | undefined {
  const received = (): number =>
    Number(sh(`ip netns exec client cat /sys/class/net/${asking}/statistics/rx_bytes`).trim())
  const before = received()
  const got = sh(`${CURL} ${url} | wc -c`).trim()
  const bytes = received() - before
  return got === '300000' && bytes < 100_000 ? undefined : `${got} bytes came, ${bytes} of them by ${asking}`
}
