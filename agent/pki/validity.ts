import type { Certificate } from './certificate.ts'

/** Whoever can renew does so at this part of a certificate's life … */
const RENEW_AT = 2 / 3
/** … so that at this one something must be wrong with the renewal, and a third of the time to put it right has passed. */
const WARN_AT = 5 / 6

const DAY_MS = 86_400_000

export type VerdictState = 'ok' | 'expires-soon' | 'expired' | 'not-yet-valid' | 'not-signed'

export interface Verdict {
  readonly state: VerdictState
  /** `ok`, `expires in 12d`, `expired 3h ago`, `not signed by this CA`, … */
  readonly text: string
}

type Life = Pick<Certificate, 'notBefore' | 'notAfter'>

/** When a certificate is to be renewed: after two thirds of its life. */
export function renewalTime(life: Life): Date {
  return at(life, RENEW_AT)
}

export function renewalDue(life: Life, now: Date): boolean {
  return now >= renewalTime(life)
}

/** From when on a certificate that was not renewed is worth a warning: five sixths of its life. */
export function warningTime(life: Life): Date {
  return at(life, WARN_AT)
}

/** What the dates alone say. */
export function validity(life: Life, now: Date): Verdict {
  const left = life.notAfter.getTime() - now.getTime()
  if (now < life.notBefore) {
    return { state: 'not-yet-valid', text: `not valid for another ${span(life.notBefore.getTime() - now.getTime())}` }
  }
  if (left <= 0) return { state: 'expired', text: `expired ${span(-left)} ago` }
  if (now >= warningTime(life)) return { state: 'expires-soon', text: `expires in ${span(left)}` }
  return { state: 'ok', text: 'ok' }
}

/** The one of `cas` that signed `certificate`, whatever the dates say. */
export function issuerOf(certificate: Certificate, cas: readonly Certificate[]): Certificate | undefined {
  return cas.find((ca) => ca.ca && certificate.x509.checkIssued(ca.x509) && certificate.x509.verify(ca.x509.publicKey))
}

/**
 * Whether somebody who trusts `cas` accepts `chain` (leaf first, then intermediates) at `now`. The worst of its links
 * counts, the nearest end first.
 */
export function verifyChain(
  chain: readonly [Certificate, ...Certificate[]],
  cas: readonly Certificate[],
  now: Date,
): Verdict {
  const links: Certificate[] = [chain[0]]
  for (const issuer of chain.slice(1)) {
    if (issuerOf(links[0]!, [issuer]) !== undefined) links.unshift(issuer)
  }
  const root = issuerOf(links[0]!, cas)
  if (root === undefined) return { state: 'not-signed', text: 'not signed by this CA' }
  const verdicts = [root, ...links].map((link) => validity(link, now))
  const broken = verdicts.find(({ state }) => state === 'expired' || state === 'not-yet-valid')
  if (broken !== undefined) {
    return broken === verdicts[0] ? { state: broken.state, text: `its CA: ${broken.text}` } : broken
  }
  return verdicts.at(-1)!
}

/** `2d`, `5h`, `3m`: for people, rounded down. */
export function span(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.floor(ms / DAY_MS)}d`
  if (ms >= 2 * 3_600_000) return `${Math.floor(ms / 3_600_000)}h`
  return ms >= 120_000 ? `${Math.floor(ms / 60_000)}m` : `${Math.max(0, Math.floor(ms / 1000))}s`
}

function at({ notBefore, notAfter }: Life, part: number): Date {
  return new Date(notBefore.getTime() + (notAfter.getTime() - notBefore.getTime()) * part)
}
