import { link, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { stagedName, writeStaged } from '../lib/staged-file.ts'
import type { Certificate } from './certificate.ts'
import { ownsKey, parseCertificates } from './certificate.ts'
import { PkiError } from './errors.ts'
import type { Pair, Signer } from './issue.ts'
import type { Verdict } from './validity.ts'
import { verifyChain } from './validity.ts'

/**
 * A directory of keys and certificates: `ca.crt` and `ca.key`, and a `.crt` with its `.key` for everybody else. `ca.crt` may
 * hold several CAs while one replaces another: all of them are trusted, the one that `ca.key` belongs to signs.
 */
export const CA_CERTIFICATE = 'ca.crt'
export const CA_KEY = 'ca.key'

/** One certificate of a directory, and what somebody who trusts its `ca.crt` makes of it. */
export interface StoredCertificate {
  /** File name. */
  readonly file: string
  readonly certificate: Certificate
  readonly verdict: Verdict
}

/** All CAs of the directory. @throws PkiError */
export async function readCas(directory: string): Promise<readonly Certificate[]> {
  const path = join(directory, CA_CERTIFICATE)
  return parseCertificates(await readText(path), path)
}

/** The CA that signs. @throws PkiError `pki-file`, `pki-key`, or `pki-key-mismatch` when the key is of none of the CAs */
export async function readSigner(directory: string): Promise<Signer> {
  const path = join(directory, CA_KEY)
  const key = await readText(path)
  const certificate = (await readCas(directory)).find((ca) => ownsKey(ca, key, path))
  if (certificate !== undefined) return { certificate, key }
  throw new PkiError('pki-key-mismatch', `${path} is not the key of any certificate in ${CA_CERTIFICATE}`, {
    hint: 'put the certificate of that key into the bundle, or the right key into the directory',
  })
}

/** Every `.crt` of the directory, the CAs first. @throws PkiError */
export async function readDirectory(directory: string, now: Date): Promise<readonly StoredCertificate[]> {
  const cas = await readCas(directory)
  const stored: StoredCertificate[] = cas.map((certificate) => ({
    file: CA_CERTIFICATE,
    certificate,
    verdict: verifyChain([certificate], cas, now),
  }))
  for (const name of (await readdir(directory)).sort()) {
    if (!name.endsWith('.crt') || name === CA_CERTIFICATE || name.startsWith('.')) continue
    const chain = parseCertificates(await readText(join(directory, name)), join(directory, name))
    stored.push({ file: name, certificate: chain[0], verdict: verifyChain(chain, cas, now) })
  }
  return stored
}

/** Writes a new CA. @throws PkiError `pki-exists` when there is one: overwriting it would cut the mesh in two */
export async function writeNewCa(directory: string, pair: Pair): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 })
  await writeNew(join(directory, CA_KEY), pair.key, 0o600)
  await writeNew(join(directory, CA_CERTIFICATE), pair.certificate, 0o644)
}

/**
 * Replaces `<name>.key` and `<name>.crt`. Both are complete on disk before either gets its name; a reader that comes between
 * the two renames finds a key that does not fit the certificate, and has to look again.
 */
export async function writePair(directory: string, name: string, pair: Pair): Promise<void> {
  const key = await prepare(join(directory, `${name}.key`), pair.key, 0o600)
  const certificate = await prepare(join(directory, `${name}.crt`), pair.certificate, 0o644)
  await key.commit()
  await certificate.commit()
}

/** Adds CAs to the bundle, those it has already excepted. Returns the added ones. @throws PkiError */
export async function trust(directory: string, added: readonly Certificate[]): Promise<readonly Certificate[]> {
  const known = await readCas(directory)
  const missing = added.filter(({ fingerprint }) => !known.some((ca) => ca.fingerprint === fingerprint))
  for (const certificate of missing) {
    if (!certificate.ca) throw new PkiError('pki-not-a-ca', `${certificate.subject} is not the certificate of a CA`)
  }
  if (missing.length > 0) {
    const pem = bundle([...known, ...missing])
    await (await prepare(join(directory, CA_CERTIFICATE), pem, 0o644)).commit()
  }
  return missing
}

/** A PEM file of several CAs, each once. */
export function bundle(cas: readonly Certificate[]): string {
  return [...new Map(cas.map((ca) => [ca.fingerprint, ca.pem])).values()].join('')
}

/** @throws PkiError `pki-file` */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new PkiError('pki-file', `cannot read ${path}`, {
      hint: 'weft clustermesh ca init makes a CA, weft clustermesh ca issue a certificate',
      cause,
    })
  }
}

/** A name that is taken stays as it is: `link` refuses where `rename` would replace. */
async function writeNew(path: string, content: string, mode: number): Promise<void> {
  const file = await prepare(path, content, mode)
  try {
    await link(file.path, path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
    throw new PkiError('pki-exists', `${path} exists and is not overwritten`, {
      hint: 'whoever trusts that CA would trust nobody any more; to replace it, make the new one in another directory',
    })
  } finally {
    await rm(file.path)
  }
}

interface Prepared {
  readonly path: string
  commit(): Promise<void>
}

/** A complete file beside the place where it is to be, under a name that readers pass over. */
async function prepare(path: string, content: string, mode: number): Promise<Prepared> {
  const temporary = stagedName(path)
  try {
    await writeStaged(temporary, content, mode)
  } catch (cause) {
    throw new PkiError('pki-write', `cannot write ${path}`, { hint: 'the directory must exist and be writable', cause })
  }
  return { path: temporary, commit: () => rename(temporary, path) }
}
