import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { stringify } from 'yaml'
import { eventually } from '../eventually.ts'
import { Lab } from '../lab/cli.ts'
import { isSettled } from '../lab/service-view.ts'
import { Story, type Background } from '../lab/story/story.ts'
import { EACH_ANEW, parseCounts, podsIn, totalOf } from '../lab/story/webpod.ts'
import { topologyFor, type ClusterSpec } from '../lab/topology.ts'
import { endpointSlice } from './services.ts'

/** What a service is asked to be in one cluster. */
export interface ServiceWish {
  readonly namespace?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly ports?: readonly object[]
  readonly headless?: boolean
  /** Pods that an EndpointSlice names, instead of those with the label `app: webpod`. */
  readonly endpoints?: readonly string[]
}

const GLOBAL = { 'service.cilium.io/global': 'true' }

export function service(name: string, wish: ServiceWish = {}): object[] {
  const { namespace = 'default', annotations = GLOBAL, ports = [{ port: 80 }], headless = false, endpoints } = wish
  const spec = {
    ...(headless ? { clusterIP: 'None' } : {}),
    ...(endpoints === undefined ? { selector: { app: 'webpod' } } : {}),
    ports,
  }
  const object = { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, annotations }, spec }
  if (endpoints === undefined) return [object]
  return [object, endpointSlice(name, [{ port: 80 }], endpoints, namespace)]
}

/** A lab of some shape, and what a test does with it. */
export class ClustersLab {
  readonly lab: Lab
  readonly clusters: readonly ClusterSpec[]
  #story: Story | undefined

  constructor(name: string, clusters: number) {
    this.lab = new Lab(name)
    this.clusters = topologyFor({ clusters }).clusters
  }

  async up(...flags: string[]): Promise<void> {
    await this.lab.run(['up', '--clusters', String(this.clusters.length), ...flags])
  }

  async down(): Promise<void> {
    await this.lab.run(['down'])
  }

  get #told(): Story {
    return (this.#story ??= new Story(this.lab, () => undefined))
  }

  /** A directory of this lab, gone with it. */
  #file(name: string): string {
    const dir = path.join(this.lab.paths.state, 'cases')
    mkdirSync(dir, { recursive: true })
    return path.join(dir, name)
  }

  async #with(verb: 'apply' | 'delete', cluster: ClusterSpec, objects: readonly object[]): Promise<void> {
    const file = this.#file(`${cluster.name}.yaml`)
    writeFileSync(file, objects.map((object) => stringify(object)).join('---\n'))
    await this.lab.run([verb, cluster.name, file])
  }

  apply(cluster: ClusterSpec, objects: readonly object[]): Promise<void> {
    return this.#with('apply', cluster, objects)
  }

  delete(cluster: ClusterSpec, objects: readonly object[]): Promise<void> {
    return this.#with('delete', cluster, objects)
  }

  async annotate(cluster: ClusterSpec, object: string, ...changes: string[]): Promise<void> {
    await this.lab.run(['annotate', cluster.name, object, ...changes])
  }

  /** Waits until all nodes of a cluster balance a service over exactly these pods. */
  async settled(cluster: ClusterSpec, name: string, ips: readonly string[], timeoutMs = 20_000): Promise<void> {
    const what = `${cluster.name} balances ${name} over ${ips.join(' ')}`
    await eventually(() => isSettled(this.lab.paths, cluster, ips, { service: name }), { what, timeoutMs })
  }

  /** The pods that answered `count` connections from a cluster's curl pod; all of them were answered. */
  async answering(cluster: ClusterSpec, host: string, count = 100): Promise<string[]> {
    const command = `curl ${EACH_ANEW} "${host}/?[1-${String(count)}]" | grep Hostname | sort | uniq -c`
    const counts = parseCounts(await this.lab.exec(`${cluster.name}/curl-pod`, ['sh', '-c', command]))
    if (totalOf(counts) !== count) throw new Error(`${String(totalOf(counts))} of ${String(count)} were answered`)
    return podsIn(counts)
  }

  /** The exit status of one curl from a cluster's curl pod. */
  async curlStatus(cluster: ClusterSpec, host: string): Promise<number> {
    const done = await this.lab.try([
      ...['exec', `${cluster.name}/curl-pod`, '--'],
      ...['curl', '-s', '-o', '/dev/null', '--connect-timeout', '1', '-m', '2', host],
    ])
    return done.code
  }

  /** Requests one after the other from a cluster's curl pod, each on a connection of its own, until it is stopped. */
  requests(cluster: ClusterSpec, host: string): Requests {
    const loop = `while :; do curl -s -o /dev/null -w "%{http_code}\\n" --connect-timeout 1 -m 3 ${host}; done`
    const name = `requests-${String(this.#runs++)}`
    return new Requests(this.#told, this.#told.background(`lab exec ${cluster.name}/curl-pod -- sh -c '${loop}'`, name))
  }

  /** A connection of the client outside, or another host, on which the pod that took it goes on sending, until it is stopped. */
  stream(place: string, host = 'client'): Stream {
    const name = `stream-${String(this.#runs++)}`
    return new Stream(this.#told, this.#told.background(`lab exec ${host} -- curl -sN ${place}/stream`, name))
  }

  #runs = 0

  shell(line: string): Promise<string> {
    return this.#told.quietly(line)
  }
}

/** Requests that run in the background, and what came of them. */
export class Requests {
  readonly #story: Story
  readonly #background: Background

  constructor(story: Story, background: Background) {
    this.#story = story
    this.#background = background
  }

  async #statuses(): Promise<string[]> {
    return (await this.#story.quietly(`cat ${this.#background.file}`)).trim().split('\n').filter(Boolean)
  }

  async count(): Promise<number> {
    return (await this.#statuses()).length
  }

  /** Waits until `count` more of them are done. */
  async more(count = 30): Promise<void> {
    const want = (await this.count()) + count
    await eventually(async () => (await this.count()) >= want, {
      what: 'more requests',
      timeoutMs: 20_000,
      everyMs: 100,
    })
  }

  /** Ends them; the statuses, `000` for each that got no answer, of those after the first `skip`. */
  async stop(skip = 0): Promise<string[]> {
    await this.#background.stop()
    return [...new Set((await this.#statuses()).slice(skip))]
  }
}

/** Numbered lines of one connection. */
export class Stream {
  readonly #story: Story
  readonly #background: Background

  constructor(story: Story, background: Background) {
    this.#story = story
    this.#background = background
  }

  async #lines(): Promise<string[]> {
    // The last line may be half written.
    return (await this.#story.quietly(`cat ${this.#background.file}`)).split('\n').slice(0, -1)
  }

  /** How many lines have come. */
  async count(): Promise<number> {
    return (await this.#lines()).length
  }

  /** Waits until `count` more lines have come. */
  async more(count: number): Promise<void> {
    const want = (await this.#lines()).length + count
    await eventually(async () => (await this.#lines()).length >= want, {
      what: `${String(count)} more lines`,
      timeoutMs: 20_000,
      everyMs: 100,
    })
  }

  /** Ends it: whether a line was missing, and who sent them. */
  async stop(): Promise<{ readonly gap: boolean; readonly pods: readonly string[] }> {
    await this.#background.stop()
    const lines = (await this.#lines()).map((line) => line.split(' '))
    return {
      gap: lines.length === 0 || lines.some(([number], index) => number !== String(index + 1)),
      pods: [...new Set(lines.map(([, pod]) => pod ?? ''))],
    }
  }
}
