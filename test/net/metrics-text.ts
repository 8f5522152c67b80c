import { execFileSync } from 'node:child_process'

/** Values of one scrape by series, written `name{label="value"}`. */
export type Scrape = ReadonlyMap<string, number>

export function parseMetrics(text: string): Scrape {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const [, series, value] = /^(.*) (\S+)$/.exec(line) ?? []
      const number = Number(value)
      // No number is a value too, in any case of letters: a mean of nothing yet.
      if (series === undefined || (Number.isNaN(number) && !/^nan$/i.test(value ?? '')))
        throw new Error(`no sample: ${line}`)
      return [series, number]
    }),
  )
}

export async function scrape(address: string): Promise<Scrape> {
  const answer = await fetch(`http://${address}/metrics`)
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`)
  return parseMetrics(await answer.text())
}

/** Names of metrics of our own. */
export function ownNames(values: Scrape): Set<string> {
  const names = [...values.keys()].map((series) => series.replace(/\{.*/, ''))
  return new Set(names.filter((name) => name.startsWith('weft_')))
}

/** Ends of certificates by role, of one cluster's etcd. */
export function certificates(values: Scrape, cluster: string): Record<string, number> {
  const ends: Record<string, number> = {}
  for (const [series, value] of values) {
    const [, of, role] = /^weft_tls_certificate_not_after_seconds\{cluster="(.*?)",role="(.*?)"/.exec(series) ?? []
    if (of === cluster && role !== undefined) ends[role] = value
  }
  return ends
}

/** When a certificate ends, as OpenSSL reads it, in seconds since the epoch. */
export function opensslEnd(file: string): number {
  const end = execFileSync('openssl', ['x509', '-in', file, '-noout', '-enddate'], { encoding: 'utf8' })
  return Date.parse(end.replace('notAfter=', '')) / 1000
}
