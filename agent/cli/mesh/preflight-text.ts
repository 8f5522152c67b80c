import type { Check, Verdict } from '../../peering/check.ts'

export interface PreflightReport {
  readonly cluster: { readonly name: string; readonly id: number }
  /** SHA-256 of the CA certificate that signed. */
  readonly signer: string
  readonly refused: boolean
  readonly checks: readonly Check[]
}

const SIGNS: Readonly<Record<Verdict, string>> = { ok: '✅', warning: '⚠️ ', problem: '❌' }

const TITLES: Readonly<Record<Check['check'], string>> = {
  names: 'Names',
  ids: 'Cluster ids',
  'pod-cidrs': 'Pod CIDRs',
  'service-cidrs': 'Service CIDRs',
  clock: 'Clocks',
  tls: 'TLS',
  reachable: 'Endpoints reachable',
  mtu: 'MTU',
  'max-clusters': 'maxConnectedClusters',
  versions: 'Versions',
}

/** One line for each check; below those that are not ok, what to do. */
export function renderPreflight(report: PreflightReport): string {
  const lines = [`Preflight for cluster "${report.cluster.name}" (CA ${report.signer}):`]
  for (const { check, verdict, message, next } of report.checks) {
    lines.push(`${SIGNS[verdict]} ${TITLES[check]}: ${message}`)
    if (next !== undefined) lines.push(`   💡 ${next}`)
  }
  return lines.map((line) => `${line}\n`).join('')
}
