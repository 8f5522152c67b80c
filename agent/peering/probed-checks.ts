import { parseCertificates } from '../pki/certificate.ts'
import { verifyChain } from '../pki/validity.ts'
import type { Check, PreflightInput } from './check.ts'
import { ok, problem, warning } from './check.ts'

/* What is known of a cluster once its endpoints have been asked. */

const SKEW_WARNING_MS = 5000
const SKEW_PROBLEM_MS = 60_000

export function clock({ peer, probes, now }: PreflightInput): Check {
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

export function tls({ peer, probes, now }: PreflightInput): Check {
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

export function reachable({ probes }: PreflightInput): Check {
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

export function versions({ own, peer, probes }: PreflightInput): Check {
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
