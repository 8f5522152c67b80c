import { join } from 'node:path'
import type { Certificate } from './certificate.ts'
import { parseCertificates } from './certificate.ts'
import { reissueCertificate } from './issue.ts'
import { readCas, readDirectory, readSigner, readText, writePair, CA_CERTIFICATE } from './store.ts'
import { issuerOf, renewalDue, renewalTime } from './validity.ts'

export interface RenewalResult {
  readonly file: string
  /** Undefined: it stays as it is. */
  readonly renewed: Certificate | undefined
  /** `ok until …`, `two thirds of its life were over`, … */
  readonly reason: string
  /** Somebody has to do something that renewal cannot. */
  readonly attention: boolean
}

/**
 * Issues anew what is due, and what an older CA of the bundle signed; the rest stays, so that it may run as often as one likes.
 * A certificate of somebody else's CA is not ours to renew.
 *
 * @throws PkiError when the CA cannot be read or used
 */
export async function renewDirectory(directory: string, now: Date): Promise<readonly RenewalResult[]> {
  const ca = await readSigner(directory)
  const cas = await readCas(directory)
  const results: RenewalResult[] = []
  for (const { file, certificate: old } of await readDirectory(directory, now)) {
    const stays = (reason: string, attention = false): void =>
      void results.push({ file, renewed: undefined, reason, attention })
    if (file === CA_CERTIFICATE) {
      if (old.fingerprint !== ca.certificate.fingerprint) stays(`${old.subject}: trusted beside the own CA`)
      else if (!renewalDue(old, now)) stays(`${old.subject}: ok until ${renewalTime(old).toISOString()}`)
      else stays(`${old.subject}: ends at ${old.notAfter.toISOString()}; replace it by a new CA`, true)
      continue
    }
    const oldIssuer = issuerOf(old, cas)
    if (oldIssuer === undefined) {
      stays('not signed by this CA', true)
      continue
    }
    const moved = oldIssuer.fingerprint !== ca.certificate.fingerprint
    const due = renewalDue(old, now) && old.notAfter < oldIssuer.notAfter
    const cutShort = renewalDue(old, now) && !due
    // What ends with its CA gains nothing by being renewed: only a new CA helps.
    if (!moved && cutShort) stays('ends together with its CA', true)
    else if (!moved && !due) stays(`ok until ${renewalTime(old).toISOString()}`)
    else {
      const name = file.replace(/\.crt$/, '')
      await writePair(directory, name, await reissueCertificate({ ca, old, oldIssuer, now }))
      const path = join(directory, file)
      const [renewed] = parseCertificates(await readText(path), path)
      const reason = moved ? `an older CA had signed it (${oldIssuer.subject})` : 'two thirds of its life were over'
      results.push({ file, renewed, reason, attention: false })
    }
  }
  return results
}
