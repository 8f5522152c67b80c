/**
 * A real agent on this machine's kernel, without a test framework: for a virtual machine of its own, whose network, cgroup and
 * bpffs it uses as they are. The machine is the node; a client and a backend are namespaces behind two uplinks.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { stringify } from 'yaml'
import { ApiClient } from '../../agent/api/client.ts'
import { eventually } from '../eventually.ts'
import { Checks, sh } from './kernel-checks.ts'
import { CiliumNode } from './kernel-dsr.ts'
import { nodePortService } from './services.ts'

const HERE = import.meta.dirname
const WEFT = path.resolve(HERE, '../../agent/main.js')
const DIRECTORY = '/tmp/weft-kernel-agent'
/** Processes of the node: the client is not among them. */
const CGROUP = '/sys/fs/cgroup/weft-node'
const CLUSTER_IP = '10.96.0.10'
/** A machine without hardware help, beside others. */
const SLOW_MS = 900_000
const VLAN = process.argv.includes('--vlan')
const GENEVE = process.argv.includes('--geneve')
const FILTERS = process.argv.includes('--clsact') ? '1 1 1 1' : '0 0 0 0'

const NETWORK = `
for host in client backend; do ip netns add $host; ip -n $host link set lo up; done
wire() {
  ip link add $1 type veth peer name eth0 netns $2
  ip addr add $3.2/24 dev $1; ip link set $1 up
  ip -n $2 addr add $3.1/24 dev eth0; ip -n $2 link set eth0 up
  ip netns exec $2 ethtool -K eth0 gro on tx off >/dev/null
}
ip link set lo up
wire up0 client 10.50.0
wire up1 backend 10.60.0
`

/** The backend once more, behind a VLAN of the second uplink. */
const TAGGED = `
ip link add link up1 name up1.100 type vlan id 100
ip addr add 10.80.0.2/24 dev up1.100; ip link set up1.100 up
ip -n backend link add link eth0 name eth0.100 type vlan id 100
ip -n backend addr add 10.80.0.1/24 dev eth0.100; ip -n backend link set eth0.100 up
`
/** The tag is in the frame, and not beside it. */
const TAGS_INSIDE = `
ethtool -K up1 txvlan off rxvlan off >/dev/null
ip netns exec backend ethtool -K eth0 txvlan off rxvlan off >/dev/null
`

const children = new Set<ChildProcess>()
const checks = new Checks()
let began = 0

/** A slow machine is watched: each step says when it was done. */
function done(step: string): void {
  process.stdout.write(`${step} after ${Math.round((performance.now() - began) / 1000)} s\n`)
}

