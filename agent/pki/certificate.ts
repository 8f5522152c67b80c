import { createPrivateKey, X509Certificate } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { PkiError } from './errors.ts'

/** What a certificate says about itself (RFC 5280), in the words `weft clustermesh ca show` uses. */
export interface Certificate {
  /** `CN=remote`; several parts with `, ` between them. */
  readonly subject: string
  /** The part that etcd takes for the name of the user; '' when there is none. */
  readonly commonName: string
  readonly issuer: string
  /** Lower-case hex pairs: `3f:a1:07`. */
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
  /** DNS names it is valid for. */
  readonly dns: readonly string[]
  readonly ips: readonly string[]
  readonly ca: boolean
  /** Extended key usages. */
  readonly server: boolean
  readonly client: boolean
  /** SHA-256 of the certificate: tells any two apart. */
  readonly fingerprint: string
  readonly pem: string
  /** For signatures. */
  readonly x509: X509Certificate
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

/**
 * All certificates of a PEM file, in its order: a chain begins with the leaf, a bundle of CAs has no order.
 *
 * @throws PkiError `pki-certificate` naming `where` when there is none, or one that cannot be read
 */
export function parseCertificates(pem: string, where: string): readonly [Certificate, ...Certificate[]] {
  const [first, ...rest] = (pem.match(BLOCK) ?? []).map((block) => {
    try {
      return describe(new X509Certificate(block), `${block}\n`)
    } catch (cause) {
      throw new PkiError('pki-certificate', `${where} holds a certificate that cannot be read`, { cause })
    }
  })
  if (first !== undefined) return [first, ...rest]
  throw new PkiError('pki-certificate', `${where} holds no certificate`, {
    hint: 'a PEM file with BEGIN CERTIFICATE lines is expected; it may have been half-written',
  })
}

/** Whether `keyPem` is the private key of `certificate`. @throws PkiError `pki-key` when it is no private key */
export function ownsKey(certificate: Certificate, keyPem: string, where: string): boolean {
  try {
    return certificate.x509.checkPrivateKey(createPrivateKey(keyPem))
  } catch (cause) {
    throw new PkiError('pki-key', `${where} holds no private key that can be read`, {
      hint: 'an unencrypted PEM file is expected (PKCS#8, SEC 1 or PKCS#1)',
      cause,
    })
  }
}

function describe(x509: X509Certificate, pem: string): Certificate {
  const usages = x509.keyUsage as readonly string[] | undefined // Node's name for the extended ones
  const names = alternativeNames(x509.subjectAltName ?? '')
  return {
    subject: oneLine(x509.subject),
    commonName: /^CN=(.*)$/m.exec(x509.subject ?? '')?.[1] ?? '',
    issuer: oneLine(x509.issuer),
    serial: x509.serialNumber.toLowerCase().replace(/..(?=.)/g, '$&:'),
    notBefore: new Date(x509.validFrom),
    notAfter: new Date(x509.validTo),
    dns: names.filter(([type]) => type === 'DNS').map(([, name]) => name),
    ips: names
      .filter(([type]) => type === 'IP Address')
      .map(([, name]) => (isIPv6(name) ? new URL(`http://[${name}]`).hostname.slice(1, -1) : name)),
    ca: x509.ca,
    server: usages?.includes(SERVER_AUTH) ?? false,
    client: usages?.includes(CLIENT_AUTH) ?? false,
    fingerprint: x509.fingerprint256.replaceAll(':', '').toLowerCase(),
    pem,
    x509,
  }
}

/** `DNS:a, IP Address:b` as pairs; names that hold a comma or quote come quoted, and are none we make. */
function alternativeNames(text: string): (readonly [type: string, name: string])[] {
  return text.split(', ').flatMap((entry) => {
    const [, type, name] = /^([^:]+):(.*)$/.exec(entry) ?? []
    return type === undefined || name === undefined ? [] : [[type, name] as const]
  })
}

function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(', ')
}
