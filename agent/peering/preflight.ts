import type { Cidr } from '../types/address.ts'
import { cidrContains, formatCidr, parseCidr } from '../types/address.ts'
import { isClusterName } from '../types/wire/keys.ts'
import type { Check, ClusterFacts, PreflightInput } from './check.ts'
import { ok, problem, warning } from './check.ts'
import { clock, reachable, tls, versions } from './probed-checks.ts'

/** Everything that can keep two clusters from working together, one answer for each question, in the order of the questions. */
export function preflight(input: PreflightInput): Check[] {
  return [
    names(input),
    ids(input),
    podCidrs(input),
    serviceCidrs(input),
    clock(input),
    tls(input),
    reachable(input),
    mtu(input),
    maxClusters(input),
    versions(input),
  ]
}

function names({ own, peer }: PreflightInput): Check {
  const { name } = peer.cluster
  for (const each of [own.name, name]) {
    if (!isClusterName(each) || each === 'default') {
      return problem(
        'names',
        `"${each}" cannot be the name of a cluster in a mesh`,
        'choose 1-32 of a-z, 0-9 and - (clusterName)',
      )
    }
  }
  if (own.name === name) {
    return problem(
      'names',
      `both clusters are called ${name}`,
      'give one of them another name (clusterName) and export again',
    )
  }
  if (peer.audience !== undefined && peer.audience !== own.name) {
    return problem(
      'names',
      `the join file is for ${peer.audience}, this is ${own.name}`,
      `export one with --for ${own.name}`,
    )
  }
  return ok('names', `${own.name} and ${name}`)
}

function ids({ own, peer, others }: PreflightInput): Check {
  const { name, id } = peer.cluster
  const change = `give one of them another id (clusterId, 1-${own.maxConnectedClusters}) and restart its agents`
  for (const [whose, each] of [
    [own.name, own.id],
    [name, id],
  ] as const) {
    if (each < 1 || each > own.maxConnectedClusters) {
      return problem(
        'ids',
        `${whose} has id ${each}; allowed are 1-${own.maxConnectedClusters}`,
        'change clusterId there',
      )
    }
  }
  if (own.id === id) return problem('ids', `${own.name} and ${name} both have id ${id}`, change)
  const taken = others.find((other) => other.name !== name && other.id === id)
  if (taken !== undefined)
    return problem('ids', `id ${id} of ${name} is taken by ${taken.name}, which is connected`, change)
  const unknown = others.filter((other) => other.name !== name && other.id === undefined)
  if (unknown.length > 0) {
    return warning(
      'ids',
      `${own.id} and ${id}; not known of ${list(unknown)}`,
      'compare by hand, or run it beside the agent',
    )
  }
  return ok('ids', `${own.name} has ${own.id}, ${name} has ${id}`)
}

const podCidrs = (input: PreflightInput): Check => disjoint('pod-cidrs', 'pod', 'podCidrs', input)
const serviceCidrs = (input: PreflightInput): Check => disjoint('service-cidrs', 'service', 'serviceCidrs', input)

/** The peer's prefixes of one kind against all prefixes, of both kinds, of everybody else: an address means one thing. */
function disjoint(
  check: 'pod-cidrs' | 'service-cidrs',
  kind: 'pod' | 'service',
  field: 'podCidrs' | 'serviceCidrs',
  { own, peer, others }: PreflightInput,
): Check {
  const mine = peer[field]
  const name = peer.cluster.name
  const known = [own, ...others.filter((other) => other.name !== name)]
  for (const other of known) {
    for (const theirs of ['podCidrs', 'serviceCidrs'] as const) {
      const clash = firstOverlap(mine, other[theirs] ?? [])
      if (clash !== undefined) {
        const what = theirs === 'podCidrs' ? 'pod' : 'service'
        return problem(
          check,
          `${kind} CIDR ${clash[0]} of ${name} overlaps ${what} CIDR ${clash[1]} of ${other.name}`,
          'renumber one of the two clusters: their addresses could not be told apart',
        )
      }
    }
  }
  if (mine.length === 0) {
    return warning(
      check,
      `${name} names no ${kind} CIDRs`,
      `export with --${kind}-cidr there, so that they can be compared`,
    )
  }
  const unknown = known.filter((other) => other[field] === undefined || other[field].length === 0)
  if (unknown.length > 0) {
    return warning(
      check,
      `${mine.join(', ')}: compared with what is known; not known are the ${kind} CIDRs of ${list(unknown)}`,
      unknown.includes(own) ? `say --${kind}-cidr` : 'compare by hand, or connect it from a join file',
    )
  }
  return ok(check, `${mine.join(', ')} of ${name}: no overlap with ${list(known)}`)
}

function firstOverlap(some: readonly string[], others: readonly string[]): [string, string] | undefined {
  for (const a of parsed(some)) {
    for (const b of parsed(others)) if (overlap(a, b)) return [formatCidr(a), formatCidr(b)]
  }
  return undefined
}

function parsed(texts: readonly string[]): Cidr[] {
  return texts.map(parseCidr).filter((cidr) => cidr !== undefined)
}

export function overlap(a: Cidr, b: Cidr): boolean {
  return a.bits <= b.bits ? cidrContains(a, b.address) : cidrContains(b, a.address)
}

function mtu({ own, peer }: PreflightInput): Check {
  if (own.mtu === undefined || peer.mtu === undefined) {
    const who = own.mtu === undefined ? own.name : peer.cluster.name
    return warning('mtu', `not known of ${who}`, 'say --mtu, the least one on the way between nodes')
  }
  if (own.mtu === peer.mtu) return ok('mtu', `${own.mtu} on both sides`)
  return warning(
    'mtu',
    `${own.mtu} in ${own.name}, ${peer.mtu} in ${peer.cluster.name}`,
    `let ICMP "fragmentation needed" pass between the clusters, or set both to ${Math.min(own.mtu, peer.mtu)}`,
  )
}

function maxClusters({ own, peer }: PreflightInput): Check {
  const [mine, theirs] = [own.maxConnectedClusters, peer.maxConnectedClusters]
  if (mine === theirs) return ok('max-clusters', `${mine} on both sides`)
  return problem(
    'max-clusters',
    `${mine} in ${own.name}, ${theirs} in ${peer.cluster.name}: identities would be read differently`,
    `set maxConnectedClusters to ${mine} in ${peer.cluster.name}; that renumbers its identities`,
  )
}

function list(clusters: readonly ClusterFacts[]): string {
  return clusters.map(({ name }) => name).join(', ')
}
