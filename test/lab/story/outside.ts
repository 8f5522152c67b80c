import { topology } from '../topology.ts'
import type { Point, Story } from './story.ts'
import {
  differs,
  parseCounts,
  podIps,
  podNames,
  podsIn,
  reset,
  settled,
  totalOf,
  east,
  west,
  type Counts,
} from './webpod.ts'

/** Point 5: from the client, through any west node, to the pods of both clusters. */

export type Algorithm = 'random' | 'maglev'

export interface Entrance {
  readonly algorithm: Algorithm
  readonly node: string
  readonly nodeIp: string
  /** Lines `Hostname: POD RemoteAddr: ADDRESS`: who answered, and whom it saw. */
  readonly nodePort: Counts
  readonly loadBalancer: Counts
  /** The pod that answered on the LoadBalancer address, for each of a row of source ports. */
  readonly byPort: readonly string[]
}

const VIP = '172.16.1.1'
const PORTS = '41000 41019'

/** Each answer as one line: the pod and the peer it saw, without the port. */
const oneLine = `grep -E "Hostname|RemoteAddr" | paste -sd" " | sed "s/:[0-9]*$//"`

async function enter(story: Story, algorithm: Algorithm, node: { name: string; ip: string }): Promise<Entrance> {
  const loop = (url: string): string =>
    `lab exec client -- sh -c 'for i in $(seq 100); do curl -s --connect-timeout 1 -m 3 ${url} | ${oneLine}; done' | sort | uniq -c`
  const nodePort = parseCounts(await story.must(loop(`${node.ip}:30080`)))
  await story.must(`lab exec client -- ip route replace ${VIP} via ${node.ip}`)
  const loadBalancer = parseCounts(await story.must(loop(VIP)))
  // The server closes first, so that the client may use the same port again at once.
  const ports = `for port in $(seq ${PORTS}); do curl -s --connect-timeout 1 -m 3 -H "Connection: close" --local-port $port ${VIP} | grep Hostname; done`
  const byPort = (await story.quietly(`lab exec client -- sh -c '${ports}'`)).trim().split('\n')
  return { algorithm, node: node.name, nodeIp: node.ip, nodePort, loadBalancer, byPort }
}

export const outside: Point<readonly Entrance[]> = {
  title: 'from outside: NodePort and LoadBalancer address on every west node, with SNAT, random and Maglev',
  async tell(story) {
    await reset(story)
    for (const cluster of [west, east])
      await story.must(`lab apply ${cluster.name} test/lab/scenarios/webpod-outside.yaml`)
    const seen: Entrance[] = []
    for (const algorithm of ['random', 'maglev'] as const) {
      await story.must(`lab restart west --set loadBalancer.algorithm=${algorithm}`)
      await settled(story, west, podIps(west, east))
      for (const node of west.nodes) seen.push(await enter(story, algorithm, node))
    }
    story.say(
      `Maglev: the same connection (source ports ${PORTS.replace(' ', ' to ')}) goes to the same pod, whichever node takes it:`,
    )
    for (const entrance of seen.filter((one) => one.algorithm === 'maglev')) {
      story.say(`  via ${entrance.node.padEnd(20)} ${entrance.byPort.map((line) => line.slice(-5)).join(' ')}`)
    }
    await story.must('lab restart west --set loadBalancer.algorithm=random')
    await story.must(`lab exec client -- ip route del ${VIP}`)
    await reset(story)
    return seen
  },
  violations(entrances) {
    const maglev = entrances
      .filter((entrance) => entrance.algorithm === 'maglev')
      .map((entrance) => entrance.byPort.join(' '))
    return [
      ...entrances.flatMap(judge),
      ...(entrances.length === 2 * west.nodes.length ? [] : [`${String(entrances.length)} entrances were tried`]),
      ...(new Set(maglev).size === 1 ? [] : [`Maglev chose differently on the two nodes: ${maglev.join(' | ')}`]),
    ]
  },
}

function judge(entrance: Entrance): string[] {
  const where = `${entrance.algorithm} via ${entrance.node}`
  return (['nodePort', 'loadBalancer'] as const).flatMap((kind) => [
    ...differs(`who answered, ${kind}, ${where}`, podsIn(entrance[kind]), podNames(west, east)),
    ...(totalOf(entrance[kind]) === 100
      ? []
      : [`${String(totalOf(entrance[kind]))} of 100 answered, ${kind}, ${where}`]),
    ...[...entrance[kind].keys()].flatMap((line) => judgePeer(line, entrance)),
  ])
}

/** A pod elsewhere must see the node (SNAT): its answer has to come back the same way. A pod on the node may see the client. */
function judgePeer(line: string, entrance: Entrance): string[] {
  const [, name, peer] = /Hostname: (\S+) RemoteAddr: (\S+)/.exec(line) ?? []
  const pod = topology.clusters.flatMap((cluster) => cluster.pods).find((candidate) => candidate.name === name)
  if (pod === undefined || peer === undefined) return [`an answer that cannot be read: ${line}`]
  const allowed = pod.node === entrance.node ? [entrance.nodeIp, topology.client.ip] : [entrance.nodeIp]
  return allowed.includes(peer) ? [] : [`${pod.name} saw ${peer} as its peer, through ${entrance.node}`]
}
