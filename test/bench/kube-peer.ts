import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { KubeService } from './kube-api.ts'
import type { Lane } from './lanes.ts'
import { KubeApi } from './kube-api.ts'
import { BACKEND } from './lanes.ts'
import { KUBERNETES, Program, which } from './peers.ts'
import { COPIES, SERVICE } from './weft-node.ts'

export type KubeMode = 'iptables' | 'nftables'

/** The legacy tool under the names that kube-proxy calls: the other one takes minutes for large rule sets. */
const LEGACY = ['iptables', 'iptables-save', 'iptables-restore', 'ip6tables', 'ip6tables-save', 'ip6tables-restore']
const BACKENDS = 10

/** Starts kube-proxies on lanes' nodes. */
export class KubeProxies {
  readonly #directory: string
  readonly #bin: string

  constructor(directory: string) {
    this.#directory = directory
    this.#bin = path.join(directory, 'bin')
    mkdirSync(this.#bin, { recursive: true })
    for (const name of LEGACY) symlinkSync(which('xtables-legacy-multi')!, path.join(this.#bin, name))
  }

  start(lane: Lane, mode: KubeMode, kubeconfig: string): Program {
    const file = path.join(this.#directory, `${lane.name}.json`)
    const config = {
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      mode,
      hostnameOverride: lane.name,
      clientConnection: { kubeconfig },
      metricsBindAddress: '127.0.0.1:10249',
      healthzBindAddress: '127.0.0.1:10256',
      // These are the machine's: a namespace may not set them.
      conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    }
    writeFileSync(file, JSON.stringify(config))
    const env = { PATH: `${this.#bin}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` }
    const command = [path.join(KUBERNETES, 'kube-proxy'), `--config=${file}`] as const
    return new Program(lane.netns, [...command], path.join(this.#directory, `${lane.name}.log`), env)
  }
}

interface Proxy {
  readonly lane: Lane
  readonly program: Program
}

/** A real API server, and on each of some lanes' nodes a kube-proxy that asks it. */
export class KubePeers {
  readonly #api: KubeApi
  readonly #proxies: readonly Proxy[]
  #made = 0

  private constructor(api: KubeApi, proxies: readonly Proxy[]) {
    this.#api = api
    this.#proxies = proxies
  }

  static async start(wanted: readonly { lane: Lane; mode: KubeMode }[], directory: string): Promise<KubePeers> {
    const api = await KubeApi.start(directory)
    const proxies = new KubeProxies(directory)
    const started: Proxy[] = []
    for (const { lane, mode } of wanted) {
      started.push({ lane, program: proxies.start(lane, mode, await api.addNode(lane)) })
    }
    return new KubePeers(api, started)
  }

  /**
   * The services under test and as many others as are missing to `count`. What is made last is asked for: kube-proxy works in
   * the order in which it hears of services, or on all at once.
   */
  async fill(count: number, isThere: (lane: Lane, address: string) => boolean): Promise<void> {
    const wanted = this.#made === 0 ? Array.from({ length: COPIES }, (_, copy) => own(copy)) : []
    while (this.#made + wanted.length < count - 1) wanted.push(filler(this.#made + wanted.length, BACKENDS))
    await this.#api.create(wanted)
    this.#made = count
    const last = { ...filler(count - 1, 0), endpoints: [BACKEND] }
    await this.#api.create([last])
    for (const { lane, program } of this.#proxies) {
      await program.until(`${lane.name} has ${count} services`, () => isThere(lane, last.clusterIP))
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#proxies.map(({ program }) => program.kill()))
    await this.#api.close()
  }
}

const http = { name: 'http', protocol: 'TCP', port: SERVICE.tcp.port, target: SERVICE.tcp.target } as const

function own(copy: number): KubeService {
  const { clusterIP, tcp, udp } = SERVICE
  const dns = { name: 'dns', protocol: 'UDP', port: udp.port, target: udp.target } as const
  return {
    name: `own-${copy}`,
    clusterIP: clusterIP.replace(/\d+$/, (last) => String(Number(last) + copy)),
    ports: [
      { ...http, nodePort: tcp.nodePort + copy },
      { ...dns, nodePort: udp.nodePort + copy },
    ],
    endpoints: [BACKEND],
  }
}

/** The service of a number, with addresses that no other has. */
export function filler(n: number, backends: number): KubeService {
  const endpoints = Array.from({ length: backends }, (_, i) => {
    const at = n * backends + i
    return `10.${128 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`
  })
  return { name: `filler-${n}`, clusterIP: `10.100.${n >> 8}.${n & 255}`, ports: [http], endpoints }
}
