import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { explained } from '../lab/service-view.ts'
import { Story } from '../lab/story/story.ts'
import { ClustersLab } from './lab-clusters-fixture.ts'
import { endpointSlice } from './services.ts'

/** Real sockets through DSR in a lab of its own: the client asks west's control-plane node, backends are elsewhere. */

const UP_MS = 180_000
const CASE_MS = 90_000
const CLIENT = '172.18.0.100'
const MEGABYTE = 1_000_000

/** Where one backend is that the control-plane node of west has to send to. */
const PLACES = {
  near: {
    at: 'a pod of another node',
    backend: '10.0.1.219',
    host: 'west/webpod-697b545f57-jjpz9',
  },
  far: {
    at: 'a pod of the other cluster',
    backend: '10.1.0.190',
    host: 'east/webpod-697b545f57-gkh6r',
  },
  host: { at: 'the network of another node', backend: '172.18.0.6', host: 'west-worker' },
} as const
type Place = keyof typeof PLACES

/** Answers what it read when the client is done, behind as much as was asked for in the first line: `BYTES`. */
const BULK = `
require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  let read = 0
  let head = ''
  socket.on('error', () => socket.destroy())
  socket.on('data', (data) => { read += data.length; if (head.length < 20) head += data.toString('latin1', 0, 20) })
  socket.on('end', () => socket.end(Buffer.concat([Buffer.alloc(parseInt(head, 10)), Buffer.from(' ' + read + ' ' + socket.remoteAddress)])))
}).listen(9000, process.argv[1])
const udp = require('node:dgram').createSocket('udp4')
udp.on('message', (data, peer) => udp.send(data.length + ' ' + peer.address, peer.port, peer.address))
udp.bind(9000, process.argv[1])
`
/** Sends BYTES, reads until the end: how much came, and what it ended with. */
const TRANSFER = `
const [, host, up, down] = process.argv
const socket = require('node:net').connect(9000, host)
let got = 0
let last = ''
socket.setTimeout(20000, () => socket.destroy(new Error('no answer')))
socket.on('data', (data) => { got += data.length; last = (last + data.toString('latin1').slice(-60)).slice(-60) })
socket.on('end', () => console.log(got + last.replace(/^[^ ]*/, '')))
socket.end(Buffer.concat([Buffer.from(down + '\\n'), Buffer.alloc(Number(up))]))
`
/** Sends one datagram of BYTES again and again until it is answered. */
const DATAGRAM = `
const [, host, bytes] = process.argv
const socket = require('node:dgram').createSocket('udp4')
const send = () => socket.send(Buffer.alloc(Number(bytes)), 9000, host, () => undefined)
socket.on('message', (data) => { console.log(data.toString()); process.exit(0) })
setInterval(send, 200)
setTimeout(() => { console.log('silence'); process.exit(1) }, 10000)
send()
`

function objects(name: Place): object[] {
  const { backend } = PLACES[name]
  const ports = [
    { name: 'web', port: 80, protocol: 'TCP' },
    { name: 'bulk', port: 9000, protocol: 'TCP' },
    { name: 'datagrams', port: 9000, protocol: 'UDP' },
  ]
  const spec = { type: 'LoadBalancer', ports }
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec },
    endpointSlice(name, ports, [backend]),
  ]
}

