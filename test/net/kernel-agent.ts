/**
 * A real agent on this machine's kernel, without a test framework: for a virtual machine of its own, whose network, cgroup and
 * bpffs it uses as they are. The machine is the node; a client and a backend are namespaces behind two uplinks. Exits with 1
 * and says what failed.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import path from 'node:path'
import { stringify } from 'yaml'
import { ApiClient } from '../../agent/api/client.ts'
import { eventually } from '../eventually.ts'
import { nodePortService } from './services.ts'

const HERE = import.meta.dirname
const WEFT = path.resolve(HERE, '../../agent/main.js')
const DIRECTORY = '/tmp/weft-kernel-agent'
/** Processes of the node: the client is not among them. */
const CGROUP = '/sys/fs/cgroup/weft-node'
const CLUSTER_IP = '10.96.0.10'
const SLOW_MS = 90_000
const VLAN = process.argv.includes('--vlan')
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

const children = new Set<ChildProcess>()
let passed = 0

function sh(command: string): string {
  return execFileSync('bash', ['-euc', command], { encoding: 'utf8' })
}

function expectSame(what: string, got: string, wanted: string): void {
  if (got !== wanted) throw new Error(`${what}: got ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`)
  passed++
}

async function start(acceleration: string): Promise<ChildProcess> {
  const flags = {
    'node-name': 'node',
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
  const api = new ApiClient(`${DIRECTORY}/weft.sock`)
  await eventually(
    async () => {
      if (agent.exitCode !== null) throw new Error(said)
      const services = await api.services()
      return services.length > 0 && services.every(({ status }) => status.state === 'done')
    },
    { what: 'the services are in place', timeoutMs: SLOW_MS, everyMs: 200 },
  )
  return agent
}

async function end(agent: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = new Promise((resolve) => agent.once('exit', resolve))
  agent.kill(signal)
  await ended
  children.delete(agent)
}

function traffic(when: string): void {
  const curl = 'curl -sS -m 30'
  expectSame(`NodePort, ${when}`, sh(`ip netns exec client ${curl} http://10.50.0.2:30080/`), 'backend 10.60.0.2 0\n')
  expectSame(
    `ClusterIP, ${when}`,
    sh(`echo $$ >${CGROUP}/cgroup.procs; ${curl} http://${CLUSTER_IP}:8080/`),
    'backend 10.60.0.2 0\n',
  )
  const big = `ip netns exec client ${curl} http://10.50.0.2:30080/bytes/1000000 | wc -c`
  expectSame(`1 MB, ${when}`, sh(big).trim(), '1000000')
}

function tagged(when: string): void {
  const curl = 'ip netns exec client curl -sS -m 30 http://10.50.0.2:30081/'
  expectSame(`behind a VLAN, ${when}`, sh(curl), 'backend 10.80.0.2 0\n')
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

async function main(): Promise<void> {
  sh(NETWORK)
  mkdirSync(CGROUP)
  mkdirSync(`${DIRECTORY}/manifests`, { recursive: true })
  const objects = [
    ...nodePortService({
      name: 'one',
      nodePort: 30080,
      backends: ['10.60.0.1'],
      port: 8080,
      clusterIP: CLUSTER_IP,
    }),
    ...nodePortService({ name: 'tagged', nodePort: 30081, backends: ['10.80.0.1'], port: 8080 }),
  ]
  writeFileSync(`${DIRECTORY}/manifests/one.yaml`, objects.map((object) => `---\n${stringify(object)}`).join(''))
  const server = spawn(
    'ip',
    ['netns', 'exec', 'backend', process.execPath, `${HERE}/echo-server.js`, '8080', 'backend'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  children.add(server)
  await new Promise((resolve) => server.stdout.once('data', resolve))

  const first = await start('disabled')
  expectSame('filters', filters('up0', 'up1'), FILTERS)
  traffic('first agent')
  if (VLAN) {
    sh(TAGGED)
    await eventually(() => filters('up1.100') === FILTERS.slice(0, 3), {
      what: 'the VLAN has the programs',
      timeoutMs: SLOW_MS,
    })
    tagged('first agent')
  }
  await end(first, 'SIGKILL')
  traffic('after a kill')
  const second = await start('best-effort')
  expectSame('filters of the second agent', filters('up0', 'up1'), FILTERS)
  expectSame('XDP', sh(`ip -d link show up0 | grep -o 'xdp id' || true`).trim(), 'xdp id')
  traffic('second agent, native XDP')
  // What XDP cannot send out by a VLAN it leaves to tc.
  if (VLAN) tagged('second agent')
  await end(second, 'SIGTERM')
  traffic('after a stop')
}

const began = performance.now()
try {
  await main()
  process.stdout.write(
    `agent on ${release()}: ${passed} passed in ${Math.round((performance.now() - began) / 1000)} s\n`,
  )
} catch (error) {
  process.stdout.write(
    `FAIL agent on ${release()}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  )
  process.exitCode = 1
} finally {
  for (const child of children) child.kill('SIGKILL')
}
