import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import type { KubernetesObject } from '../lab/objects.ts'
import { podObject } from '../lab/objects.ts'
import { explained } from '../lab/service-view.ts'
import { Story } from '../lab/story/story.ts'
import type { ClusterSpec, NodeSpec, PodSpec } from '../lab/topology.ts'
import { ClustersLab, type Stream } from './lab-clusters-fixture.ts'
import { endpointSlice } from './services.ts'

/** What clients outside the cluster get of a service: real sockets, real pods, two nodes they may enter by. */

const UP_TIMEOUT_MS = 120_000
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
const EACH_ANEW = '-s -H "Connection: close" --connect-timeout 1 -m 3'

describe('a service from outside', { timeout: 90_000 }, () => {
  const mesh = new ClustersLab(`outside-${String(process.pid)}`, 2)
  const [west, east] = mesh.clusters as [ClusterSpec, ClusterSpec]
  const [first, second] = west.nodes as [NodeSpec, NodeSpec]
  const podOn = (node: NodeSpec): PodSpec => west.pods.find((pod) => pod.serves && pod.node === node.name)!
  const eastPods = east.pods.filter((pod) => pod.serves)
  const client = '172.18.0.100'

  beforeAll(() => mesh.up(), UP_TIMEOUT_MS)
  afterAll(() => mesh.down())

  const on = (host: string, line: string): Promise<string> => mesh.lab.exec(host, ['sh', '-c', line])
  const enterBy = (node: NodeSpec, vip: string): Promise<string> =>
    on('client', `ip route replace ${vip} via ${node.ip}`)

  interface Wish {
    readonly name: string
    readonly vip?: string
    readonly annotations?: Readonly<Record<string, string>>
    readonly spec?: object
    readonly ports?: readonly object[]
    /** Port of the endpoints. */
    readonly target?: number
    /** Undefined: the pods with the label. */
    readonly endpoints?: readonly object[]
  }

  const objects = ({
    name,
    vip,
    annotations = {},
    spec = {},
    ports = [{ port: 80 }],
    target = 80,
    endpoints,
  }: Wish): object[] => [
    {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default', annotations } },
      spec: {
        ...(vip === undefined ? {} : { type: 'LoadBalancer' }),
        ...(endpoints === undefined ? { selector: { app: 'webpod' } } : {}),
        ...{ ports, ...spec },
      },
      ...(vip === undefined ? {} : { status: { loadBalancer: { ingress: [{ ip: vip }] } } }),
    },
    ...(endpoints === undefined ? [] : [endpointSlice(name, [{ port: target }], endpoints)]),
  ]

  const endpointOf = (pod: PodSpec, conditions: object = { ready: true }): object => ({
    ...{ addresses: [pod.ip], nodeName: pod.node },
    conditions,
  })
  const DRAINS = { ready: false, serving: true, terminating: true }

  /** Waits until a node chooses exactly these pods for an address, and has that in its kernel. */
  const chooses = (
    node: NodeSpec,
    name: string,
    address: string,
    pods: readonly PodSpec[],
    port = 80,
  ): Promise<unknown> =>
    eventually(
      async () => {
        const { frontends } = await explained(mesh.lab.paths, node.name, `default/${name}`)
        const found = frontends.find((each) => each.address === address)
        expect(found?.state).toBe('done')
        const selected = (found?.backends ?? []).filter((each) => each.selected).map((each) => each.address)
        expect(selected.sort()).toEqual(pods.map((pod) => `${pod.ip}:${String(port)}/TCP`).sort())
      },
      { what: `${node.name} chooses ${pods.map((pod) => pod.name).join(' ')} for ${address}`, timeoutMs: 20_000 },
    )

  /** Lines `POD PEER`, each once. */
  const whoAnswers = async (host: string, place: string, count = 30): Promise<string[]> => {
    const lines = await on(
      host,
      `curl ${EACH_ANEW} "${place}/?[1-${String(count)}]" | grep -E "Hostname|RemoteAddr" | paste -d" " - - | sed -E "s/Hostname: (\\S+) RemoteAddr: ([0-9.]+).*/\\1 \\2/"`,
    )
    const answers = lines.trim().split('\n')
    expect(answers).toHaveLength(count)
    return [...new Set(answers)].sort()
  }

  const hears = async (place: string): Promise<boolean> =>
    (await mesh.lab.try(['exec', 'client', '--', 'curl', '-s', '-o', '/dev/null', '-m', '1', place])).code === 0

  test('an unknown port of its address goes nowhere, where otherwise it would go round until its TTL ends', async () => {
    const vip = '172.16.1.201'
    await mesh.apply(west, objects({ name: 'kept', vip }))
    await chooses(first, 'kept', `${vip}:80/TCP`, [podOn(first), podOn(second)])
    // The client is the router between the sender and the node, whose way back to wherever is that router again.
    await on('client', `echo 1 >/proc/sys/net/ipv4/ip_forward && ip route replace 172.16.1.0/24 via ${first.ip}`)
    await on(first.name, `ip route add default via ${client}`)
    await on('east-worker', `ip route add 172.16.1.0/24 via ${client}`)
    const forwarded = async (): Promise<number> => {
      const lines = (await on('client', 'grep ^Ip: /proc/net/snmp')).trim().split('\n')
      const [names, values] = lines.map((line) => line.split(' ')) as [string[], string[]]
      return Number(values[names.indexOf('ForwDatagrams')])
    }
    const roundsOf = async (send: string): Promise<number> => {
      const before = await forwarded()
      await mesh.lab.try(['exec', 'east-worker', '--', 'bash', '-c', send])
      // The answer to a ping comes after what was sent before it, by the same way.
      await mesh.lab.exec('east-worker', ['ping', '-c', '1', '-W', '5', client])
      return (await forwarded()) - before
    }
    try {
      const udp = (address: string, port: number): string => `echo round >/dev/udp/${address}/${String(port)}`
      // Nobody's address: what would happen.
      expect(await roundsOf(udp('172.16.1.202', 81))).toBeGreaterThan(20)
      const dropped = async (): Promise<number> =>
        Number(/no-service\s+ingress\s+(\d+)/i.exec(await on(first.name, 'weft bpf metrics list'))?.[1] ?? 0)
      const before = await dropped()
      // Once, from the sender to the node.
      expect(await roundsOf(udp(vip, 81))).toBe(1)
      expect(await roundsOf(`ping -c 1 -W 1 ${vip}`)).toBe(1)
      expect((await dropped()) - before).toBe(2)
      expect(await roundsOf(`curl -s -m 2 ${vip}:80`)).toBeGreaterThan(1)
    } finally {
      await on(first.name, `ip route del default via ${client}`)
      await on('east-worker', `ip route del 172.16.1.0/24 via ${client}`)
      await on('client', 'echo 0 >/proc/sys/net/ipv4/ip_forward')
    }
  })

  test('policy Local: who enters by a node gets its pods and is seen as who he is; inside, all pods answer', async () => {
    const vip = '172.16.1.203'
    const spec = { externalTrafficPolicy: 'Local', healthCheckNodePort: 32203 }
    const wish = { name: 'local', vip, spec, annotations: { 'service.cilium.io/global': 'true' } }
    await mesh.apply(east, objects({ ...wish, vip: '172.16.2.203' }))
    await mesh.apply(west, objects({ ...wish, endpoints: west.nodes.map((node) => endpointOf(podOn(node))) }))
    for (const node of [first, second]) {
      await chooses(node, 'local', `${vip}:80/TCP`, [podOn(node)])
      await enterBy(node, vip)
      expect(await whoAnswers('client', vip)).toEqual([`${podOn(node).name} ${client}`])
      const health = await on('client', `curl -s -m 2 ${vip}:32203`)
      expect(JSON.parse(health)).toMatchObject({ service: { name: 'local' }, localEndpoints: 1 })
    }
    const everybody = [podOn(first), podOn(second), ...eastPods].map(({ name }) => name).sort()
    await chooses(first, 'local', `${vip}:80/TCP/i`, [podOn(first), podOn(second), ...eastPods])
    const inside = await whoAnswers('west/curl-pod', vip, 60)
    expect(inside.map((line) => line.split(' ')[0])).toEqual(everybody)

    // Without a pod of its own a node is silent, so that the client tries another; east's pods are no substitute.
    await mesh.apply(west, objects({ ...wish, endpoints: [endpointOf(podOn(first))] }))
    await chooses(second, 'local', `${vip}:80/TCP`, [])
    await enterBy(second, vip)
    expect(await hears(vip)).toBe(false)
    expect(await on('client', `curl -s -o /dev/null -w "%{http_code}" ${second.ip}:32203`)).toBe('503')
    expect(await on('client', `curl -s -o /dev/null -w "%{http_code}" ${first.ip}:32203`)).toBe('200')
  })

  test('a client with affinity keeps its pod when its way changes from node to node', async () => {
    const vip = '172.16.1.204'
    const annotations = { 'service.cilium.io/lb-algorithm': 'maglev', 'service.cilium.io/global': 'true' }
    const wish = { name: 'sticky', vip, annotations, spec: { sessionAffinity: 'ClientIP' } }
    await mesh.apply(east, objects({ ...wish, vip: '172.16.2.204' }))
    await mesh.apply(west, objects(wish))
    const all = [podOn(first), podOn(second), ...eastPods]
    for (const node of [first, second]) await chooses(node, 'sticky', `${vip}:80/TCP`, all)
    const seen = new Set<string>()
    for (const node of [first, second, first, second]) {
      await enterBy(node, vip)
      for (const line of await whoAnswers('client', vip, 10)) seen.add(line.split(' ')[0]!)
    }
    expect([...seen]).toHaveLength(1)
  })

  test('hostPort and an external address, one number for TCP and UDP', async () => {
    const pod = podOn(first)
    const bare = podObject(pod, first) as KubernetesObject & { readonly spec: object }
    const ports = ['TCP', 'UDP'].map((protocol) => ({ containerPort: 80, hostPort: 8080, protocol }))
    const asking = { ...bare, spec: { ...bare.spec, containers: [{ name: 'webpod', image: 'webpod', ports }] } }
    const both = ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port: 80, protocol }))
    await mesh.apply(west, [asking, ...objects({ name: 'far', ports: both, spec: { externalIPs: ['198.51.100.9'] } })])
    await chooses(first, 'far', '198.51.100.9:80/TCP', [pod, podOn(second)])
    await enterBy(first, '198.51.100.9')
    const udp = (address: string, port: number): Promise<string> =>
      mesh.lab.exec('client', [
        ...['bash', '-c'],
        `exec 3<>/dev/udp/${address}/${String(port)} && echo hi >&3 && timeout 3 head -n 1 <&3`,
      ])
    const names = [pod, podOn(second)].map(({ name }) => name)
    expect((await whoAnswers('client', '198.51.100.9')).map((line) => line.split(' ')[0])).toEqual(names.sort())
    expect(names).toContain((await udp('198.51.100.9', 80)).split(' ')[0])
    expect(await whoAnswers('client', `${first.ip}:8080`)).toEqual([`${pod.name} ${client}`])
    expect(await udp(first.ip, 8080)).toMatch(new RegExp(`^${pod.name} ${client}:\\d+ hi`))
    // The node itself, by its loopback; its pods have a loopback of their own.
    expect((await whoAnswers(first.name, '127.0.0.1:8080', 5)).map((line) => line.split(' ')[0])).toEqual([pod.name])
    expect((await mesh.lab.try(['exec', 'west/curl-pod', '--', 'curl', '-s', '127.0.0.1:8080'])).code).toBe(7)
    expect((await mesh.lab.try(['exec', 'client', '--', 'curl', '-s', '-m', '1', `${second.ip}:8080`])).code).toBe(7)
    await mesh.apply(west, [podObject(pod, first)])
    await eventually(async () => expect(await hears(`${first.ip}:8080`)).toBe(false))
  })

  test('a pod that terminates keeps its connections and gets no new ones, unless no other is left', async () => {
    const vip = '172.16.1.205'
    const [leaving, staying] = [podOn(second), podOn(first)]
    const wish = { name: 'drain', vip }
    await mesh.apply(west, objects({ ...wish, endpoints: [endpointOf(leaving)] }))
    await chooses(first, 'drain', `${vip}:80/TCP`, [leaving])
    await enterBy(first, vip)
    const stream = mesh.stream(vip)
    try {
      await stream.more(5)
      await mesh.apply(west, objects({ ...wish, endpoints: [endpointOf(leaving, DRAINS), endpointOf(staying)] }))
      await chooses(first, 'drain', `${vip}:80/TCP`, [staying])
      expect((await whoAnswers('client', vip)).map((line) => line.split(' ')[0])).toEqual([staying.name])
      await stream.more(10)
      // Nobody is left but those who go.
      await mesh.apply(west, objects({ ...wish, endpoints: [endpointOf(leaving, DRAINS)] }))
      await chooses(first, 'drain', `${vip}:80/TCP`, [leaving])
      expect((await whoAnswers('client', vip)).map((line) => line.split(' ')[0])).toEqual([leaving.name])
      await stream.more(10)
    } finally {
      expect(await stream.stop()).toEqual({ gap: false, pods: [leaving.name] })
    }
  })

  test(
    'a change of source ranges ends the connections of clients that it keeps out, and no others',
    { timeout: 180_000 },
    async () => {
      const vip = '172.16.1.208'
      const other = 'east-worker'
      const otherIp = east.nodes.find(({ name }) => name === other)!.ip
      const pods = [podOn(first), podOn(second)]
      const asks = async (
        ranges: readonly string[],
        annotations: Readonly<Record<string, string>> = {},
      ): Promise<void> => {
        await mesh.apply(
          west,
          objects({ name: 'ranges', vip, annotations, spec: { loadBalancerSourceRanges: ranges } }),
        )
        await chooses(first, 'ranges', `${vip}:80/TCP`, pods)
      }
      const asked = async (host: string): Promise<boolean> =>
        (await mesh.lab.try(['exec', host, '--', 'curl', '-s', '-o', '/dev/null', '-m', '2', vip])).code === 0
      await asks(['172.18.0.0/24'])
      await enterBy(first, vip)
      await on(other, `ip route replace ${vip} via ${first.ip}`)
      // Several, so that both pods have some: an admitted one that lost its flow would mostly meet the wrong pod.
      const streams = {
        client: [1, 2, 3].map(() => mesh.stream(vip)),
        [other]: [1, 2, 3].map(() => mesh.stream(vip, other)),
      }
      const all = (host: keyof typeof streams): Stream[] => streams[host]
      const goOn = async (host: keyof typeof streams): Promise<void> => {
        for (const stream of all(host)) await stream.more(5)
      }
      const counts = (host: keyof typeof streams): Promise<number[]> =>
        Promise.all(all(host).map((stream) => stream.count()))
      /** While the connections of `host` go on, those of `silent` do not. */
      const ended = (silent: keyof typeof streams, host: keyof typeof streams): Promise<unknown> =>
        eventually(
          async () => {
            const before = await counts(silent)
            await goOn(host)
            expect(await counts(silent)).toEqual(before)
          },
          { what: `the connections of ${silent} are at an end`, timeoutMs: 60_000 },
        )
      try {
        for (const host of ['client', other] as const) await goOn(host)
        await asks([`${otherIp}/32`])
        await eventually(async () => expect(await asked('client')).toBe(false))
        await ended('client', other)
        expect(await asked(other)).toBe(true)
        expect(await on(first.name, 'weft explain service default/ranges')).toContain(`only ${otherIp}/32`)
        expect(await on(first.name, 'weft bpf metrics list')).toMatch(/not-in-source-range/i)

        // The same list, of those who are kept out.
        await asks([`${otherIp}/32`], { 'service.cilium.io/src-ranges-policy': 'deny' })
        await eventually(async () => expect(await asked(other)).toBe(false))
        expect(await asked('client')).toBe(true)
        expect(await on(first.name, 'weft explain service default/ranges')).toContain(`all but ${otherIp}/32`)
        expect(await on(first.name, 'weft bpf lb list --frontends')).toMatch(
          /172\.16\.1\.208:80\/TCP .*check source-range, deny/,
        )
        streams.client = [mesh.stream(vip)]
        await ended(other, 'client')
      } finally {
        const seen = await Promise.all([...all('client'), ...all(other)].map((stream) => stream.stop()))
        await on(other, `ip route del ${vip}`)
        expect(seen.map(({ gap }) => gap)).toEqual(seen.map(() => false))
      }
    },
  )

  describe('a NodePort with SNAT', () => {
    const nodePort = 30207
    const place = `${first.ip}:${String(nodePort)}`
    const [leaving, staying] = [podOn(second), podOn(first)]
    const serve = async (name: string, pods: readonly PodSpec[], target = 80): Promise<void> => {
      const spec = { type: 'NodePort' }
      const endpoints = pods.map((pod) => endpointOf(pod))
      await mesh.apply(west, objects({ name, spec, ports: [{ port: 80, nodePort }], target, endpoints }))
      await chooses(first, name, `${place}/TCP`, pods, target)
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
        const backends = (): Promise<string> => on(first.name, 'weft bpf lb list --backends -o json')
        const directory = path.join(mesh.lab.paths.state, 'idle')
        rmSync(directory, { recursive: true, force: true })
        mkdirSync(directory)
        const story = new Story(mesh.lab, () => undefined)
        const server = story.background(`lab exec west/${leaving.name} -- ${process.execPath} -e '${ECHO}'`, 'echo')
        try {
          await serve('ports', [leaving], target)
          expect(await backends()).toContain(backend)
          await eventually(() => on('client', `nc -z -w 1 ${first.ip} ${String(nodePort)}`), { what: 'a server' })
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
      await serve('ports', [leaving, staying])
      expect((await script(SAME_PORT, how, '24')).trim()).toBe([leaving.name, staying.name].sort().join(' '))
    })
  })

  test('the algorithm and the size of its table change while connections run, and none is lost', async () => {
    const vip = '172.16.1.206'
    const wish = { name: 'live', vip, annotations: { 'service.cilium.io/lb-algorithm': 'random' } }
    const pods = [podOn(first), podOn(second)]
    const listed = (what: string): Promise<unknown> =>
      eventually(
        async () => {
          const rows = await on(first.name, 'weft bpf lb list --frontends')
          expect(rows.split('\n').find((row) => row.startsWith(`${vip}:80/TCP`))).toContain(` ${what} `)
        },
        { what: `${what} in the kernel`, timeoutMs: 20_000 },
      )
    await mesh.apply(west, objects(wish))
    await chooses(first, 'live', `${vip}:80/TCP`, pods)
    await enterBy(first, vip)
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