describe.each(['tc', 'xdp'] as const)('DSR, encapsulated at %s', (hook) => {
  const clusters = new ClustersLab(`dsr-${hook}-${String(process.pid)}`, 2)
  const { lab } = clusters
  const west = clusters.clusters[0]!
  const vips = new Map<Place, string>()
  const servers: { stop(): Promise<unknown> }[] = []
  const node = (host: string, script: string, ...args: string[]): Promise<string> =>
    lab.exec(host, [process.execPath, '-e', script, ...args]).then((text) => text.trim())
  const transfer = (to: string, up: number, down: number, from = 'client'): Promise<string> =>
    node(from, TRANSFER, to, String(up), String(down))
  /** What {@link transfer} prints when everything came through and the backend saw the client. */
  const transferred = (up: number, down: number): string => {
    const end = ` ${String(up + String(down).length + 1)} ${CLIENT}`
    return `${String(down + end.length)}${end}`
  }

  beforeAll(async () => {
    const acceleration = hook === 'xdp' ? 'native' : 'disabled'
    const settings = ['mode=dsr', 'algorithm=maglev', `acceleration=${acceleration}`]
    await clusters.up(...settings.flatMap((setting) => ['--set', `loadBalancer.${setting}`]))
    const story = new Story(lab, () => undefined)
    for (const place of Object.keys(PLACES) as Place[]) {
      const { host, backend } = PLACES[place]
      const script = `'${BULK.replaceAll("'", `'"'"'`)}'`
      servers.push(story.background(`lab exec ${host} -- ${process.execPath} -e ${script} ${backend}`, `bulk-${place}`))
      await clusters.apply(west, objects(place))
      await clusters.settled(west, `default/${place}`, [backend])
      vips.set(place, await addressOf(place))
      await eventually(() => transfer(backend, 1, 1, 'west-control-plane').then(Boolean, () => false), {
        what: `${backend} serves`,
        timeoutMs: 20_000,
      })
    }
  }, UP_MS)
  afterAll(async () => {
    for (const server of servers) await server.stop()
    await clusters.down()
  }, UP_MS)

  /** The LoadBalancer address that the lab gave a service. */
  async function addressOf(place: Place): Promise<string> {
    const { frontends } = await explained(lab.paths, 'west-control-plane', `default/${place}`)
    const address = frontends.map((frontend) => frontend.address).find((text) => text.startsWith('172.16.1.'))
    if (address === undefined) throw new Error(`${place} has no LoadBalancer address`)
    return address.replace(/:.*$/, '')
  }

  /** Bytes that a node has sent by its uplink. */
  async function sentBy(name: string): Promise<number> {
    const [link] = await lab.json<{ stats64: { tx: { bytes: number } } }[]>([
      'exec',
      name,
      '--',
      'ip',
      '-s',
      '-j',
      'link',
      'show',
      'eth0',
    ])
    return link!.stats64.tx.bytes
  }

  /** Packets that a node's XDP program sent on by itself. */
  async function sentOnByXdp(name: string): Promise<number> {
    const counters = await lab.exec(name, ['ethtool', '-S', 'eth0'])
    return [...counters.matchAll(/rx_queue_\d+_xdp_redirect: (\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0)
  }

  async function flagsOf(name: string, vip: string): Promise<string[]> {
    const rows = await lab.json<{ source: string; destination: string; flags: string[] }[]>([
      'exec',
      name,
      '--',
      'weft',
      'bpf',
      'ct',
      'list',
      '-o',
      'json',
    ])
    return [...new Set(rows.filter((row) => row.destination.startsWith(`${vip}:`)).flatMap((row) => row.flags))]
  }

  test('the status tells it', { timeout: CASE_MS }, async () => {
    const status = await lab.exec('west-worker', ['weft', 'status', '--verbose'])
    expect(status).toMatch(/ {2}Mode: {18}DSR\n {4}DSR Dispatch Mode: {3}Geneve\n {2}Backend Selection: {5}Maglev/)
  })

  test.each(Object.keys(PLACES) as Place[])(
    '%s: the backend sees the client, and answers it directly',
    { timeout: CASE_MS },
    async (place) => {
      const vip = vips.get(place)!
      const before = await sentBy('west-control-plane')
      const byXdp = await sentOnByXdp('west-control-plane')
      expect(await transfer(vip, 10, 5 * MEGABYTE)).toBe(transferred(10, 5 * MEGABYTE))
      // Nothing but what the client sends passes the node that it asked: five megabytes do not.
      expect((await sentBy('west-control-plane')) - before).toBeLessThan(MEGABYTE)
      expect(await node('client', DATAGRAM, vip, '100')).toBe(`100 ${CLIENT}`)
      expect(await flagsOf('west-control-plane', vip)).toContain('dsr')
      const sentOn = (await sentOnByXdp('west-control-plane')) - byXdp
      if (hook === 'xdp') expect(sentOn).toBeGreaterThan(20)
      else expect(sentOn).toBe(0)
    },
  )

  test.each(Object.keys(PLACES) as Place[])(
    '%s: full packets of the client: it hears the MTU that is left, and goes on',
    { timeout: CASE_MS },
    async (place) => {
      const vip = vips.get(place)!
      await lab.exec('client', ['ip', 'route', 'flush', 'cache'])
      expect(await transfer(vip, MEGABYTE, 1)).toBe(transferred(MEGABYTE, 1))
      expect(await lab.exec('client', ['ip', 'route', 'get', vip])).toContain('mtu 1438')
      await lab.exec('client', ['ip', 'route', 'flush', 'cache'])
      // 1472 bytes just fill a packet. What comes after the error is sent in fragments.
      expect(await node('client', DATAGRAM, vip, '1472')).toBe(`1472 ${CLIENT}`)
      expect(await node('client', DATAGRAM, vip, '8000')).toBe(`8000 ${CLIENT}`)
    },
  )

  // XDP sees no merged packets.
  if (hook === 'tc')
    test('segments that the kernel merged beyond 64 KiB arrive as they are', { timeout: 2 * CASE_MS }, async () => {
      const script = path.join(lab.paths.root, 'build/js/test/net/merge-sizes.js')
      const hosts = ['client', 'segment', 'west-control-plane', 'west-worker']
      const merge = async (bytes: number): Promise<unknown> =>
        Promise.all(hosts.map((host) => lab.exec(host, [process.execPath, script, String(bytes)])))
      await merge(130_000)
      try {
        const before = await counted('west-worker')
        expect(await transfer(vips.get('near')!, 50 * MEGABYTE, 1)).toBe(transferred(50 * MEGABYTE, 1))
        const after = await counted('west-worker')
        const packets = after('forwarded').packets - before('forwarded').packets
        expect((after('forwarded').bytes - before('forwarded').bytes) / packets).toBeGreaterThan(0x10000)
        expect(after('invalid-packet')).toEqual(before('invalid-packet'))
      } finally {
        await merge(0x10000)
      }
    })

  interface Counter {
    readonly packets: number
    readonly bytes: number
  }

  /** What a node's programs have counted of what came in, by its reason. */
  async function counted(name: string): Promise<(reason: string) => Counter> {
    const list = 'weft bpf metrics list -o json'.split(' ')
    const rows = await lab.json<(Counter & { reason: string; direction: string })[]>(['exec', name, '--', ...list])
    const nothing = { packets: 0, bytes: 0 }
    return (reason) => {
      const row = rows.find((each) => each.reason === reason && each.direction === 'ingress') ?? nothing
      return { packets: row.packets, bytes: row.bytes }
    }
  }

  /** A connection that carries a line every 100 ms, one from the other cluster, for as long as `during` takes. */
  async function streaming(during: (more: () => Promise<void>) => Promise<void>): Promise<string[]> {
    const story = new Story(lab, () => undefined)
    const stream = story.background(`lab exec client -- curl -sN ${vips.get('far')!}/stream`, 'stream')
    const lines = async (): Promise<string[]> =>
      (await story.quietly(`cat ${stream.file}`)).trim().split('\n').filter(Boolean)
    const more = async (): Promise<void> => {
      const want = (await lines()).length + 10
      await eventually(async () => (await lines()).length >= want, { what: 'more of the stream', timeoutMs: 20_000 })
    }
    try {
      await more()
      await during(more)
    } finally {
      await stream.stop()
    }
    return lines()
  }

  const inOrder = (lines: readonly string[]): boolean => lines.every((line, i) => Number.parseInt(line, 10) === i + 1)

  test(
    'a connection goes on while the agent of the node that was asked dies and comes back',
    { timeout: CASE_MS },
    async () => {
      const lines = await streaming(async (more) => {
        await lab.run(['kill', 'west-control-plane'])
        await more()
        await lab.run(['start', 'west-control-plane'])
        await more()
      })
      expect(inOrder(lines)).toBe(true)
    },
  )

  test(
    'a connection whose path moves to another node keeps its backend; packets tell there',
    { timeout: CASE_MS },
    async () => {
      const vip = vips.get('far')!
      const lines = await streaming(async (more) => {
        await lab.exec('client', ['ip', 'route', 'replace', `${vip}/32`, 'via', '172.18.0.6'])
        await more()
      })
      await lab.exec('client', ['ip', 'route', 'del', `${vip}/32`])
      expect(inOrder(lines)).toBe(true)
      expect(await flagsOf('west-worker', vip)).toContain('dsr-info')
    },
  )

  test('hybrid: TCP by DSR, UDP from the node', { timeout: CASE_MS }, async () => {
    await lab.run(['restart', 'west', '--set', 'loadBalancer.mode=hybrid'])
    const vip = vips.get('near')!
    expect(await transfer(vip, 10, 10)).toBe(transferred(10, 10))
    await eventually(async () => (await node('client', DATAGRAM, vip, '100')) === '100 172.18.0.2', {
      what: 'UDP from the node',
      timeoutMs: 20_000,
    })
    expect(await lab.exec('west-worker', ['weft', 'status', '--verbose'])).toContain('Hybrid')
  })
})
