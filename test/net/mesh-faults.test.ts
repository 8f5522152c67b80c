import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ExplainReport, StatusReport } from '../../agent/api/types.ts'
import { SERVICE_MAP } from '../../agent/maps/service.ts'
import { eventually } from '../eventually.ts'
import { AgentHost } from './agent-process.ts'
import { EtcdProcess } from './etcd.ts'
import { announce, announceEast, EAST_SERVICE, exportEast } from './mesh-fixture.ts'
import { Sandbox, SANDBOX_BPFFS } from './sandbox.ts'

/** A real agent whose remote clusters fail or lie: a clear problem, nothing deleted, the process and other clusters go on. */

const HERE = '169.254.77.1'
const SERVICE_KEY = 'cilium/state/services/v1/east/default/webpod'
const SOUTH_KEY = 'cilium/state/services/v1/south/default/webpod'
const SOUTH_SERVICE = EAST_SERVICE.replaceAll('east', 'south')
  .replace('"clusterID":2', '"clusterID":3')
  .replaceAll('10.1.', '10.5.')
const EAST = ['10.1.0.190:8080/TCP', '10.1.1.41:8080/TCP']
const SOUTH = ['10.5.0.190:8080/TCP', '10.5.1.41:8080/TCP']

const run = promisify(execFile)

let sandbox: Sandbox
/** The end of its uplink in this process's network, where etcd is. */
let outside: string
let host: AgentHost
let east: EtcdProcess
let south: EtcdProcess

beforeEach(async () => {
  sandbox = await Sandbox.start()
  outside = sandbox.uplink('169.254.77')
  host = await AgentHost.create(sandbox)
  await host.apply('webpod', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'webpod', annotations: { 'service.cilium.io/global': 'true' } },
    spec: { clusterIP: '10.2.47.149', ports: [{ port: 80 }] },
  })
  ;[east, south] = await Promise.all([EtcdProcess.start(HERE), EtcdProcess.start(HERE)])
  await announceEast(east)
  await exportEast(east)
  await announce(south, 'south', { id: 3 })
  await south.put(SOUTH_KEY, SOUTH_SERVICE)
  await host.connect('east', east.url)
  await host.connect('south', south.url)
})

/** Nodes of other clusters are on no network of this sandbox. */
const NO_ROUTES = { 'auto-direct-node-routes': 'false' }

afterEach(async () => {
  await host.close()
  // Connections that nobody answers would keep it, and the name of its other end, for a while.
  sandbox.run('ip', 'link', 'del', 'up0')
  await east[Symbol.asyncDispose]()
  await south[Symbol.asyncDispose]()
  await sandbox.stop()
})

const selected = (report: ExplainReport): string[] =>
  report.frontends.flatMap(({ backends }) => backends.filter((each) => each.selected).map(({ address }) => address))

/** What the maps hold, as a command reads them that asks no agent. */
async function inMaps(): Promise<string[]> {
  const { stdout } = await host.weft(['bpf', 'lb', 'list', '-o', 'json', '--bpf-root', SANDBOX_BPFFS])
  const [service] = JSON.parse(stdout) as { slots: { address: string; quarantined: boolean }[] }[]
  return (service?.slots ?? []).map(({ address, quarantined }) => (quarantined ? `(${address})` : address))
}

/** Rows come first; what they lead to is written soon after. */
function mapsCome(wanted: readonly string[]): Promise<void> {
  return eventually(async () => expect(await inMaps()).toEqual(wanted), { what: 'the maps', timeoutMs: 20_000 })
}

async function ready(agent: Awaited<ReturnType<AgentHost['start']>>): Promise<void> {
  await agent.until('both clusters are ready', ({ clusterMesh }) => clusterMesh.clusters.every((each) => each.ready))
  await mapsCome([...EAST, ...SOUTH])
}

