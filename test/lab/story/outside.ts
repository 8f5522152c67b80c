import type { Point, Story } from './story.ts'
import {
  EACH_ANEW,
  differs,
  parseCounts,
  podIps,
  podNames,
  podsIn,
  reset,
  settled,
  totalOf,
  east,
  topology,
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
/** Source ports below the range that the client's other requests take theirs from. */
const PORTS = '20000 20019'

/** Each answer as one line: the pod and the peer it saw, without the port. */
const oneLine = `grep -E "Hostname|RemoteAddr" | paste -d" " - - | sed "s/:[0-9]*$//"`

async function enter(story: Story, algorithm: Algorithm, node: { name: string; ip: string }): Promise<Entrance> {
  const loop = (url: string): string =>
    `lab exec client -- sh -c 'curl ${EACH_ANEW} "${url}/?[1-100]" | ${oneLine}' | sort | uniq -c`
  const nodePort = parseCounts(await story.must(loop(`${node.ip}:30080`)))
  await story.must(`lab exec client -- ip route replace ${VIP} via ${node.ip}`)
  const loadBalancer = parseCounts(await story.must(loop(VIP)))
  // With HTTP/1.0 the server closes first, so that the client may use the same port again at once.
  const ports = `for port in $(seq ${PORTS}); do curl -s -0 --connect-timeout 1 -m 3 --local-port $port ${VIP} | grep Hostname; done`
  const byPort = (await story.quietly(`lab exec client -- sh -c '${ports}'`)).trim().split('\n')
  return { algorithm, node: node.name, nodeIp: node.ip, nodePort, loadBalancer, byPort }
}

async function enterAll(story: Story, algorithm: Algorithm): Promise<Entrance[]> {
  const entrances: Entrance[] = []
  for (const node of west.nodes) entrances.push(await enter(story, algorithm, node))
  return entrances
}

export const outside: Point<readonly Entrance[]> = {
  title: 'from outside: NodePort and LoadBalancer address on every west node, with SNAT, random and Maglev',
  async tell(story) {
    await reset(story)
    for (const cluster of [west, east])
      await story.must(`lab apply ${cluster.name} test/lab/scenarios/webpod-outside.yaml`)
    await settled(story, west, podIps(west, east), 3)
    const random = await enterAll(story, 'random')
    await story.must('lab restart west --set loadBalancer.algorithm=maglev')
    try {
      const maglev = await enterAll(story, 'maglev')
      story.say(
        `Maglev: a connection (source ports ${PORTS.replace(' ', ' to ')}) goes to the same pod, whichever node takes it:`,
      )
      for (const { node, byPort } of maglev) {
        story.say(`  via ${node.padEnd(20)} ${byPort.map((line) => line.slice(-5)).join(' ')}`)
      }
      return [...random, ...maglev]
    } finally {
      await story.must('lab restart west --set loadBalancer.algorithm=random')
      await story.must(`lab exec client -- ip route del ${VIP}`)
    }
  },
  violations(entrances) {
    const maglev = entrances
      .filter((entrance) => entrance.algorithm === 'maglev')
      .map((entrance) => entrance.byPort.join(' '))
    return [
      ...entrances.flatMap(judge),
      ...(entrances.length === 2 * west.nodes.length ? [] : [`${String(entrances.length)} entrances were tried`]),
      ...(new Set(maglev).size === 1 && entrances.every((entrance) => entrance.byPort.length === 20)
        ? []
        : [`Maglev chose differently on the two nodes: ${maglev.join(' | ')}`]),
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
