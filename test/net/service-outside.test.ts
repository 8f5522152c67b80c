import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import type { KubernetesObject } from '../lab/objects.ts'
import { podObject } from '../lab/objects.ts'
import { CLIENT, DRAINS, endpointOf, objects, OutsideLab, UP_TIMEOUT_MS } from './outside-fixture.ts'

/** What clients outside the cluster get of a service: real sockets, real pods, two nodes they may enter by. */

describe('a service from outside', { timeout: 90_000 }, () => {
  const mesh = new OutsideLab('outside')
  const { west, east, first, second, eastPods } = mesh

  beforeAll(() => mesh.up(), UP_TIMEOUT_MS)
  afterAll(() => mesh.down())

  test('an unknown port of its address goes nowhere, where otherwise it would go round until its TTL ends', async () => {
    const vip = '172.16.1.201'
    await mesh.apply(west, objects({ name: 'kept', vip }))
    await mesh.chooses(first, 'kept', `${vip}:80/TCP`, [mesh.podOn(first), mesh.podOn(second)])
    // The client is the router between the sender and the node, whose way back to wherever is that router again.
    await mesh.on('client', `echo 1 >/proc/sys/net/ipv4/ip_forward && ip route replace 172.16.1.0/24 via ${first.ip}`)
    await mesh.on(first.name, `ip route add default via ${CLIENT}`)
    await mesh.on('east-worker', `ip route add 172.16.1.0/24 via ${CLIENT}`)
    const forwarded = async (): Promise<number> => {
      const lines = (await mesh.on('client', 'grep ^Ip: /proc/net/snmp')).trim().split('\n')
      const [names, values] = lines.map((line) => line.split(' ')) as [string[], string[]]
      return Number(values[names.indexOf('ForwDatagrams')])
    }
    const roundsOf = async (send: string): Promise<number> => {
      const before = await forwarded()
      await mesh.lab.try(['exec', 'east-worker', '--', 'bash', '-c', send])
      // The answer to a ping comes after what was sent before it, by the same way.
      await mesh.lab.exec('east-worker', ['ping', '-c', '1', '-W', '5', CLIENT])
      return (await forwarded()) - before
    }
    try {
      const udp = (address: string, port: number): string => `echo round >/dev/udp/${address}/${String(port)}`
      // Nobody's address: what would happen.
      expect(await roundsOf(udp('172.16.1.202', 81))).toBeGreaterThan(20)
      const dropped = async (): Promise<number> =>
        Number(/no-service\s+ingress\s+(\d+)/i.exec(await mesh.on(first.name, 'weft bpf metrics list'))?.[1] ?? 0)
      const before = await dropped()
      // Once, from the sender to the node.
      expect(await roundsOf(udp(vip, 81))).toBe(1)
      expect(await roundsOf(`ping -c 1 -W 1 ${vip}`)).toBe(1)
      expect((await dropped()) - before).toBe(2)
      expect(await roundsOf(`curl -s -m 2 ${vip}:80`)).toBeGreaterThan(1)
    } finally {
      await mesh.on(first.name, `ip route del default via ${CLIENT}`)
      await mesh.on('east-worker', `ip route del 172.16.1.0/24 via ${CLIENT}`)
      await mesh.on('client', 'echo 0 >/proc/sys/net/ipv4/ip_forward')
    }
  })

  test('policy Local: who enters by a node gets its pods and is seen as who he is; inside, all pods answer', async () => {
    const vip = '172.16.1.203'
    const spec = { externalTrafficPolicy: 'Local', healthCheckNodePort: 32203 }
    const wish = { name: 'local', vip, spec, annotations: { 'service.cilium.io/global': 'true' } }
    await mesh.apply(east, objects({ ...wish, vip: '172.16.2.203' }))
    await mesh.apply(west, objects({ ...wish, endpoints: west.nodes.map((node) => endpointOf(mesh.podOn(node))) }))
    for (const node of [first, second]) {
      await mesh.chooses(node, 'local', `${vip}:80/TCP`, [mesh.podOn(node)])
      await mesh.enterBy(node, vip)
      expect(await mesh.whoAnswers('client', vip)).toEqual([`${mesh.podOn(node).name} ${CLIENT}`])
      const health = await mesh.on('client', `curl -s -m 2 ${vip}:32203`)
      expect(JSON.parse(health)).toMatchObject({ service: { name: 'local' }, localEndpoints: 1 })
    }
    const everybody = [mesh.podOn(first), mesh.podOn(second), ...eastPods].map(({ name }) => name).sort()
    await mesh.chooses(first, 'local', `${vip}:80/TCP/i`, [mesh.podOn(first), mesh.podOn(second), ...eastPods])
    const inside = await mesh.whoAnswers('west/curl-pod', vip, 60)
    expect(inside.map((line) => line.split(' ')[0])).toEqual(everybody)

    // Without a pod of its own a node is silent, so that the client tries another; east's pods are no substitute.
    await mesh.apply(west, objects({ ...wish, endpoints: [endpointOf(mesh.podOn(first))] }))
    await mesh.chooses(second, 'local', `${vip}:80/TCP`, [])
    await mesh.enterBy(second, vip)
    expect(await mesh.hears(vip)).toBe(false)
    expect(await mesh.on('client', `curl -s -o /dev/null -w "%{http_code}" ${second.ip}:32203`)).toBe('503')
    expect(await mesh.on('client', `curl -s -o /dev/null -w "%{http_code}" ${first.ip}:32203`)).toBe('200')
  })

  test('a client with affinity keeps its pod when its way changes from node to node', async () => {
    const vip = '172.16.1.204'
    const annotations = { 'service.cilium.io/lb-algorithm': 'maglev', 'service.cilium.io/global': 'true' }
    const wish = { name: 'sticky', vip, annotations, spec: { sessionAffinity: 'ClientIP' } }
    await mesh.apply(east, objects({ ...wish, vip: '172.16.2.204' }))
    await mesh.apply(west, objects(wish))
    const all = [mesh.podOn(first), mesh.podOn(second), ...eastPods]
    for (const node of [first, second]) await mesh.chooses(node, 'sticky', `${vip}:80/TCP`, all)
    const seen = new Set<string>()
    for (const node of [first, second, first, second]) {
      await mesh.enterBy(node, vip)
      for (const line of await mesh.whoAnswers('client', vip, 10)) seen.add(line.split(' ')[0]!)
    }
    expect([...seen]).toHaveLength(1)
  })

  test('hostPort and an external address, one number for TCP and UDP', async () => {
    const pod = mesh.podOn(first)
    const bare = podObject(pod, first) as KubernetesObject & { readonly spec: object }
    const ports = ['TCP', 'UDP'].map((protocol) => ({ containerPort: 80, hostPort: 8080, protocol }))
    const asking = { ...bare, spec: { ...bare.spec, containers: [{ name: 'webpod', image: 'webpod', ports }] } }
    const both = ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port: 80, protocol }))
    await mesh.apply(west, [asking, ...objects({ name: 'far', ports: both, spec: { externalIPs: ['198.51.100.9'] } })])
    await mesh.chooses(first, 'far', '198.51.100.9:80/TCP', [pod, mesh.podOn(second)])
    await mesh.enterBy(first, '198.51.100.9')
    const udp = (address: string, port: number): Promise<string> =>
      mesh.lab.exec('client', [
        ...['bash', '-c'],
        `exec 3<>/dev/udp/${address}/${String(port)} && echo hi >&3 && timeout 3 head -n 1 <&3`,
      ])
    const names = [pod, mesh.podOn(second)].map(({ name }) => name)
    expect((await mesh.whoAnswers('client', '198.51.100.9')).map((line) => line.split(' ')[0])).toEqual(names.sort())
    expect(names).toContain((await udp('198.51.100.9', 80)).split(' ')[0])
    expect(await mesh.whoAnswers('client', `${first.ip}:8080`)).toEqual([`${pod.name} ${CLIENT}`])
    expect(await udp(first.ip, 8080)).toMatch(new RegExp(`^${pod.name} ${CLIENT}:\\d+ hi`))
    // The node itself, by its loopback; its pods have a loopback of their own.
    expect((await mesh.whoAnswers(first.name, '127.0.0.1:8080', 5)).map((line) => line.split(' ')[0])).toEqual([
      pod.name,
    ])
    expect((await mesh.lab.try(['exec', 'west/curl-pod', '--', 'curl', '-s', '127.0.0.1:8080'])).code).toBe(7)
    expect((await mesh.lab.try(['exec', 'client', '--', 'curl', '-s', '-m', '1', `${second.ip}:8080`])).code).toBe(7)
    await mesh.apply(west, [podObject(pod, first)])
    await eventually(async () => expect(await mesh.hears(`${first.ip}:8080`)).toBe(false))
  })

  test('a pod that terminates keeps its connections and gets no new ones, unless no other is left', async () => {
    const vip = '172.16.1.205'
    const [leaving, staying] = [mesh.podOn(second), mesh.podOn(first)]
    const wish = { name: 'drain', vip }
    await mesh.apply(west, objects({ ...wish, endpoints: [endpointOf(leaving)] }))
    await mesh.chooses(first, 'drain', `${vip}:80/TCP`, [leaving])
    await mesh.enterBy(first, vip)
    const stream = mesh.stream(vip)
    try {
      await stream.more(5)
      await mesh.apply(west, objects({ ...wish, endpoints: [endpointOf(leaving, DRAINS), endpointOf(staying)] }))
      await mesh.chooses(first, 'drain', `${vip}:80/TCP`, [staying])
      expect((await mesh.whoAnswers('client', vip)).map((line) => line.split(' ')[0])).toEqual([staying.name])
      await stream.more(10)
      // Nobody is left but those who go.
      await mesh.apply(west, objects({ ...wish, endpoints: [endpointOf(leaving, DRAINS)] }))
      await mesh.chooses(first, 'drain', `${vip}:80/TCP`, [leaving])
      expect((await mesh.whoAnswers('client', vip)).map((line) => line.split(' ')[0])).toEqual([leaving.name])
      await stream.more(10)
    } finally {
      expect(await stream.stop()).toEqual({ gap: false, pods: [leaving.name] })
    }
  })

  test('the algorithm and the size of its table change while connections run, and none is lost', async () => {
    const vip = '172.16.1.206'
    const wish = { name: 'live', vip, annotations: { 'service.cilium.io/lb-algorithm': 'random' } }
    const pods = [mesh.podOn(first), mesh.podOn(second)]
    const listed = (what: string): Promise<unknown> =>
      eventually(
        async () => {
          const rows = await mesh.on(first.name, 'weft bpf lb list --frontends')
          expect(rows.split('\n').find((row) => row.startsWith(`${vip}:80/TCP`))).toContain(` ${what} `)
        },
        { what: `${what} in the kernel`, timeoutMs: 20_000 },
      )
    await mesh.apply(west, objects(wish))
    await mesh.chooses(first, 'live', `${vip}:80/TCP`, pods)
    await mesh.enterBy(first, vip)
    const streams = Array.from({ length: 8 }, () => mesh.stream(vip))
    try {
      for (const stream of streams) await stream.more(3)
      const algorithm = (name: string): Promise<void> =>
        mesh.annotate(west, 'service/live', `service.cilium.io/lb-algorithm=${name}`)
      await algorithm('maglev')
      await listed('maglev (16381)')
      for (const stream of streams) await stream.more(5)
      await mesh.lab.run(['restart', first.name, '--set', 'loadBalancer.maglevTableSize=1021'])
      await listed('maglev (1021)')
      for (const stream of streams) await stream.more(5)
      await algorithm('random')
      await listed('random')
      for (const stream of streams) await stream.more(5)
    } finally {
      const seen = await Promise.all(streams.map((stream) => stream.stop()))
      expect(seen.map(({ gap }) => gap)).toEqual(streams.map(() => false))
    }
  })
})