describe('etcd', () => {
  test('down at start: the agent runs, says so, and uses the others; it is taken in when it comes', async () => {
    await east.kill()
    const agent = await host.start(NO_ROUTES)
    const status = await agent.until('south is ready', ({ clusterMesh }) => clusterMesh.clusters.some((c) => c.ready))
    const problem = status.problems.find(({ message }) => message.includes('cluster east'))
    expect(problem?.code).toMatch(/^cluster-(not-connected|unreachable)$/)
    expect(problem?.hint).toContain('endpoints')
    expect(selected(await host.api.explain('default', 'webpod'))).toEqual(SOUTH)
    expect(agent.runs).toBe(true)
    await east.launch()
    await ready(agent)
    expect((await agent.until('all is well', ({ ok }) => ok)).problems).toEqual([])
  })

  test('dying later: its backends are avoided, not deleted, and used again when it is back', async () => {
    const agent = await host.start(NO_ROUTES)
    await ready(agent)
    await east.kill()
    const status = await agent.until('the loss is seen', ({ problems }) =>
      problems.some(({ code }) => code === 'cluster-unreachable'),
    )
    expect(status.problems.map(({ code }) => code)).toEqual(['cluster-unreachable'])
    await mapsCome([...SOUTH, ...EAST.map((address) => `(${address})`)])
    await east.launch()
    await agent.until('east is back', ({ ok }) => ok)
    await ready(agent)
  })

  test('dying under a restart: the new agent keeps the backends it finds', async () => {
    const agent = await host.start(NO_ROUTES)
    await ready(agent)
    await agent.stop()
    await east.kill()
    const next = await host.start(NO_ROUTES)
    await next.until('south is ready', ({ clusterMesh }) => clusterMesh.clusters.some((each) => each.ready))
    expect((await inMaps()).map((address) => address.replace(/[()]/g, '')).sort()).toEqual([...EAST, ...SOUTH].sort())
  })
})

describe('packets that are dropped on the way', () => {
  const FAR = '169.254.78.1'
  let far: EtcdProcess

  beforeEach(async () => {
    // An address of its own, so that only east is behind the hole.
    sandbox.run('ip', 'addr', 'add', '169.254.78.2/30', 'dev', 'up0')
    await run('ip', ['addr', 'add', `${FAR}/30`, 'dev', outside])
    far = await EtcdProcess.start(FAR)
    await announce(far, 'east', { id: 2, leased: true })
    await exportEast(far)
    await host.connect('east', far.url)
  })

  afterEach(() => far[Symbol.asyncDispose]())

  /** Frames for a station that is not there: they go out, nobody takes them, nobody says so. */
  function hole(open: boolean): void {
    const to = ['169.254.78.1', 'dev', 'up0']
    if (open) sandbox.run('ip', 'neigh', 'replace', ...to, 'lladdr', '02:00:00:00:00:99', 'nud', 'permanent')
    else sandbox.run('ip', 'neigh', 'del', ...to)
  }

  const eastOf = ({ clusterMesh }: StatusReport) => clusterMesh.clusters.find(({ name }) => name === 'east')!

  /** Every value of the map that publishes services; a service that is written again has another place for its slots. */
  const kernel = (): string =>
    sandbox.run('bpftool', 'map', 'dump', 'pinned', `${SANDBOX_BPFFS}/weft/maps/${SERVICE_MAP.name}`, '-j')

  test('a black hole: told by explain, by status and by a counter', async () => {
    const agent = await host.start(NO_ROUTES)
    await ready(agent)
    expect(eastOf(await host.api.status()).losses).toBeUndefined()
    hole(true)
    await agent.until('the loss is seen', (status) => eastOf(status).unreachable)
    await mapsCome([...SOUTH, ...EAST.map((address) => `(${address})`)])
    const socket = ['--socket', `${host.directory}/weft.sock`]
    const [explain, status] = [
      await host.weft(['explain', 'service', 'default/webpod', ...socket]),
      await host.weft(['status', '--verbose', ...socket]),
    ]
    expect(explain.stdout).toMatch(/10\.1\.0\.190:8080\/TCP +east +no .*cluster-unreachable\n/)
    expect(explain.stdout).toContain('cluster east gives no sign of life: connected, but nothing comes from there')
    expect(status.stdout).toMatch(/└ {2}Err: connected, but nothing comes from there/)
    expect(status.stdout).toMatch(/└ {2}losses: unreachable=1\n/)
    await agent.until('the session is given up', (now) => eastOf(now)['num-failures'] > 0)
    expect(eastOf(await host.api.status()).losses).toMatchObject({ 'etcd-silent': 1, unreachable: 1 })
    hole(false)
    await agent.until('east is back', ({ ok }) => ok)
    await ready(agent)
  }, 60_000)

  test('a link that flaps: the maps are written when it is left and when it is back, and never between', async () => {
    const agent = await host.start(NO_ROUTES)
    await ready(agent)
    const contents = [kernel()]
    const look = (): true => {
      const now = kernel()
      if (now !== contents.at(-1)) contents.push(now)
      return true
    }
    for (let i = 0; i < 3; i++) {
      await far.kill()
      await agent.until(
        'it went',
        (now) => look() && eastOf(now).unreachable && /lost|REFUSED/.test(eastOf(now).status),
      )
      await far.launch()
      await agent.until('it is in step', (now) => look() && !/lost|REFUSED/.test(eastOf(now).status))
    }
    await agent.until('east is back', ({ ok }) => look() && ok)
    await ready(agent)
    look()
    expect(contents).toHaveLength(3)
    expect(eastOf(await host.api.status()).losses).toMatchObject({ 'etcd-lost': 3, unreachable: 1 })
  }, 60_000)
})

