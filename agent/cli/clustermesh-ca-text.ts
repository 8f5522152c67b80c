import { formatColumns, formatTable } from './table.ts'

export interface CertificateReport {
  readonly file: string
  readonly subject: string
  readonly issuer: string
  readonly serial: string
  readonly notBefore: string
  readonly notAfter: string
  /** When `ca renew` issues it anew. */
  readonly renewal: string
  readonly dns: readonly string[]
  readonly ips: readonly string[]
  readonly ca: boolean
  readonly state: string
  readonly verdict: string
}

export interface RenewalReport {
  readonly file: string
  readonly renewed: boolean
  /** Only if it was renewed. */
  readonly notAfter?: string
  readonly reason: string
  readonly attention: boolean
}

/** One block for each certificate; the verdict first, because that is what people look for. */
export function renderCertificates(reports: readonly CertificateReport[]): string {
  return reports
    .map((each) => {
      const names = [...each.dns.map((name) => `DNS:${name}`), ...each.ips.map((ip) => `IP:${ip}`)]
      const rows = [
        ['Subject:', each.subject],
        ['Issuer:', each.issuer],
        ['Serial:', each.serial],
        ['Valid:', `${each.notBefore} to ${each.notAfter}`],
        ...(each.ca ? [] : [['Renewal:', `from ${each.renewal}`]]),
        ...(names.length === 0 ? [] : [['Names:', names]]),
      ]
      return `${each.file}: ${each.verdict}\n${formatColumns(rows, { indent: 2 })}`
    })
    .join('')
}

export function renderRenewals(reports: readonly RenewalReport[]): string {
  return formatTable(
    ['File', 'Renewed', 'Until', 'Reason'],
    reports.map(({ file, renewed, notAfter, reason, attention }) => [
      file,
      renewed ? 'yes' : 'no',
      notAfter ?? '-',
      attention ? `${reason} (needs attention)` : reason,
    ]),
  )
}