async function start(acceleration: string): Promise<ChildProcess> {
  const flags = {
    'node-name': 'west-worker',
    uplink: 'up0',
    devices: 'up+',
    manifests: `${DIRECTORY}/manifests`,
    'bpf-root': '/sys/fs/bpf',
    'cgroup-root': CGROUP,
    'state-dir': DIRECTORY,
    socket: `${DIRECTORY}/weft.sock`,
    'map-sizes-slots': '65536',
    'map-sizes-backends': '1024',
    'map-sizes-flows-tcp': '1024',
    'map-sizes-flows-any': '1024',
    'map-sizes-ipcache': '1024',
    'load-balancer-acceleration': acceleration,
  }
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])
  const agent = spawn(process.execPath, [WEFT, 'agent', ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  children.add(agent)
  let said = ''
  agent.stderr.on('data', (text: Buffer) => (said += text.toString()))
  const died = new Promise<never>((_, reject) => {
    agent.once('exit', (code) => reject(new Error(`the agent ended with ${String(code)}: ${said}`)))
  })
  await Promise.race([died, settled(() => said)])
  return agent
}

async function settled(said: () => string): Promise<void> {
  const api = new ApiClient(`${DIRECTORY}/weft.sock`)
  await eventually(
    async () => {
      const services = await api.services().catch((error: unknown) => {
        throw new Error(`${String(error)}; it said ${said()}`, { cause: error })
      })
      if (services.length === 0 || services.some(({ status }) => status.state !== 'done')) throw new Error(said())
    },
    { what: 'the services are in place', timeoutMs: SLOW_MS, everyMs: 200 },
  )
}

async function end(agent: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = new Promise((resolve) => agent.once('exit', resolve))
  agent.kill(signal)
  await ended
  children.delete(agent)
}

function traffic(when: string): void {
  const curl = 'curl -sS -m 30'
  checks.same(
    `NodePort, ${when}`,
    () => sh(`ip netns exec client ${curl} http://10.50.0.2:30080/`),
    'backend 10.60.0.2 0\n',
  )
  checks.same(
    `ClusterIP, ${when}`,
    () => sh(`echo $$ >${CGROUP}/cgroup.procs; ${curl} http://${CLUSTER_IP}:8080/`),
    'backend 10.60.0.2 0\n',
  )
  const big = `ip netns exec client ${curl} http://10.50.0.2:30080/bytes/1000000 | wc -c`
  checks.same(`1 MB, ${when}`, () => sh(big).trim(), '1000000')
}

/** The uplink up1.100: to the backend behind it, and from there. */
function tagged(when: string): void {
  const [client, backend] = ['client', 'backend'].map((host) => `ip netns exec ${host} curl -sS -m 30 -H 'Expect:'`)
  const counted = (): number =>
    Number(/frames received +(\d+)/.exec(sh('ip netns exec backend cat /proc/net/vlan/eth0.100'))?.[1])
  const before = counted()
  checks.same(`VLAN, ${when}`, () => sh(`${client} http://10.50.0.2:30081/`), 'backend 10.80.0.2 0\n')
  const datagram = 'exec 3<>/dev/udp/10.50.0.2/30081; printf hello >&3; timeout 20 head -n 1 <&3'
  checks.same(`VLAN by UDP, ${when}`, () => sh(`ip netns exec client bash -euc '${datagram}'`), 'backend 10.80.0.2 5\n')
  const big = `${client} http://10.50.0.2:30081/bytes/300000 | wc -c`
  checks.same(`VLAN, 300 kB, ${when}`, () => sh(big).trim(), '300000')
  const post = `head -c 200000 /dev/zero | ${backend} --data-binary @- http://10.80.0.2:30081/`
  checks.same(`asked from the VLAN, ${when}`, () => sh(post), 'backend 10.80.0.2 200000\n')
  checks.holds(`the backend counts tagged frames, ${when}`, () => {
    const frames = counted() - before
    return frames > 20 ? undefined : `${frames} frames`
  })
}

/** Tags that the device takes off: XDP would not see them, so it is not there. */
async function hidden(): Promise<void> {
  const xdp = (): string => sh(`ip -d link show up1 | grep -o 'xdp id' || true`).trim()
  checks.same('XDP where tags are in the frames', xdp, 'xdp id')
  sh('ethtool -K up1 rxvlan on >/dev/null')
  await eventually(() => xdp() === '', { what: 'XDP leaves a device that hides tags', timeoutMs: SLOW_MS })
  tagged('tags hidden from XDP')
}

/** Every device has one filter of ours in each direction, however often an agent started. */
function filters(...devices: readonly string[]): string {
  const lines = devices.flatMap((device) =>
    ['ingress', 'egress'].map((direction) =>
      sh(`tc filter show dev ${device} ${direction} | grep -c 'handle 0x77' || true`),
    ),
  )
  return lines.map((line) => line.trim()).join(' ')
}

async function serve(host: string): Promise<void> {
  const argv = ['netns', 'exec', host, process.execPath, `${HERE}/echo-server.js`, '8080', host]
  const server = spawn('ip', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(server)
  await new Promise<void>((resolve, reject) => {
    server.stdout.once('data', () => resolve())
    server.once('exit', (code) => reject(new Error(`the server in ${host} ended with ${String(code)}`)))
  })
}

function writeManifests(): void {
  mkdirSync(`${DIRECTORY}/manifests`, { recursive: true })
  const backends = ['10.60.0.1']
  const objects = [
    ...nodePortService({ name: 'one', nodePort: 30080, backends, port: 8080, clusterIP: CLUSTER_IP }),
    ...nodePortService({ name: 'tagged', nodePort: 30081, backends: ['10.80.0.1'], port: 8080 }),
    ...(GENEVE ? CiliumNode.objects : []),
  ]
  writeFileSync(`${DIRECTORY}/manifests/all.yaml`, objects.map((object) => `---\n${stringify(object)}`).join(''))
}

/** What differs between the agents that are asked: whether XDP comes before tc. */
async function everything(when: string, cilium: CiliumNode | undefined): Promise<void> {
  traffic(when)
  cilium?.receives(checks, when)
  cilium?.sends(checks, when)
  if (VLAN) {
    await eventually(() => filters('up1.100') === FILTERS.slice(0, 3), {
      what: 'the VLAN has the programs',
      timeoutMs: SLOW_MS,
    })
    tagged(when)
  }
  done(when)
}

async function run(): Promise<void> {
  began = performance.now()
  sh(NETWORK)
  mkdirSync(CGROUP)
  writeManifests()
  const cilium = GENEVE ? new CiliumNode() : undefined
  if (GENEVE) done('a Cilium node')
  await Promise.all(['backend', ...(GENEVE ? CiliumNode.servers : [])].map(serve))
  done('servers')

  const first = await start('disabled')
  done('first agent')
  checks.same('filters', () => filters('up0', 'up1'), FILTERS)
  // It appears under a running agent.
  if (VLAN) sh(TAGGED)
  await everything('tc alone', cilium)
  await end(first, 'SIGKILL')
  traffic('after a kill')
  if (VLAN) sh(TAGS_INSIDE)
  const second = await start('best-effort')
  done('second agent')
  checks.same('filters of the second agent', () => filters('up0', 'up1'), FILTERS)
  checks.same('XDP', () => sh(`ip -d link show up0 | grep -o 'xdp id' || true`).trim(), 'xdp id')
  // What XDP cannot send out by a VLAN it leaves to tc.
  await everything('native XDP', cilium)
  if (VLAN) await hidden()
  await end(second, 'SIGTERM')
  traffic('after a stop')
  cilium?.close()
}

/** Runs all of it; what held and what did not. Throws where it cannot go on. */
export async function checkAgent(): Promise<Checks> {
  try {
    await run()
    process.stdout.write(`agent: ${checks.passed} passed in ${Math.round((performance.now() - began) / 1000)} s\n`)
    return checks
  } finally {
    for (const child of children) child.kill('SIGKILL')
  }
}