test('a node that no direct route can reach: told with what to do, services of its cluster work', async () => {
  const agent = await host.start()
  await ready(agent)
  const status = await agent.until('the route is refused', ({ problems }) => problems.length > 0)
  expect(status.problems).toHaveLength(1)
  expect(status.problems[0]?.message).toContain('no direct route to 10.1.1.0/24: 172.18.0.3 is in no network')
  expect(status.problems[0]?.hint).toContain('set the uplink to the device of that segment')
})

describe('records', () => {
  test.each([
    ['garbage JSON', '{"cluster":', 'is not JSON'],
    ['another cluster in the body', SOUTH_SERVICE, 'names cluster "south" instead of "east"'],
    ['another service in the body', EAST_SERVICE.replace('"name":"webpod"', '"name":"other"'), 'instead of'],
    ['a port out of range', EAST_SERVICE.replaceAll('8080', '70000'), '70000'],
  ])('%s: refused and told; the last good version and the other cluster stay', async (_what, value, message) => {
    const agent = await host.start(NO_ROUTES)
    await ready(agent)
    await east.put(SERVICE_KEY, value)
    const status = await agent.until('the record is refused', ({ problems }) => problems.length > 0)
    expect(status.problems).toHaveLength(1)
    expect(status.problems[0]).toMatchObject({
      code: 'mesh-record-refused',
      message: expect.stringContaining(message) as string,
    })
    expect(status.problems[0]?.message).toContain(SERVICE_KEY)
    expect(status.problems[0]?.hint).toContain('correct')
    expect(await inMaps()).toEqual([...EAST, ...SOUTH])
    // No crash, no reconnect loop; the next good record counts.
    expect(status.clusterMesh.clusters.map((each) => each['num-failures'])).toEqual([0, 0])
    await east.put(SERVICE_KEY, EAST_SERVICE.replace('10.1.1.41', '10.1.1.42'))
    await agent.until('all is well', ({ ok }) => ok)
    await mapsCome([EAST[0]!, '10.1.1.42:8080/TCP', ...SOUTH])
  })

  test('a cluster that comes with the id of another one is refused; the other works on', async () => {
    const agent = await host.start(NO_ROUTES)
    await ready(agent)
    await announce(south, 'south', { id: 2 })
    const status = await agent.until('the id is refused', ({ problems }) =>
      problems.some(({ code }) => code === 'cluster-id-in-use'),
    )
    const problem = status.problems.find(({ code }) => code === 'cluster-id-in-use')
    expect(problem?.message).toContain('cluster south has id 2, which cluster east has')
    expect(problem?.hint).toContain('change one of the two')
    const addresses = (await inMaps()).map((address) => address.replace(/[()]/g, ''))
    expect(addresses).toEqual(expect.arrayContaining([...EAST, ...SOUTH]))
    expect(agent.runs).toBe(true)
  })
})

test('map full: what does not fit is refused and told, everything else works; room heals it', async () => {
  const service = (n: number): object => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `s${n}` },
    spec: { clusterIP: `10.3.${n >> 8}.${n & 255}`, ports: [{ port: 80 }] },
  })
  const many = (count: number): object[] => Array.from({ length: count }, (_, n) => service(n + 1))
  await host.apply('many', ...many(250))
  const agent = await host.start({ ...NO_ROUTES, 'map-sizes-services': '256' })
  await agent.until('all fit', ({ targets }) => targets.some((each) => each.name === 'lb' && each.actual === 251))
  await host.apply('many', ...many(260))
  const status = await agent.until('the map is full', ({ problems }) =>
    problems.some(({ code }) => code === 'map-full'),
  )
  expect(status.problems.filter(({ code }) => code === 'map-full')[0]?.hint).toContain('raise the size')
  expect((await host.api.services()).filter((each) => each.status.state === 'error').length).toBeGreaterThan(0)
  expect((await inMaps()).length).toBeGreaterThan(0)
  await host.apply('many', ...many(200))
  await agent.until('all is well', ({ ok }) => ok)
  await host.apply('many', ...many(240))
  await agent.until('the new ones fit', ({ targets }) => targets.some((t) => t.name === 'lb' && t.actual === 241))
})
