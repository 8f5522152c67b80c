import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { Story, type Background } from '../lab/story/story.ts'
import { DATAGRAM, ECHO, FLOOD, REFUSED, SAME_PORT } from './egress-scripts.ts'
import { ClustersLab } from './lab-clusters-fixture.ts'
import { endpointSlice } from './services.ts'

/** Agents that masquerade, and agents that leave sockets alone, in a lab of their own with real sockets. */

const UP_MS = 180_000
const CASE_MS = 60_000
const CLIENT = '172.18.0.100'
const NODE = '172.18.0.2'
const POD = '10.0.0.144'
const CURL_POD = 'west/curl-pod'
const WEB_POD = 'west/webpod-697b545f57-rcp4r'
const WEB_POD_IP = '10.0.0.46'
const FAR = '10.1.0.190'
const FAR_POD = 'east/webpod-697b545f57-gkh6r'
const ECHO_PORT = 9100
const NODE_PORT = 30910
const UDP_SERVICE = '10.2.0.99'
const EVERYBODY = [WEB_POD_IP, '10.0.1.219', FAR, '10.1.1.41']

describe('egress', () => {
  const clusters = new ClustersLab(`egress-${String(process.pid)}`, 2)
  const { lab } = clusters
  const west = clusters.clusters[0]!
  const file = path.join(lab.paths.state, 'ip-masq-agent')
  const echoes: Background[] = []

  const node = async (host: string, script: string, ...args: (string | number)[]): Promise<string> =>
    (await lab.exec(host, [process.execPath, '-e', script, ...args.map(String)])).trim()
  /** How many connections were answered rightly, by the peer that the server saw. */
  const flood = async (host: string, to: string, port: number, count: number, first = 0): Promise<unknown> =>
    JSON.parse(await node(host, FLOOD, to, port, count, first))
  /** Whom the client outside sees when a pod connects to it. */
  const seenBy = (host: string, to = CLIENT): Promise<unknown> => flood(host, to, ECHO_PORT, 1)
  const weft = (...args: string[]): Promise<string> => lab.exec('west-control-plane', ['weft', ...args])
  const prefixes = async (): Promise<string[]> => (await weft('bpf', 'ipmasq', 'list')).trim().split('\n').slice(1)
  const restart = (...settings: string[]): Promise<string> =>
    lab.run(['restart', 'west', ...settings.flatMap((setting) => ['--set', setting])])

  async function echo(host: string, address: string): Promise<void> {
    const script = `'${ECHO.replaceAll("'", `'"'"'`)}'`
    const line = `lab exec ${host} -- ${process.execPath} -e ${script} ${address} ${String(ECHO_PORT)}`
    echoes.push(new Story(lab, () => undefined).background(line, `echo-${address}`))
    const own = { [host === 'client' ? CLIENT : address]: 1 }
    await eventually(async () => expect(await flood(host, address, ECHO_PORT, 1)).toEqual(own), {
      what: `${address} serves`,
      timeoutMs: 20_000,
    })
  }

  beforeAll(async () => {
    const settings = ['bpf.masquerade=true', 'ipv4NativeRoutingCIDR=10.0.0.0/16', 'ipMasqAgent.enabled=true']
    await clusters.up(...[...settings, `ipMasqAgent.configFile=${file}`].flatMap((setting) => ['--set', setting]))
    // So that a pod that is not masqueraded is answered too: the difference is who was seen.
    await lab.exec('client', ['ip', 'route', 'add', '10.0.0.0/24', 'via', NODE])
    await echo('client', CLIENT)
    await echo(FAR_POD, FAR)
    await clusters.apply(west, echoService())
    await clusters.settled(west, 'default/echo', [FAR])
  }, UP_MS)
  afterAll(async () => {
    for (const background of echoes) await background.stop()
    await clusters.down()
  }, UP_MS)

  test(
    'without the file private networks see the pod; with one they see the node, and again',
    async () => {
      expect(await prefixes()).toContain('172.16.0.0/12')
      expect(await seenBy(CURL_POD)).toEqual({ [POD]: 1 })
      writeFileSync(file, 'nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocal: true\n')
      await eventually(async () => expect(await prefixes()).toEqual(['10.0.0.0/8']))
      expect(await seenBy(CURL_POD)).toEqual({ [NODE]: 1 })
      writeFileSync(file, `nonMasqueradeCIDRs: [${CLIENT}/32]\n`)
      await eventually(async () => expect(await prefixes()).toEqual(['169.254.0.0/16', `${CLIENT}/32`]))
      expect(await seenBy(CURL_POD)).toEqual({ [POD]: 1 })
      // What cannot be read changes nothing, and is said.
      writeFileSync(file, 'nonMasqueradeCIDRs: [nonsense]\n')
      await eventually(async () => expect((await lab.try(statusOf('west-control-plane'))).stdout).toContain(file))
      expect(await prefixes()).toContain(`${CLIENT}/32`)
      writeFileSync(file, 'nonMasqueradeCIDRs: [10.0.0.0/8]\n')
      await eventually(async () => expect((await lab.try(statusOf('west-control-plane'))).stdout).not.toContain(file))
    },
    CASE_MS,
  )

  test('destinations from the settings, in the list and in the status', { timeout: CASE_MS }, async () => {
    await restart(
      'ipMasqAgent.config.nonMasqueradeCIDRs=10.1.0.0/16,10.0.0.0/8',
      'ipMasqAgent.config.masqLinkLocal=true',
    )
    expect(await weft('bpf', 'ipmasq', 'list')).toBe('IP PREFIX/ADDRESS\n10.0.0.0/8\n10.1.0.0/16\n')
    expect(await weft('status', '--verbose')).toMatch(
      /^Masquerading: +BPF \(ip-masq-agent\) +\[eth0\] +10\.0\.0\.0\/16 +\[IPv4: Enabled, IPv6: Disabled\]$/m,
    )
  })

  test('the world sees the node: TCP, UDP and ping', { timeout: CASE_MS }, async () => {
    expect(await seenBy(CURL_POD)).toEqual({ [NODE]: 1 })
    expect(await node(CURL_POD, DATAGRAM, CLIENT, ECHO_PORT)).toBe(NODE)
    expect(await lab.exec(CURL_POD, ['ping', '-c', '3', '-i', '0.2', '-W', '2', CLIENT])).toContain(' 0% packet loss')
    const flows = await weft('bpf', 'ct', 'list')
    expect(flows).toMatch(/^ICMP +forward +10\.0\.0\.144:\d+ -> 172\.18\.0\.100:\d+ +172\.18\.0\.2:\d+ -> .*snat,masq/m)
  })

  test('pods of both clusters see the pod, also behind a service', { timeout: CASE_MS }, async () => {
    expect(await seenBy(CURL_POD, FAR)).toEqual({ [POD]: 1 })
    for (const to of [...EVERYBODY, 'webpod'])
      expect(await lab.exec(CURL_POD, ['curl', '-s', '-m', '3', to])).toMatch(/^RemoteAddr: 10\.0\.0\.144:/m)
    expect(await lab.exec(CURL_POD, ['ping', '-c', '1', '-W', '2', '10.1.0.128'])).toContain('ttl=62')
  })

  test('hundreds from outside and from two pods by the same ports, none mixed up', { timeout: CASE_MS }, async () => {
    const many = 300
    const all = await Promise.all([
      flood('client', NODE, NODE_PORT, many, 20_000),
      flood(CURL_POD, CLIENT, ECHO_PORT, many, 20_000),
      flood(WEB_POD, CLIENT, ECHO_PORT, many, 20_000),
    ])
    expect(all).toEqual([{ [NODE]: many }, { [NODE]: many }, { [NODE]: many }])
  })

  describe('with sockets left alone', () => {
    beforeAll(async () => {
      await restart('socketLB.enabled=false')
      // A packet for a service has to be sent somewhere before it is looked at.
      await lab.exec('west-control-plane', ['ip', 'route', 'add', 'default', 'via', CLIENT])
      await clusters.settled(west, 'default/webpod', EVERYBODY)
    }, CASE_MS)

    test('a pod reaches a service by packets, and every backend sees the pod', { timeout: CASE_MS }, async () => {
      expect(await clusters.answering(west, 'webpod')).toHaveLength(EVERYBODY.length)
      expect(await lab.exec(CURL_POD, ['curl', '-s', '-m', '3', 'webpod'])).toMatch(/^RemoteAddr: 10\.0\.0\.144:/m)
      expect(await weft('bpf', 'ct', 'list')).toMatch(/10\.0\.0\.144:\d+ -> 10\.2\.\S+:80 .*client-here/)
    })

    test('a pod reaches a backend itself from the port it had to the service', { timeout: CASE_MS }, async () => {
      // None that the kernel gives to connections, nor one of the floods above: their last packets hold it for a minute.
      for (let port = 19_000; port < 19_004; port++) {
        const said = await node(CURL_POD, SAME_PORT, port, 'webpod', ...EVERYBODY)
        expect(said.split(' ')).toEqual(Array.from({ length: 1 + EVERYBODY.length }, () => `${POD}:${String(port)}`))
      }
    })

    test('so does a backend, which may be answered by itself', { timeout: CASE_MS }, async () => {
      const answers = await peersOf(WEB_POD)
      expect(Object.keys(answers)).toHaveLength(EVERYBODY.length)
      const { 'webpod-697b545f57-rcp4r': itself, ...others } = answers
      expect(itself).toBe('169.254.42.1')
      expect([...new Set(Object.values(others))]).toEqual([WEB_POD_IP])
      expect(await weft('bpf', 'ct', 'list')).toMatch(/169\.254\.42\.1:\d+ -> 10\.0\.0\.46:80 .*hairpin/)
    })

    test('so does the node', { timeout: CASE_MS }, async () => {
      const answers = await peersOf('west-control-plane')
      expect(Object.keys(answers)).toHaveLength(EVERYBODY.length)
      expect([...new Set(Object.values(answers))]).toEqual([NODE])
    })

    test('datagrams as well: of a pod, of a backend to itself, and of the node', { timeout: CASE_MS }, async () => {
      await clusters.apply(west, udpService())
      await clusters.settled(west, 'default/datagrams', [WEB_POD_IP, '10.0.1.219'])
      const expected = { [CURL_POD]: [POD], 'west-control-plane': [NODE], [WEB_POD]: ['169.254.42.1', WEB_POD_IP] }
      for (const [host, peers] of Object.entries(expected)) {
        const answers = await datagrams(host, 20)
        expect(answers).toHaveLength(20)
        expect([...new Set(answers.map(([pod]) => pod))]).toHaveLength(2)
        expect([...new Set(answers.map(([, peer]) => peer))].sort()).toEqual([...peers].sort())
      }
      const flows = await weft('bpf', 'ct', 'list')
      expect(flows).toMatch(/^UDP +forward +10\.0\.0\.144:\d+ -> 10\.2\.0\.99:80 .*client-here/m)
      expect(flows).toMatch(/^UDP +reverse +10\.0\.0\.46:80 -> 169\.254\.42\.1:\d+ .*hairpin/m)
      // Connected sockets hear at once that nobody is left.
      await clusters.apply(west, udpService({ app: 'nobody' }))
      await clusters.settled(west, 'default/datagrams', [])
      await eventually(async () => expect((await node(CURL_POD, REFUSED, UDP_SERVICE, 80)).trim()).toBe('ECONNREFUSED'))
    })

    test('sockets are translated again after a restart', { timeout: CASE_MS }, async () => {
      await restart('socketLB.enabled=true')
      expect(await clusters.answering(west, 'webpod')).toHaveLength(EVERYBODY.length)
      expect((await peersOf(WEB_POD))['webpod-697b545f57-rcp4r']).toBe(WEB_POD_IP)
    })
  })

  /** `POD PEER` of each of so many sockets' datagrams that were answered. */
  async function datagrams(host: string, count: number): Promise<[pod: string, peer: string][]> {
    const one = `exec 3<>/dev/udp/${UDP_SERVICE}/80 && echo hi >&3 && timeout 3 head -n 1 <&3; exec 3>&-`
    const text = await lab.exec(host, ['bash', '-c', `for i in $(seq ${String(count)}); do ${one}; done`])
    return [...text.matchAll(/^(\S+) ([\d.]+):\d+ hi$/gm)].map(([, pod = '', peer = '']) => [pod, peer])
  }

  /** Pods that answered fifty connections of a host to `webpod`, and whom each saw; all were answered. */
  async function peersOf(host: string): Promise<Record<string, string>> {
    const curl = 'curl -sf -H "Connection: close" --connect-timeout 1 -m 3 "webpod/?[1-50]"'
    const text = await lab.exec(host, ['sh', '-c', `${curl} | grep -E "Hostname|RemoteAddr" | paste -d" " - -`])
    const rows = [...text.matchAll(/^Hostname: (\S+) RemoteAddr: ([\d.]+):/gm)]
    expect(rows).toHaveLength(50)
    return Object.fromEntries(rows.map(([, pod = '', peer = '']) => [pod, peer]))
  }
})

const statusOf = (host: string): string[] => ['exec', host, '--', 'weft', 'status']

function udpService(selector: Readonly<Record<string, string>> = { app: 'webpod' }): object[] {
  const ports = [{ name: 'udp', port: 80, protocol: 'UDP' }]
  return [
    {
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'datagrams', namespace: 'default' } },
      spec: { clusterIP: UDP_SERVICE, selector, ports },
    },
  ]
}

/** A NodePort whose one backend is in the other cluster. */
function echoService(): object[] {
  const port = { name: 'echo', port: ECHO_PORT, protocol: 'TCP' }
  const name = 'echo'
  const spec = { type: 'NodePort', ports: [{ ...port, nodePort: NODE_PORT }] }
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec },
    endpointSlice(name, [port], [FAR]),
  ]
}
