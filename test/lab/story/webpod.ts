import { isSettled } from '../service-view.ts'
import { clusterNamed, topologyFor, type ClusterSpec } from '../topology.ts'
import type { Story } from './story.ts'

/** What every point needs to know about the service `webpod`: who should answer, who did, and who the agent says was selected. */

/** The story is that of two clusters. */
export const topology = topologyFor()
export const west = clusterNamed(topology, 'west')
export const east = clusterNamed(topology, 'east')
export const allNodes = topology.clusters.flatMap((cluster) => cluster.nodes)

const webpods = (cluster: ClusterSpec): ClusterSpec['pods'] => cluster.pods.filter((pod) => pod.serves)
export const podNames = (...clusters: ClusterSpec[]): string[] =>
  clusters
    .flatMap(webpods)
    .map((pod) => pod.name)
    .sort()
export const podIps = (...clusters: ClusterSpec[]): string[] =>
  clusters
    .flatMap(webpods)
    .map((pod) => pod.ip)
    .sort()

/** How often each line came: what `sort | uniq -c` printed. */
export type Counts = ReadonlyMap<string, number>

export function parseCounts(text: string): Counts {
  const counts = new Map<string, number>()
  for (const [, count, line] of text.matchAll(/^ *(\d+) (.+)$/gm)) counts.set(line ?? '', Number(count))
  return counts
}

export const totalOf = (counts: Counts): number => [...counts.values()].reduce((sum, count) => sum + count, 0)

/** The pods that answered, from lines `Hostname: NAME …`. */
export function podsIn(counts: Counts): string[] {
  return [...new Set([...counts.keys()].map((line) => /Hostname: (\S+)/.exec(line)?.[1] ?? line))].sort()
}

/** 100 connections from a cluster's curl-pod to the service's name, counted by the pod that answered. */
export async function curl100(story: Story, cluster: ClusterSpec): Promise<Counts> {
  return count(story, cluster, `curl ${EACH_ANEW} "webpod/?[1-100]" | grep Hostname`)
}

/** As many, by as many runs of curl: the loop that people type. */
export async function curlLoop(story: Story, cluster: ClusterSpec): Promise<Counts> {
  return count(story, cluster, 'for i in $(seq 100); do curl -s --connect-timeout 1 webpod | grep Hostname; done')
}

/** One run of curl for many requests, each on a connection of its own. */
export const EACH_ANEW = '-s -H "Connection: close" --connect-timeout 1 -m 3'

async function count(story: Story, cluster: ClusterSpec, command: string): Promise<Counts> {
  return parseCounts(
    await story.must(`lab exec ${cluster.name}/curl-pod -- sh -c '${command}' | sort | uniq -c | sort -nr`),
  )
}

/** Waits until all nodes of a cluster have the service in their kernel, balanced over exactly these addresses. */
export async function settled(
  story: Story,
  cluster: ClusterSpec,
  ips: readonly string[],
  frontends = 1,
): Promise<void> {
  await story.until(`${cluster.name} balances webpod over ${ips.join(' ')}`, () =>
    isSettled(story.lab.paths, cluster, ips, { frontends }),
  )
}

export interface ListedBackend {
  readonly ip: string
  readonly preferred: boolean
}

/** What `weft service list` on a node says about webpod's ClusterIP. */
export async function listed(story: Story, node: string): Promise<ListedBackend[]> {
  interface Row {
    readonly spec: {
      readonly flags: { readonly name: string; readonly type: string }
      readonly 'backend-addresses': readonly ListedBackend[]
    }
  }
  const rows = JSON.parse(await story.quietly(`lab exec ${node} -- weft service list -o json`)) as Row[]
  const row = rows.find(({ spec }) => spec.flags.name === 'webpod' && spec.flags.type === 'ClusterIP')
  return (row?.spec['backend-addresses'] ?? [])
    .map(({ ip, preferred }) => ({ ip, preferred }))
    .sort((a, b) => (a.ip < b.ip ? -1 : 1))
}

/** The lab as `lab up` leaves it: the plain global service, all pods and agents there, all four backends in use everywhere. */
export async function reset(story: Story): Promise<void> {
  await story.quietly('lab start ' + [...allNodes.map((node) => node.name), ...servers()].join(' '))
  for (const cluster of topology.clusters)
    await story.quietly(`lab apply ${cluster.name} test/lab/scenarios/webpod.yaml`)
  await Promise.all(topology.clusters.map((cluster) => settled(story, cluster, podIps(west, east))))
}

/** The web pods of all clusters, or of one, as `lab` names them. */
export function servers(...clusters: ClusterSpec[]): string[] {
  const wanted = clusters.length === 0 ? topology.clusters : clusters
  return wanted.flatMap((cluster) => webpods(cluster).map((pod) => `${cluster.name}/${pod.name}`))
}

/** `expected` and `found` as one sentence when they differ, nothing when they do not. */
export function differs(what: string, found: readonly string[], expected: readonly string[]): string[] {
  const [have, want] = [[...found].sort().join(', '), [...expected].sort().join(', ')]
  return have === want ? [] : [`${what}: expected ${want || 'none'}, found ${have || 'none'}`]
}
