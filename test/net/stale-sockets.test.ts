import { type ChildProcess, spawn } from 'node:child_process'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { end } from '../processes.ts'
import { AgentHost } from './agent-process.ts'
import { Sandbox } from './sandbox.ts'
import { endpointSlice } from './services.ts'

/** What becomes of sockets that were sent to a backend which goes: in the node's own network and in a pod's. */

const VIP = '10.2.0.9'
const PORT = 5300
const FIRST = '10.0.9.1'
const SECOND = '10.0.9.2'

/** Answers each datagram and each piece of a connection with the address that took it. */
const SERVERS = `
for (const address of ['${FIRST}', '${SECOND}']) {
  const udp = require('node:dgram').createSocket('udp4')
  udp.on('message', (_, peer) => udp.send(address, peer.port, peer.address))
  udp.bind(${PORT}, address)
  require('node:net').createServer((socket) => {
    socket.on('data', () => socket.write(address))
    socket.on('error', () => socket.destroy())
  }).listen(${PORT}, address)
}
console.log('ready')
`
/** \`udp NAME HOST\`, \`tcp NAME HOST\` connect and ask, \`ask NAME\` asks again; tells \`NAME ANSWER\` and \`NAME error CODE\`. */
const CLIENT = `
const sockets = {}
const say = (...words) => console.log(words.join(' '))
function hear(name, socket, event) {
  sockets[name] = socket
  socket.on(event, (data) => say(name, data))
  socket.on('error', (error) => say(name, 'error', error.code))
}
const ask = (socket) => (socket.send === undefined ? socket.write('?') : socket.send('?'))
const commands = {
  udp(name, host) {
    const socket = require('node:dgram').createSocket('udp4')
    hear(name, socket, 'message')
    socket.connect(${PORT}, host, () => ask(socket))
  },
  tcp(name, host) {
    const socket = require('node:net').connect(${PORT}, host, () => ask(socket))
    hear(name, socket, 'data')
  },
  ask: (name) => ask(sockets[name]),
}
require('node:readline').createInterface(process.stdin).on('line', (line) => {
  const [command, ...words] = line.split(' ')
  commands[command](...words)
})
console.log('ready')
`

class Program {
  readonly child: ChildProcess
  #said = ''

  constructor(sandbox: Sandbox, prefix: readonly string[], script: string) {
    // It must not outlive a test that is killed: it would hold the sandbox.
    const command = ['exec', ...prefix, 'setpriv', '--pdeathsig', 'KILL', process.execPath, '-e', '"$0"'].join(' ')
    const line = `echo $$ >${sandbox.cgroup}/cgroup.procs; ${command}`
    this.child = spawn(...sandbox.command('bash', '-c', line, script), { stdio: ['pipe', 'pipe', 'inherit'] })
    this.child.stdout!.on('data', (text: Buffer) => (this.#said += text.toString()))
  }

  get lines(): string[] {
    return this.#said.split('\n').slice(0, -1)
  }

  says(line: string, count = 1): Promise<unknown> {
    const probe = (): void => expect(this.lines.filter((each) => each === line)).toHaveLength(count)
    return eventually(probe, { what: line, timeoutMs: 20_000 })
  }

  do(...words: readonly string[]): void {
    this.child.stdin!.write(`${words.join(' ')}\n`)
  }

  end(): Promise<void> {
    return end(this.child)
  }
}

let sandbox: Sandbox
let host: AgentHost
let programs: Program[]

beforeEach(async () => {
  programs = []
  sandbox = await Sandbox.start()
  sandbox.lonelyUplink('172.18.0.3/24')
  for (const address of [FIRST, SECOND]) sandbox.run('ip', 'addr', 'add', `${address}/32`, 'dev', 'lo')
  host = await AgentHost.create(sandbox)
  await run([], SERVERS)
})

afterEach(async () => {
  for (const program of programs) await program.end()
  await host.close()
  await sandbox.stop()
})

async function run(prefix: readonly string[], script: string): Promise<Program> {
  const program = new Program(sandbox, prefix, script)
  programs.push(program)
  await program.says('ready')
  return program
}

/** A client in a network namespace of its own, which only a process of the cgroup holds. */
async function podClient(): Promise<Program> {
  const program = await run(['unshare', '--net'], CLIENT)
  const pid = String(program.child.pid)
  sandbox.run('ip', 'link', 'add', 'pod0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pid)
  sandbox.run('ip', 'addr', 'add', '10.0.8.1/24', 'dev', 'pod0')
  sandbox.run('ip', 'link', 'set', 'pod0', 'up')
  const ip = (...args: string[]): string => sandbox.run('nsenter', '-t', pid, '--net', 'ip', ...args)
  ip('addr', 'add', '10.0.8.2/24', 'dev', 'eth0')
  ip('link', 'set', 'eth0', 'up')
  ip('route', 'add', 'default', 'via', '10.0.8.1')
  return program
}

const ports = ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: PORT }))

/** The service with one backend, and the pods that live. */
async function apply(backend: string, pods: readonly string[]): Promise<void> {
  const node = {
    ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'other' }, spec: { podCIDR: '10.0.9.0/24' } },
    status: { addresses: [{ type: 'InternalIP', address: '172.18.0.4' }] },
  }
  const service = {
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'dns', namespace: 'default' } },
    spec: { clusterIP: VIP, ports },
  }
  const living = pods.map((podIP, index) => ({
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: `dns-${String(index)}`, namespace: 'default' } },
    spec: { nodeName: 'other', containers: [{ name: 'dns', image: 'none' }] },
    status: { phase: 'Running', podIP, conditions: [{ type: 'Ready', status: 'True' }] },
  }))
  await host.apply('all', node, service, endpointSlice('dns', ports, [backend]), ...living)
}

test('a connected UDP socket learns that its backend is gone, TCP when the pod is; others are let alone', async () => {
  await apply(FIRST, [FIRST, SECOND])
  const agent = await host.start({ 'log-level': 'debug' })
  await eventually(async () => {
    const services = await host.api.services()
    expect(services.length).toBeGreaterThan(0)
    expect(services.every(({ status }) => status.state === 'done')).toBe(true)
  })
  const clients = [await podClient(), await run([], CLIENT)]
  for (const client of clients) {
    for (const protocol of ['udp', 'tcp']) {
      client.do(protocol, protocol, VIP)
      client.do(protocol, `${protocol}-direct`, FIRST)
      for (const name of [protocol, `${protocol}-direct`]) await client.says(`${name} ${FIRST}`)
    }
  }

  await apply(SECOND, [FIRST, SECOND])
  for (const client of clients) {
    // It sends nothing and waits.
    await client.says('udp error ECONNABORTED')
    client.do('udp', 'udp-anew', VIP)
    await client.says(`udp-anew ${SECOND}`)
    // The pod lives, and with it what is connected to it.
    for (const name of ['udp-direct', 'tcp', 'tcp-direct']) {
      client.do('ask', name)
      await client.says(`${name} ${FIRST}`, 2)
    }
  }

  await apply(SECOND, [SECOND])
  for (const client of clients) {
    await client.says('tcp error ECONNABORTED')
    client.do('tcp', 'tcp-anew', VIP)
    await client.says(`tcp-anew ${SECOND}`)
    for (const name of ['udp-direct', 'tcp-direct']) {
      client.do('ask', name)
      await client.says(`${name} ${FIRST}`, 3)
    }
    expect(client.lines.filter((line) => line.includes('error')).sort()).toEqual([
      'tcp error ECONNABORTED',
      'udp error ECONNABORTED',
    ])
  }
  expect(agent.stderr).not.toContain('could not be ended')
})
