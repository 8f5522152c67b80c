import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ApiClient } from '../../agent/api/client.ts'
import { eventually } from '../eventually.ts'
import { agentSocket } from '../lab/daemons.ts'
import { explained } from '../lab/service-view.ts'
import { podIps, podNames, servers } from '../lab/story/webpod.ts'
import type { ClusterSpec } from '../lab/topology.ts'
import { ClustersLab } from './lab-clusters-fixture.ts'

const UP_TIMEOUT_MS = 120_000
/** Probes every two seconds that wait for one, three failures; the rest is what a loaded machine takes. */
const LEFT_WITHIN_MS = 10_000
/** As long again as dead pods are asked anew, twice, and the hold-down. */
const BACK_WITHIN_MS = 12_000

describe('pods that are dead while their control plane lives', { timeout: 60_000 }, () => {
  const mesh = new ClustersLab(`dead-${String(process.pid)}`, 2)
  const [west, east] = mesh.clusters as [ClusterSpec, ClusterSpec]

  beforeAll(async () => {
    await mesh.up()
    await mesh.settled(west, 'default/webpod', podIps(west, east))
    // Silence is no sign of death where there never was an answer.
    for (const node of west.nodes) {
      const said = `lab logs ${node.name} | grep 'probes say' | tail -n 1`
      await eventually(async () => (await mesh.shell(said)).includes('"answers":true'), { timeoutMs: 20_000 })
    }
  }, UP_TIMEOUT_MS)
  afterAll(() => mesh.down())

  const inEast = async (node: string): Promise<string[]> => {
    const { frontends } = await explained(mesh.lab.paths, node)
    return (frontends[0]?.backends ?? []).filter(({ cluster }) => cluster === 'east').map(({ reason }) => reason)
  }

  const eachPod = async (command: readonly string[]): Promise<void> => {
    await Promise.all(servers(east).map((pod) => mesh.lab.exec(pod, command)))
  }

  const deaths = {
    'killed: they refuse': {
      die: () => mesh.lab.run(['kill', ...servers(east)]),
      revive: () => mesh.lab.run(['start', ...servers(east)]),
    },
    // They take what comes and their answers go nowhere; the machine they are on knows nothing of it.
    'black-holed: they are silent': {
      die: () => eachPod(['ip', 'route', 'add', 'blackhole', '0.0.0.0/1']).then(half('add')),
      revive: () => eachPod(['ip', 'route', 'del', 'blackhole', '0.0.0.0/1']).then(half('del')),
    },
  }
  const half = (verb: string) => (): Promise<void> => eachPod(['ip', 'route', verb, 'blackhole', '128.0.0.0/1'])

  test.each(Object.entries(deaths))('%s', async (_, { die, revive }) => {
    const requests = mesh.requests(west, 'webpod')
    await requests.more(20)
    const died = performance.now()
    await die()
    await mesh.settled(west, 'default/webpod', podIps(west), LEFT_WITHIN_MS)
    expect(performance.now() - died).toBeLessThan(LEFT_WITHIN_MS)
    // One request may still have been on its way to a dead pod when the last map was written.
    const left = (await requests.count()) + 1
    await requests.more(50)
    expect(await mesh.answering(west, 'webpod')).toEqual(podNames(west))
    for (const node of west.nodes) {
      expect(await inEast(node.name)).toEqual(['unhealthy', 'unhealthy'])
      const status = await new ApiClient(agentSocket(mesh.lab.paths, node.name)).status()
      expect(status.clusterMesh.clusters).toMatchObject([{ name: 'east', ready: true }])
      expect(status.problems.map(({ code }) => code)).toEqual(['backends-unhealthy'])
    }
    const text = await mesh.lab.exec(west.nodes[0]!.name, ['weft', 'explain', 'service', 'default/webpod'])
    for (const ip of podIps(east)) expect(text).toMatch(new RegExp(`${ip}:80.*unhealthy`))

    await revive()
    await mesh.settled(west, 'default/webpod', podIps(west, east), BACK_WITHIN_MS)
    expect(await mesh.answering(west, 'webpod')).toEqual(podNames(west, east))
    await requests.more(20)
    expect(await requests.stop(left)).toEqual(['200'])
  })
})
