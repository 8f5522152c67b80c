import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { Story } from '../lab/story/story.ts'
import type { PodSpec } from '../lab/topology.ts'
import { endpointOf, objects, OutsideLab, UP_TIMEOUT_MS } from './outside-fixture.ts'

/** Flows from one port of a client to a node port: what becomes of them when their backend goes, and when they end. */

/** Connects, is silent until a file appears, then asks; what came of it. */
const IDLE = `
const [, host, port, directory] = process.argv
const fs = require('node:fs')
const socket = require('node:net').connect(Number(port), host, () => {
  fs.writeFileSync(directory + '/connected', '')
  const timer = setInterval(() => {
    if (!fs.existsSync(directory + '/go')) return
    clearInterval(timer)
    socket.write('GET / HTTP/1.1\\r\\nHost: pod\\r\\n\\r\\n')
  }, 20)
})
const end = (what) => (console.log(what), process.exit())
socket.setTimeout(30000, () => end('silence'))
socket.on('data', () => end('answer'))
socket.on('error', (error) => end(error.code))
socket.on('end', () => end('end'))
`
/** Serves port 9000 with what it is sent. */
const ECHO = `require("node:net").createServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket)).listen(9000)`
/** Connections one after the other from one port, ended by a reset of ours or by the server: who took them. */
const SAME_PORT = `
const [, host, port, how, count] = process.argv
async function one() {
  const socket = require('node:net').connect({ host, port: Number(port), localPort: 45123 })
  let text = ''
  await new Promise((resolve, reject) => {
    socket.setTimeout(5000, () => reject(new Error('silence')))
    socket.on('error', reject)
    socket.on('close', resolve)
    socket.on('data', (data) => {
      text += data
      if (how === 'reset') socket.resetAndDestroy()
    })
    socket.write('GET / HTTP/1.1\\r\\nHost: pod\\r\\n' + (how === 'reset' ? '' : 'Connection: close\\r\\n') + '\\r\\n')
  })
  return /Hostname: (\\S+)/.exec(text)[1]
}
async function all() {
  const seen = new Set()
  for (let i = 0; i < Number(count); i++) seen.add(await one())
  console.log([...seen].sort().join(' '))
}
all()
`

describe('a NodePort with SNAT', { timeout: 90_000 }, () => {
  const mesh = new OutsideLab('snat')
  const { west, first, second, eastPods } = mesh

  beforeAll(() => mesh.up(), UP_TIMEOUT_MS)
  afterAll(() => mesh.down())

  const nodePort = 30207
  const place = `${first.ip}:${String(nodePort)}`
  const [leaving, staying] = [mesh.podOn(second), mesh.podOn(first)]
  const serve = async (name: string, pods: readonly PodSpec[], target = 80): Promise<void> => {
    const spec = { type: 'NodePort' }
    const endpoints = pods.map((pod) => endpointOf(pod))
    await mesh.apply(west, objects({ name, spec, ports: [{ port: 80, nodePort }], target, endpoints }))
    await mesh.chooses(first, name, `${place}/TCP`, pods, target)
  }
  const script = (text: string, ...args: string[]): Promise<string> =>
    mesh.lab.exec('client', [process.execPath, '-e', text, first.ip, String(nodePort), ...args])

  test.each([
    ['here', staying],
    ['elsewhere', eastPods[0]!],
  ])(
    'data for a backend that is gone is answered with a reset by the service, the next one being %s',
    async (_, next) => {
      // A port that no other service leads to.
      const target = 9000
      const backend = `${leaving.ip}:${String(target)}/TCP`
      const backends = (): Promise<string> => mesh.on(first.name, 'weft bpf lb list --backends -o json')
      const directory = path.join(mesh.lab.paths.state, 'idle')
      rmSync(directory, { recursive: true, force: true })
      mkdirSync(directory)
      const story = new Story(mesh.lab, () => undefined)
      const server = story.background(`lab exec west/${leaving.name} -- ${process.execPath} -e '${ECHO}'`, 'echo')
      try {
        await serve('ports', [leaving], target)
        expect(await backends()).toContain(backend)
        await eventually(() => mesh.on('client', `nc -z -w 1 ${first.ip} ${String(nodePort)}`), { what: 'a server' })
        const outcome = script(IDLE, directory)
        await eventually(() => expect(existsSync(path.join(directory, 'connected'))).toBe(true), {
          what: 'a connection',
        })
        await serve('ports', [next], target)
        await eventually(async () => expect(await backends()).not.toContain(backend), {
          what: 'the backend is gone for good',
          timeoutMs: 20_000,
          everyMs: 200,
        })
        writeFileSync(path.join(directory, 'go'), '')
        expect((await outcome).trim()).toBe('ECONNRESET')
      } finally {
        await server.stop()
      }
    },
  )

  test.each(['reset', 'close'])('a SYN on a flow that was ended by a %s chooses anew', async (how) => {
    await mesh.on('client', 'sysctl -qw net.ipv4.ip_local_reserved_ports=45123')
    await serve('ports', [leaving, staying])
    expect((await script(SAME_PORT, how, '24')).trim()).toBe([leaving.name, staying.name].sort().join(' '))
  })
})
