import type { Cidr } from '../types/address.ts'
import { cidrContains, formatCidr, parseCidr } from '../types/address.ts'
import { isClusterName } from '../types/wire/keys.ts'
import { parseCertificates } from '../pki/certificate.ts'
import { verifyChain } from '../pki/validity.ts'
import type { JoinFacts } from './join-file.ts'
import type { EndpointProbe } from './probe.ts'

/** `problem` refuses the join; `warning` is for what cannot be known, or works with a drawback. */
export type Verdict = 'ok' | 'warning' | 'problem'

export interface Check {
  readonly check:
    | 'names'
    | 'ids'
    | 'pod-cidrs'
    | 'service-cidrs'
    | 'clock'
    | 'tls'
    | 'reachable'
    | 'mtu'
    | 'max-clusters'
    | 'versions'
  readonly verdict: Verdict
  readonly message: string
  /** What to do; with every verdict but ok. */
  readonly next?: string
}

/** What is compared of a cluster. Undefined: nobody knows. */
export interface ClusterFacts {
  readonly name: string
  readonly id: number | undefined
  readonly podCidrs: readonly string[] | undefined
  readonly serviceCidrs: readonly string[] | undefined
}

/** The cluster that connects. */
export interface OwnFacts extends ClusterFacts {
  readonly id: number
  readonly maxConnectedClusters: number
  readonly mtu: number | undefined
  readonly version: string
}

export interface PreflightInput {
  readonly own: OwnFacts
  readonly peer: JoinFacts
  /** Clusters that are connected already; an entry with the peer's name is the peer's own older self. */
  readonly others: readonly ClusterFacts[]
  /** One for each endpoint of the peer. */
  readonly probes: readonly EndpointProbe[]
  readonly now: Date
}

const SKEW_WARNING_MS = 5000
const SKEW_PROBLEM_MS = 60_000

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
  ].concat([mtu(input), maxClusters(input), versions(input)])
}

export function refused(checks: readonly Check[]): boolean {
  return checks.some(({ verdict }) => verdict === 'problem')
}

const ok = (check: Check['check'], message: string): Check => ({ check, verdict: 'ok', message })
const warning = (check: Check['check'], message: string, next: string): Check => ({
  check,
  verdict: 'warning',
  message,
  next,
})
const problem = (check: Check['check'], message: string, next: string): Check => ({
  check,
  verdict: 'problem',
  message,
  next,
})

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

function clock({ peer, probes, now }: PreflightInput): Check {
  const skews = probes.map((probe) => probe.skewMs).filter((skew) => skew !== undefined)
  const sync = 'set both clocks by NTP: certificates, heartbeats and leases are judged by them'
  const created = Date.parse(peer.createdAt) - now.getTime()
  const worst = skews.length === 0 ? Math.max(0, created) : skews.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a))
  if (Math.abs(worst) > SKEW_PROBLEM_MS) return problem('clock', `${peer.cluster.name} is ${inWords(worst)}`, sync)
  if (skews.length === 0) {
    return warning('clock', `the time at ${peer.cluster.name} is not known`, 'see "reachable"; its etcd tells the time')
  }
  if (Math.abs(worst) > SKEW_WARNING_MS) return warning('clock', `${peer.cluster.name} is ${inWords(worst)}`, sync)
  return ok('clock', `less than ${SKEW_WARNING_MS / 1000} s apart`)
}

function inWords(skewMs: number): string {
  return `${Math.round(Math.abs(skewMs) / 1000)} s ${skewMs > 0 ? 'ahead' : 'behind'}`
}

function tls({ peer, probes, now }: PreflightInput): Check {
  const secure = peer.endpoints.some((endpoint) => endpoint.startsWith('https:'))
  const authorities = peer.caCertificates.flatMap((pem) => parseCertificates(pem, 'the join file'))
  if (!secure) {
    return warning('tls', 'the connection is not encrypted', 'let the etcd serve TLS, and export https:// endpoints')
  }
  const reissue = `issue it anew in ${peer.cluster.name}, and export again`
  if (peer.client !== undefined) {
    const chain = parseCertificates(peer.client.certificate, 'the join file')
    const { state, text } = verifyChain(chain, authorities, now)
    if (state !== 'ok' && state !== 'expires-soon') {
      return problem('tls', `client certificate "${chain[0].subject}": ${text}`, reissue)
    }
  }
  const failed = probes.find((probe) => probe.tls?.error !== undefined)
  if (failed?.tls?.error !== undefined) {
    return problem(
      'tls',
      `${failed.endpoint}: ${failed.tls.error}`,
      `"weft troubleshoot clustermesh" shows the chain; ${reissue}`,
    )
  }
  const rejected = probes.find((probe) => probe.version?.error !== undefined)
  if (rejected?.version?.error !== undefined) {
    const missing = peer.client === undefined ? 'no client certificate is in the file: ' : ''
    return problem('tls', `${rejected.endpoint}: ${missing}${rejected.version.error}`, reissue)
  }
  return ok('tls', `signed by ${authorities.map(({ subject }) => `"${subject}"`).join(' or ')}`)
}

function reachable({ probes }: PreflightInput): Check {
  const reached = probes.filter((probe) => probe.tcp?.error === undefined && probe.tcp !== undefined)
  const failed = probes.filter((probe) => !reached.includes(probe))
  const why = failed
    .map((probe) => `${probe.endpoint}: ${probe.dnsError ?? probe.tcp?.error ?? 'not tried'}`)
    .join('; ')
  const next =
    'open the port between the clusters (firewall, Service type, node port), or correct the address and export again'
  if (reached.length === 0) return problem('reachable', why, next)
  if (failed.length > 0) return warning('reachable', why, next)
  return ok('reachable', reached.map((probe) => probe.endpoint).join(', '))
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

function versions({ own, peer, probes }: PreflightInput): Check {
  const major = (version: string): string => version.split('.')[0]!
  if (major(own.version) !== major(peer.version)) {
    return problem(
      'versions',
      `weft ${own.version} here, ${peer.version} in ${peer.cluster.name}`,
      'bring both to one major version',
    )
  }
  const old = probes.find(
    (probe) => probe.version?.etcd !== undefined && !/^(3\.([4-9]|\d\d)\.|[4-9]\.)/.test(probe.version.etcd),
  )
  if (old?.version?.etcd !== undefined) {
    return problem('versions', `${old.endpoint} is an etcd ${old.version.etcd}`, 'etcd 3.4 is the oldest that works')
  }
  const etcd = probes.find((probe) => probe.version?.etcd !== undefined)?.version?.etcd
  return ok('versions', `weft ${own.version} and ${peer.version}${etcd === undefined ? '' : `, etcd ${etcd}`}`)
}

function list(clusters: readonly ClusterFacts[]): string {
  return clusters.map(({ name }) => name).join(', ')
}
