import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '../lib/clock.ts'
import { describeError, hintOf } from '../lib/errors.ts'
import type { Problem } from '../types/problem.ts'
import type { Certificate } from './certificate.ts'
import { ownsKey, parseCertificates } from './certificate.ts'
import { PkiError } from './errors.ts'
import { shownCertificate } from './server-certificate.ts'
import type { Verdict, VerdictState } from './validity.ts'
import { validity, verifyChain } from './validity.ts'

/** Files of a TLS client, as an etcd client configuration names them. */
export interface CredentialFiles {
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
}

/** Undefined where nothing is encrypted, or all is left to the system. */
export function credentialFiles(
  endpoint: CredentialFiles & { readonly endpoints: readonly string[] },
): CredentialFiles | undefined {
  const { endpoints, caFile, certFile, keyFile } = endpoint
  if (!endpoints.some((url) => url.startsWith('https://'))) return undefined
  return (caFile ?? certFile ?? keyFile) === undefined ? undefined : { caFile, certFile, keyFile }
}

export interface Credentials {
  /** Changes when another certificate or another set of CAs is in use. */
  readonly version: string
  readonly cas: readonly Certificate[]
  /** The client's, leaf first. */
  readonly chain: readonly Certificate[]
}

/** How one certificate stands, for status reports. */
export interface CredentialReport {
  /** `server` is what the other side shows. */
  readonly role: 'ca' | 'client' | 'server'
  readonly subject: string
  readonly notAfter: Date
  readonly state: VerdictState
  readonly verdict: string
}

/**
 * Reads all files at once; `undefined` CAs mean those of the system.
 *
 * @throws PkiError when one cannot be read, or when key and certificate do not belong together (as between the two renames of
 * a renewal)
 */
export async function readCredentials(files: CredentialFiles): Promise<Credentials> {
  const { caFile, certFile, keyFile } = files
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map(readOptional))
  const cas = ca === undefined ? [] : parseCertificates(ca, caFile!)
  const chain = cert === undefined ? [] : parseCertificates(cert, certFile!)
  if ((cert === undefined) !== (key === undefined)) {
    throw new PkiError('pki-key-mismatch', 'cert-file and key-file go together: one of them is missing')
  }
  if (chain[0] !== undefined && key !== undefined && !ownsKey(chain[0], key, keyFile!)) {
    throw new PkiError('pki-key-mismatch', `${keyFile} is not the key of ${certFile}`, {
      hint: 'write both anew together; the last pair that fitted stays in use until then',
    })
  }
  const hash = createHash('sha256')
  for (const name of [...cas.map(({ fingerprint }) => fingerprint).sort(), '/']) hash.update(name)
  for (const { fingerprint } of chain) hash.update(fingerprint)
  return { version: hash.digest('hex'), cas, chain }
}

export function reportCredentials(
  { cas, chain }: Credentials,
  now: Date,
  server: Certificate | undefined = undefined,
): CredentialReport[] {
  const report = (
    role: CredentialReport['role'],
    { subject, notAfter }: Certificate,
    verdict: Verdict,
  ): CredentialReport => ({ ...{ role, subject, notAfter }, state: verdict.state, verdict: verdict.text })
  const leaf = chain[0]
  return [
    // The peer may be of another CA: who signed ours is for the peer to judge.
    ...(leaf === undefined ? [] : [report('client', leaf, validity(leaf, now))]),
    ...cas.map((ca) => report('ca', ca, verifyChain([ca], cas, now))),
    // Whether we trust it is decided by the connection itself, and told there.
    ...(server === undefined ? [] : [report('server', server, validity(server, now))]),
  ]
}

/** What a person should do about credentials of `who`. A CA that ended beside one that did not is only left over. */
export function credentialProblems(
  who: string,
  files: CredentialFiles,
  reports: readonly CredentialReport[],
): Problem[] {
  const cas = reports.filter(({ role }) => role === 'ca')
  const worst = cas.some(({ state }) => state === 'ok') ? [] : cas.slice(0, 1)
  return [...reports.filter(({ role }) => role !== 'ca'), ...worst].flatMap(({ role, subject, state, verdict }) => {
    const { what, hint } = concerns(role, who, subject, files)
    if (state === 'expires-soon')
      return [{ code: 'mesh-certificate-expires-soon', message: `${what} ${verdict}`, hint }]
    if (state === 'expired') return [{ code: 'mesh-certificate-expired', message: `${what} ${verdict}`, hint }]
    if (state !== 'not-yet-valid') return []
    return [{ code: 'mesh-certificate-not-yet-valid', message: `${what} is ${verdict}`, hint: 'compare the clocks' }]
  })
}

function concerns(
  role: CredentialReport['role'],
  who: string,
  subject: string,
  { caFile, certFile }: CredentialFiles,
): { what: string; hint: string } {
  if (role === 'ca') {
    const hint =
      'make a new CA, trust both (weft clustermesh ca trust), then issue anew; the file is read again by itself'
    return { what: `the CA trusted for ${who} (${subject}, ${caFile})`, hint }
  }
  if (role === 'client') {
    const hint =
      'where the CA is: weft clustermesh ca renew, and copy the files here; they are read again by themselves'
    return { what: `the client certificate for ${who} (${subject}, ${certFile})`, hint }
  }
  const hint = 'where its CA is: weft clustermesh ca renew, and copy the files to its etcd, which reads them by itself'
  return { what: `the server certificate of ${who} (${subject})`, hint }
}

