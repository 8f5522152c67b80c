import { afterEach, beforeEach, expect, test } from 'vitest'
import type { MonitorEvent } from '../../agent/types/monitor.ts'
import { eventually } from '../eventually.ts'
import { AgentHost } from './agent-process.ts'
import { Sandbox } from './sandbox.ts'

/** `weft monitor` on a real agent: drops as they happen, across a restart of the agent. */

let sandbox: Sandbox
let host: AgentHost

beforeEach(async () => {
  sandbox = await Sandbox.start()
  sandbox.lonelyUplink('172.18.0.3/24')
  host = await AgentHost.create(sandbox)
  await host.apply('web', {
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' } },
    spec: { type: 'ClusterIP', clusterIP: '10.96.0.10', ports: [{ port: 80, targetPort: 8080 }] },
  })
})

afterEach(async () => {
  await host.close()
  await sandbox.stop()
})

/** A connection to the service, which has no backend. */
async function knock(): Promise<void> {
  const script = `echo $$ >${sandbox.cgroup}/cgroup.procs; exec 3<>/dev/tcp/10.96.0.10/80`
  await eventually(
    () => {
      try {
        sandbox.run('bash', '-c', `{ ${script}; } 2>&1`)
      } catch (error) {
        if (/No route to host/.test(String((error as { stdout?: unknown }).stdout))) return
        throw error
      }
      throw new Error('the connection was not refused')
    },
    { what: 'a service without backends' },
  )
}

test('drops are told as they happen, and by the next agent when this one is gone', { timeout: 120_000 }, async () => {
  let agent = await host.start()
  const monitor = host.follow(['monitor', '--socket', host.socket, '--type', 'drop', '-o', 'json'])
  await eventually(() => expect(monitor.stderr()).toContain('listening: drop\n'), { what: 'the start of the stream' })
  await knock()
  const events = (): MonitorEvent[] =>
    monitor
      .stdout()
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as MonitorEvent)
  await eventually(() => expect(events()).toHaveLength(1), { what: 'the drop' })
  expect(events()[0]).toMatchObject({
    ...{ type: 'drop', reason: 'no-service', direction: 'socket', protocol: 'TCP', destination: '10.96.0.10:80' },
  })

  await agent.stop()
  await eventually(() => expect(monitor.stderr()).toContain('the agent has stopped'), { what: 'the end of the stream' })
  agent = await host.start()
  await eventually(() => expect(monitor.stderr()).toContain('the agent is back'), { what: 'the next stream' })
  await knock()
  await eventually(() => expect(events().length).toBeGreaterThan(1), { what: 'another drop' })
  await agent.stop()
})

test('a listener for traces is told what to do where programs do not trace', async () => {
  const agent = await host.start()
  const { code, stderr } = await host.weft(['monitor', '--socket', host.socket, '--type', 'trace'])
  expect(stderr).toContain('do not trace packets')
  expect(stderr).toContain('hint: start the agent with --monitor-trace')
  expect(code).toBe(1)
  await agent.stop()
})
