import { expect } from 'vitest'
import { eventually } from '../eventually.ts'
import { explained } from '../lab/service-view.ts'
import type { ClusterSpec, NodeSpec, PodSpec } from '../lab/topology.ts'
import { ClustersLab } from './lab-clusters-fixture.ts'
import { endpointSlice } from './services.ts'

/** Services of a lab of two clusters, asked from outside: by its client, who may enter by either of two nodes of west. */

export interface Wish {
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

export const CLIENT = '172.18.0.100'
export const UP_TIMEOUT_MS = 120_000
const EACH_ANEW = '-s -H "Connection: close" --connect-timeout 1 -m 3'

/** The objects of a service; its endpoints where they are named. */
export function objects({
  name,
  vip,
  annotations = {},
  spec = {},
  ports = [{ port: 80 }],
  target = 80,
  endpoints,
}: Wish): object[] {
  return [
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
}

export const DRAINS = { ready: false, serving: true, terminating: true }

export function endpointOf(pod: PodSpec, conditions: object = { ready: true }): object {
  return { addresses: [pod.ip], nodeName: pod.node, conditions }
}

export class OutsideLab extends ClustersLab {
  readonly west: ClusterSpec
  readonly east: ClusterSpec
  /** Of west. */
  readonly first: NodeSpec
  readonly second: NodeSpec
  readonly eastPods: readonly PodSpec[]

  constructor(name: string) {
    super(`${name}-${String(process.pid)}`, 2)
    const [west, east] = this.clusters as [ClusterSpec, ClusterSpec]
    const [first, second] = west.nodes as [NodeSpec, NodeSpec]
    this.west = west
    this.east = east
    this.first = first
    this.second = second
    this.eastPods = east.pods.filter((pod) => pod.serves)
  }

  /** The web pod on a node of west. */
  podOn(node: NodeSpec): PodSpec {
    return this.west.pods.find((pod) => pod.serves && pod.node === node.name)!
  }

  on(host: string, line: string): Promise<string> {
    return this.lab.exec(host, ['sh', '-c', line])
  }

  enterBy(node: NodeSpec, vip: string): Promise<string> {
    return this.on('client', `ip route replace ${vip} via ${node.ip}`)
  }

  /** Waits until a node chooses exactly these pods for an address, and has that in its kernel. */
  chooses(node: NodeSpec, name: string, address: string, pods: readonly PodSpec[], port = 80): Promise<unknown> {
    return eventually(
      async () => {
        const { frontends } = await explained(this.lab.paths, node.name, `default/${name}`)
        const found = frontends.find((each) => each.address === address)
        expect(found?.state).toBe('done')
        const selected = (found?.backends ?? []).filter((each) => each.selected).map((each) => each.address)
        expect(selected.sort()).toEqual(pods.map((pod) => `${pod.ip}:${String(port)}/TCP`).sort())
      },
      { what: `${node.name} chooses ${pods.map((pod) => pod.name).join(' ')} for ${address}`, timeoutMs: 20_000 },
    )
  }

  /** Lines `POD PEER`, each once. */
  async whoAnswers(host: string, place: string, count = 30): Promise<string[]> {
    const lines = await this.on(
      host,
      `curl ${EACH_ANEW} "${place}/?[1-${String(count)}]" | grep -E "Hostname|RemoteAddr" | paste -d" " - - | sed -E "s/Hostname: (\\S+) RemoteAddr: ([0-9.]+).*/\\1 \\2/"`,
    )
    const answers = lines.trim().split('\n')
    expect(answers).toHaveLength(count)
    return [...new Set(answers)].sort()
  }

  /** Whether anybody answers the client there. */
  async hears(place: string): Promise<boolean> {
    return (await this.lab.try(['exec', 'client', '--', 'curl', '-s', '-o', '/dev/null', '-m', '1', place])).code === 0
  }
}
