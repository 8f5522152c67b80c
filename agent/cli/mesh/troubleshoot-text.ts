import type { ClusterFindings } from '../../peering/troubleshoot.ts'
import type { Certificate } from '../../pki/certificate.ts'
import type { Finding, Mark } from './findings.ts'
import { certificateFindings, endpointFindings, etcdFindings, exporterFindings } from './findings.ts'

/** `-o json` of one cluster. */
export interface TroubleshootReport {
  readonly cluster: string
  readonly path?: string
  readonly local: boolean
  readonly ok: boolean
  readonly problems: readonly FindingReport[]
  readonly endpoints: readonly { readonly endpoint: string; readonly findings: readonly FindingReport[] }[]
  readonly certificates: readonly FindingReport[]
  readonly etcd: readonly FindingReport[]
  readonly exporter: readonly FindingReport[]
}

export interface FindingReport {
  readonly verdict: Mark
  readonly text: string
  readonly next?: string
  readonly certificates?: readonly {
    readonly serialNumber: string
    readonly subject: string
    readonly issuer: string
    readonly names: readonly string[]
    readonly notBefore: string
    readonly notAfter: string
    readonly fingerprint: string
  }[]
}

export function troubleshootReport(found: ClusterFindings): TroubleshootReport {
  const problems = clusterFindings(found)
  const looked = problems.length === 0 && !found.local
  const report = {
    problems: problems.map(findingReport),
    endpoints: found.endpoints.map((probe) => ({
      endpoint: probe.endpoint,
      findings: endpointFindings(probe).map(findingReport),
    })),
    certificates: looked ? certificateFindings(found).map(findingReport) : [],
    etcd: etcdFindings(found).map(findingReport),
    exporter: exporterFindings(found).map(findingReport),
  }
  const all = [
    report.problems,
    report.certificates,
    report.etcd,
    report.exporter,
    ...report.endpoints.map((each) => each.findings),
  ].flat()
  return {
    cluster: found.name,
    ...(found.path === undefined ? {} : { path: found.path }),
    local: found.local,
    ok: all.every(({ verdict }) => verdict !== 'error'),
    ...report,
  }
}

/** What keeps us from looking at all. */
function clusterFindings(found: ClusterFindings): Finding[] {
  if (!found.validName) {
    const next = 'a cluster is named by 1-32 of a-z, 0-9 and -: rename or remove the file'
    return [{ mark: 'error', text: `Invalid cluster name: "${found.name}"`, next }]
  }
  if (found.path === undefined) {
    const next = 'connect it with "weft clustermesh connect", or correct the name'
    return [{ mark: 'error', text: 'Configuration not found', next }]
  }
  if (found.configError === undefined) return []
  return [{ mark: 'error', text: `Configuration cannot be used: ${found.configError}`, next: 'correct the file' }]
}

function findingReport({ mark, text, next, certificates }: Finding): FindingReport {
  return {
    verdict: mark,
    text,
    ...(next === undefined ? {} : { next }),
    ...(certificates === undefined ? {} : { certificates: certificates.map(certificateReport) }),
  }
}

function certificateReport(each: Certificate): NonNullable<FindingReport['certificates']>[number] {
  return {
    serialNumber: each.serial,
    subject: each.subject,
    issuer: each.issuer,
    names: [...each.dns, ...each.ips],
    notBefore: each.notBefore.toISOString(),
    notAfter: each.notAfter.toISOString(),
    fingerprint: each.fingerprint,
  }
}

const SIGNS: Readonly<Record<Mark, string>> = { ok: '✅', info: 'ℹ️ ', warning: '⚠️ ', error: '❌' }

/** The four sections of `cilium-dbg troubleshoot clustermesh` for each cluster, then what the exporter says about itself. */
export function renderTroubleshoot(reports: readonly TroubleshootReport[]): string {
  const lines = [`Found ${reports.filter(({ path }) => path !== undefined).length} cluster configurations`]
  for (const report of reports) lines.push('', `Cluster "${report.cluster}":`, ...clusterLines(report))
  return lines.map((line) => `${line}\n`).join('')
}

function clusterLines(report: TroubleshootReport): string[] {
  const path = report.path === undefined ? [] : [`📄 Configuration path: ${report.path}`]
  if (report.problems.length > 0) return [...path, ...report.problems.flatMap((finding) => findingLines(finding, ''))]
  if (report.local) return [...path, `${SIGNS.info} This entry corresponds to the local cluster`]
  const lines = [...path, '', '🔌 Endpoints:']
  for (const { endpoint, findings } of report.endpoints) {
    lines.push(`   - ${endpoint}`, ...findings.flatMap((finding) => findingLines(finding, '     ')))
  }
  lines.push('', '🔑 Digital certificates:', ...report.certificates.flatMap((finding) => findingLines(finding, '   ')))
  lines.push('', '⚙️ Etcd client:', ...report.etcd.flatMap((finding) => findingLines(finding, '   ')))
  if (report.exporter.length > 0) {
    lines.push('', '📡 Exporter:', ...report.exporter.flatMap((finding) => findingLines(finding, '   ')))
  }
  return lines
}

function findingLines({ verdict, text, next, certificates }: FindingReport, indent: string): string[] {
  return [
    `${indent}${SIGNS[verdict]} ${text}`,
    ...(certificates ?? []).flatMap((each) => certificateLines(each).map((line) => `${indent}   ${line}`)),
    ...(next === undefined ? [] : [`${indent}   💡 ${next}`]),
  ]
}

function certificateLines(each: NonNullable<FindingReport['certificates']>[number]): string[] {
  return [
    `- Serial number:       ${each.serialNumber}`,
    `  Subject:             ${each.subject}`,
    `  Issuer:              ${each.issuer}`,
    ...(each.names.length === 0 ? [] : [`  Names:               ${each.names.join(', ')}`]),
    '  Validity:',
    `    Not before:  ${goTime(each.notBefore)}`,
    `    Not after:   ${goTime(each.notAfter)}`,
  ]
}

/** `2026-11-01 08:00:00 +0000 UTC` */
function goTime(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)} +0000 UTC`
}