/** How often the files are looked at. A look that finds the same file identities reads nothing. */
export const LOOK_MS = 5000
/** How often servers are asked for their certificates, and again where one has not answered. */
const ASK_MS = 3_600_000
const ASK_AGAIN_MS = 60_000
const ASK_TIMEOUT_MS = 5000

export interface CredentialWatchOptions {
  readonly who: string
  readonly files: CredentialFiles
  /** Whose certificates are reported, too: of several, the one that ends first. */
  readonly servers?: readonly string[] | undefined
  readonly clock: Clock
  /** Default `LOOK_MS`. */
  readonly lookMs?: number | undefined
  /** After each look that changed reports or problems. */
  readonly onReport: (reports: readonly CredentialReport[], problems: readonly Problem[]) => void
  /** Other credentials are in place, complete and valid; not called for the first ones. */
  readonly onRotated: () => void
}

/**
 * Follows the files of a TLS client: what they hold, when it ends, and when they were replaced. Files that are touched, or
 * rewritten with the same content, are no change; half-written ones are a problem only when they stay so for a second look.
 */
export class CredentialWatch {
  readonly #options: CredentialWatchOptions
  #current: Credentials | undefined
  #identities = ''
  #failures = 0
  #reported = ''
  #server: Certificate | undefined
  #nextAsk = -Infinity
  #asking: Promise<void> | undefined
  #cancel: () => void = () => undefined
  #looking: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(options: CredentialWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#looking = this.#look()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await Promise.all([this.#looking, this.#asking])
  }

  async #look(): Promise<void> {
    const { who, files, clock } = this.#options
    let failure: Problem | undefined
    try {
      const identities = await identitiesOf(files)
      if (identities !== this.#identities || this.#failures > 0) {
        this.#adopt(await readCredentials(files))
        this.#identities = identities
      }
      this.#failures = 0
    } catch (error) {
      if (++this.#failures > 1 || this.#current === undefined) {
        const hint = hintOf(error) ?? 'correct the files; they are read again by themselves'
        failure = {
          code: 'mesh-certificate-unusable',
          message: `credentials for ${who}: ${describeError(error)}`,
          hint,
        }
      }
    }
    if (this.#stopped) return
    const reports = this.#current === undefined ? [] : reportCredentials(this.#current, clock.date(), this.#server)
    this.#publish(reports, [...(failure === undefined ? [] : [failure]), ...credentialProblems(who, files, reports)])
    this.#cancel = clock.after(this.#options.lookMs ?? LOOK_MS, () => {
      this.#looking = this.#look()
    })
    if (this.#current !== undefined && clock.now() >= this.#nextAsk) this.#asking ??= this.#ask()
  }

  /** Beside the looks at files, which a server that does not answer must not hold up. The next look tells what was found. */
  async #ask(): Promise<void> {
    const { servers = [], files, clock } = this.#options
    const { certFile, keyFile } = files
    const asked = servers.filter((each) => each.startsWith('https://'))
    const answers = await Promise.allSettled(
      asked.map((endpoint) => shownCertificate({ endpoint, certFile, keyFile, timeoutMs: ASK_TIMEOUT_MS })),
    )
    const shown = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    // Who does not answer now has not lost its certificate.
    const [first] = shown.sort((a, b) => a.notAfter.getTime() - b.notAfter.getTime())
    if (first !== undefined) this.#server = first
    this.#nextAsk = clock.now() + (shown.length === asked.length ? ASK_MS : ASK_AGAIN_MS)
    this.#asking = undefined
  }

  #adopt(found: Credentials): void {
    const before = this.#current
    this.#current = found
    if (before === undefined || before.version === found.version) return
    // Both ends are often renewed together.
    this.#nextAsk = -Infinity
    // Nobody gains from a new connection with a certificate that no peer accepts.
    const usable = found.chain.every((each) => validity(each, this.#options.clock.date()).state !== 'expired')
    if (usable) this.#options.onRotated()
  }

  #publish(reports: readonly CredentialReport[], problems: readonly Problem[]): void {
    const text = JSON.stringify([reports, problems])
    if (text === this.#reported) return
    this.#reported = text
    this.#options.onReport(reports, problems)
  }
}

/** Changes when one of the files is replaced or written: a link is followed, as secrets are swapped by links. */
async function identitiesOf({ caFile, certFile, keyFile }: CredentialFiles): Promise<string> {
  const parts = await Promise.all(
    [caFile, certFile, keyFile].map(async (path) => {
      if (path === undefined) return '-'
      const { ino, dev, size, mtimeMs, ctimeMs } = await stat(path).catch(cannotRead(path))
      return [ino, dev, size, mtimeMs, ctimeMs].join('.')
    }),
  )
  return parts.join(' ')
}

function readOptional(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? Promise.resolve(undefined) : readFile(path, 'utf8').catch(cannotRead(path))
}

function cannotRead(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new PkiError('pki-file', `cannot read ${path}`, { hint: 'check the path and its permissions', cause })
  }
}
