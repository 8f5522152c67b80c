import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { end } from '../processes.ts'
import { Sandbox, SANDBOX_BPFFS } from './sandbox.ts'

const WEFT = path.resolve('build/weft/main.js')
const NODE = `apiVersion: v1
kind: Node
metadata: { name: other }
spec: { podCIDRs: [10.0.1.0/24] }
status: { addresses: [{ type: InternalIP, address: 172.18.0.3 }] }
`

let sandbox: Sandbox
let directory: string
let agent: ChildProcess | undefined

beforeEach(async () => {
  if (!existsSync(WEFT)) throw new Error(`${WEFT} is missing: run \`make build\``)
  sandbox = await Sandbox.start()
  sandbox.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer0')
  sandbox.run('ip', 'link', 'set', 'peer0', 'up')
  sandbox.run('ip', 'addr', 'add', '172.18.0.2/24', 'dev', 'eth0')
  sandbox.run('ip', 'link', 'set', 'eth0', 'up')
  directory = mkdtempSync(path.join(tmpdir(), `weft-cleanup-${process.pid}-`))
  mkdirSync(path.join(directory, 'manifests'))
  writeFileSync(path.join(directory, 'manifests/node.yaml'), NODE)
})

afterEach(async () => {
  if (agent !== undefined) await end(agent)
  await sandbox.stop()
  rmSync(directory, { recursive: true })
})

/** Sizes as small as they may be: preallocated maps of full size cost a second of kernel time each. */
function weft(...words: string[]): string[] {
  const settings = {
    'node-name': 'this',
    uplink: 'eth0',
    manifests: path.join(directory, 'manifests'),
    'state-dir': directory,
    'bpf-root': SANDBOX_BPFFS,
    'cgroup-root': sandbox.cgroup,
    'map-sizes-flows-tcp': '1024',
    'map-sizes-flows-any': '1024',
  }
  return [
    process.execPath,
    WEFT,
    ...words,
    ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
  ]
}

const routes = (): string => sandbox.run('ip', 'route', 'show', '10.0.1.0/24')
const pins = (): string => sandbox.run('find', `${SANDBOX_BPFFS}/weft`, '-mindepth', '2')

test(
  'weft agent --cleanup is refused while an agent runs, and leaves nothing behind once it has ended',
  { timeout: 90_000 },
  async () => {
    const [file, args] = sandbox.command(...weft('agent'))
    agent = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    await eventually(() => expect(routes()).toContain('via 172.18.0.3 dev eth0 proto kernel'), { timeoutMs: 60_000 })
    const [tool, words] = sandbox.command(...weft('agent', '--cleanup'))
    expect(() => execFileSync(tool, words, { stdio: 'pipe' })).toThrow('another agent runs the datapath')
    expect(pins()).toContain('connect4')

    await end(agent)
    expect(pins()).toContain('connect4')
    execFileSync(tool, words, { stdio: 'pipe' })
    expect(pins()).toBe('')
    expect(routes()).toBe('')
  },
)
