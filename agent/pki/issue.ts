import 'reflect-metadata'
import type { JsonGeneralName } from '@peculiar/x509'
import * as x509 from '@peculiar/x509'
import type { webcrypto } from 'node:crypto'
import { createPrivateKey, randomBytes } from 'node:crypto'
import type { Certificate } from './certificate.ts'
import { parseCertificates } from './certificate.ts'
import { PkiError } from './errors.ts'
import type { Profile } from './kinds.ts'
import { DEFAULT_CA_NAME } from './kinds.ts'
import { validity } from './validity.ts'

/**
 * Makes certificates. This file alone loads the X.509 library, which takes long: import it where something is made
 * (`await import`), never to read.
 */

/** A certificate and its private key (PKCS#8), both PEM. */
export interface Pair {
  readonly certificate: string
  readonly key: string
}

/** Who signs. */
export interface Signer {
  readonly certificate: Certificate
  /** PEM; the key of `certificate`. */
  readonly key: string
}

export const CA_DAYS = 3650
export const CERTIFICATE_DAYS = 365

const DAY_MS = 86_400_000
/** Clocks of other machines may be this late. */
const BACKDATE_MS = 300_000
const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** A CA of its own: ECDSA P-256, self-signed, for leaves only. */
export async function createCa(options: { name?: string; days?: number; now: Date }): Promise<Pair> {
  const keys = await crypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ CN: [options.name ?? DEFAULT_CA_NAME] }],
    ...dates(options.now, (options.days ?? CA_DAYS) * DAY_MS),
    keys,
    signingAlgorithm: P256,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: `${certificate.toString('pem')}\n`, key: await privatePem(keys.privateKey) }
}

/**
 * A certificate with a new key. It ends with its CA at the latest: what outlives its CA is trusted by nobody.
 *
 * @throws PkiError `pki-ca-expired` when the CA is not valid now; `pki-key` when its key is of a kind that cannot sign
 */
export async function issueCertificate(options: {
  ca: Signer
  profile: Profile
  lifetimeMs?: number
  now: Date
}): Promise<Pair> {
  const { ca, profile, now } = options
  const state = validity(ca.certificate, now)
  if (state.state === 'expired' || state.state === 'not-yet-valid') {
    throw new PkiError('pki-ca-expired', `the CA (${ca.certificate.subject}) cannot sign: ${state.text}`, {
      hint: 'make a new CA in another directory (weft clustermesh ca init) and let everybody trust both for a while',
    })
  }
  const issuer = new x509.X509Certificate(ca.certificate.pem)
  const keys = await crypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const { signingKey, signingAlgorithm } = await importSigner(ca.key)
  const life = dates(now, options.lifetimeMs ?? CERTIFICATE_DAYS * DAY_MS)
  const names: JsonGeneralName[] = [
    ...profile.dns.map((value) => ({ type: 'dns' as const, value })),
    ...profile.ips.map((value) => ({ type: 'ip' as const, value })),
  ]
  const usages = [
    ...(profile.server ? [x509.ExtendedKeyUsage.serverAuth] : []),
    ...(profile.client ? [x509.ExtendedKeyUsage.clientAuth] : []),
  ]
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: [{ CN: [profile.commonName] }],
    issuer: issuer.subjectName,
    notBefore: life.notBefore < ca.certificate.notBefore ? ca.certificate.notBefore : life.notBefore,
    notAfter: life.notAfter > ca.certificate.notAfter ? ca.certificate.notAfter : life.notAfter,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension(usages),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  })
  return { certificate: `${certificate.toString('pem')}\n`, key: await privatePem(keys.privateKey) }
}

/** The same names again with a new key; `lifetimeMs` is that of the old one unless its CA's end had cut it short. */
export function reissueCertificate(options: {
  ca: Signer
  old: Certificate
  oldIssuer: Certificate
  now: Date
}): Promise<Pair> {
  const { ca, old, oldIssuer, now } = options
  const profile: Profile = {
    commonName: old.commonName,
    file: old.commonName,
    ...{ dns: old.dns, ips: old.ips, server: old.server, client: old.client },
  }
  if (old.notAfter >= oldIssuer.notAfter) return issueCertificate({ ca, profile, now })
  const lifetimeMs = old.notAfter.getTime() - old.notBefore.getTime() - BACKDATE_MS
  return issueCertificate({ ca, profile, lifetimeMs, now })
}

/** The signer of a PEM pair. */
export function signerOf(pair: Pair): Signer {
  return { certificate: parseCertificates(pair.certificate, 'the CA')[0], key: pair.key }
}

/** CAs made elsewhere sign too: Helm's are RSA. */
async function importSigner(pem: string): Promise<{
  signingKey: webcrypto.CryptoKey
  signingAlgorithm: SigningAlgorithm
}> {
  const key = createPrivateKey(pem)
  const der = key.export({ type: 'pkcs8', format: 'der' })
  const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? '']
  if (key.asymmetricKeyType !== 'rsa' && curve === undefined) {
    throw new PkiError('pki-key', `a CA with a key of type ${key.asymmetricKeyType ?? 'unknown'} cannot be used`, {
      hint: 'RSA and ECDSA (P-256, P-384, P-521) are possible',
    })
  }
  const signingAlgorithm: SigningAlgorithm = curve ?? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  return {
    signingKey: await crypto.subtle.importKey('pkcs8', der, signingAlgorithm, false, ['sign']),
    signingAlgorithm,
  }
}

interface SigningAlgorithm {
  readonly name: string
  readonly hash: string
  readonly namedCurve?: string
}

const CURVES: Readonly<Record<string, SigningAlgorithm>> = {
  prime256v1: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  secp521r1: { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' },
}

/** Whole seconds: a certificate knows no parts of them. */
function dates(now: Date, lifetimeMs: number): { notBefore: Date; notAfter: Date } {
  const second = Math.floor(now.getTime() / 1000) * 1000
  return { notBefore: new Date(second - BACKDATE_MS), notAfter: new Date(second + lifetimeMs) }
}

/** 127 random bits, positive (RFC 5280 §4.1.2.2). */
function serial(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return bytes.toString('hex')
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`
}
