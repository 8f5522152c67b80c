import { spawn } from 'node:child_process'
import { execFileSync } from 'node:child_process'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { AgentHost } from './agent-process.ts'
import { Sandbox } from './sandbox.ts'
import { endpointSlice } from './services.ts'

/** What a load balancer in front of the cluster hears when it asks a node, as kube-proxy would say it. */

const NETWORK = '169.254.83'
const NODE = `${NETWORK}.2`
const VIP = '198.18.83.7'
const PORT = 32100

let sandbox: Sandbox
let host: AgentHost

beforeEach(async () => {
  sandbox = await Sandbox.start()
  sandbox.uplink(NETWORK)
  execFileSync('ip', ['route', 'add', `${VIP}/32`, 'via', NODE])
  // The uplink came up before, and the first packets must find the way back.
  sandbox.run('ip', 'route', 'add', 'default', 'via', `${NETWORK}.1`)
  host = await AgentHost.create(sandbox)
})

afterEach(async () => {
  await host.close()
  await sandbox.stop()
})

const node = (taints: readonly object[] = []): object => ({
  ...{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'west-worker' } },
  spec: { podCIDR: '10.0.1.0/24', taints },
  status: { addresses: [{ type: 'InternalIP', address: NODE }] },
})

const service = (fields: object = {}): object => ({
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'webpod', namespace: 'shop' } },
  spec: {
    ...{ type: 'LoadBalancer', clusterIP: '10.2.0.9', externalTrafficPolicy: 'Local', healthCheckNodePort: PORT },
    ports: [{ port: 80 }],
    ...fields,
  },
  status: { loadBalancer: { ingress: [{ ip: VIP }] } },
})

const slice = (...endpoints: readonly object[]): object => endpointSlice('webpod', [{ port: 80 }], endpoints, 'shop')

const here = (address: string, conditions: object = { ready: true }): object => ({
  ...{ addresses: [address], nodeName: 'west-worker' },
  conditions,
})

interface Heard {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

async function ask(url: string): Promise<Heard> {
  const response = await fetch(`http://${url}`, { signal: AbortSignal.timeout(2000), keepalive: false })
  return { status: response.status, headers: response.headers, body: await response.text() }
}

const heard = (url: string, status: number): Promise<Heard> =>
  eventually(
    async () => {
      const answer = await ask(url)
      expect(answer.status).toBe(status)
      return answer
    },
    { what: `${String(status)} from ${url}`, timeoutMs: 20_000 },
  )

const body = (count: number): string => `{
\t"service": {
\t\t"namespace": "shop",
\t\t"name": "webpod"
\t},
\t"localEndpoints": ${String(count)},
\t"serviceProxyHealthy": true
}`

test('a service is asked for on the node and on its own address, and the answer follows its backends', async () => {
  const away = { addresses: ['10.0.0.46'], nodeName: 'west-control-plane' }
  await host.apply('all', node(), service(), slice(here('10.0.1.46'), here('10.0.1.47'), away))
  const agent = await host.start()
  for (const place of [`${NODE}:${PORT}`, `${VIP}:${PORT}`, `${NODE}:${PORT}/whatever`]) {
    const good = await heard(place, 200)
    expect(good.body).toBe(body(2))
    expect(Object.fromEntries(good.headers)).toMatchObject({
      'content-type': 'application/json',
      'x-content-type-options': 'nosniff',
      'x-load-balancing-endpoint-weight': '2',
      'content-length': String(body(2).length),
    })
  }

  const draining = here('10.0.1.47', { ready: false, serving: true, terminating: true })
  await host.apply('all', node(), service(), slice(draining, away))
  const bad = await heard(`${NODE}:${PORT}`, 503)
  expect(bad.body).toBe(body(0))
  expect(bad.headers.get('x-load-balancing-endpoint-weight')).toBe('0')

  // Another port, then policy Cluster: the old ones are closed.
  await host.apply('all', node(), service({ healthCheckNodePort: PORT + 1 }), slice(here('10.0.1.46')))
  await heard(`${NODE}:${PORT + 1}`, 200)
  await expect(ask(`${NODE}:${PORT}`)).rejects.toThrow()
  await host.apply('all', node(), service({ externalTrafficPolicy: 'Cluster' }), slice(here('10.0.1.46')))
  await eventually(() => expect(ask(`${NODE}:${PORT + 1}`)).rejects.toThrow())
  expect((await agent.until('an answer', () => true)).problems.map(({ code }) => code)).not.toContain(
    'health-check-not-served',
  )
})

test("a port that is somebody else's is a problem, and had as soon as it is free", async () => {
  const holder = spawn(...sandbox.command('setpriv', '--pdeathsig', 'KILL', 'nc', '-lk', '0.0.0.0', String(PORT)))
  try {
    await eventually(() => expect(sandbox.run('ss', '-Hltn', `sport = :${PORT}`)).toContain(String(PORT)))
    await host.apply('all', node(), service(), slice(here('10.0.1.46')))
    const agent = await host.start()
    const status = await agent.until('the problem is told', ({ problems }) =>
      problems.some(({ code }) => code === 'health-check-not-served'),
    )
    expect(status.problems.find(({ code }) => code === 'health-check-not-served')?.message).toMatch(
      /^health checks of service shop\/webpod are not answered on port 32100: listen EADDRINUSE/,
    )
  } finally {
    const ended = new Promise((resolve) => holder.once('exit', resolve))
    holder.kill('SIGKILL')
    await ended
  }
  await heard(`${NODE}:${PORT}`, 200)
  await eventually(async () => {
    expect((await host.api.status()).problems.map(({ code }) => code)).not.toContain('health-check-not-served')
  })
})

test('the node answers for itself, and says that it is to go; what runs on it lives all the same', async () => {
  await host.apply('all', node())
  await host.start()
  const good = await heard(`${NODE}:10256/healthz`, 200)
  expect(good.headers.get('content-type')).toBe('application/json')
  const told = JSON.parse(good.body) as Record<string, unknown>
  expect(told['nodeEligible']).toBe(true)
  expect(told['lastUpdated']).toBe(told['currentTime'])
  expect(told['currentTime']).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \+0000 UTC$/)
  expect((await ask(`${NODE}:10256/else`)).status).toBe(404)

  await host.apply('all', node([{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }]))
  expect(JSON.parse((await heard(`${NODE}:10256/healthz`, 503)).body)).toMatchObject({ nodeEligible: false })
  expect(Object.keys(JSON.parse((await ask(`${NODE}:10256/livez`)).body) as object)).toEqual([
    'lastUpdated',
    'currentTime',
  ])
})
