import { sign, verify } from 'node:crypto'
import { z } from 'zod'
import { describeError } from '../lib/errors.ts'
import type { Certificate } from '../pki/certificate.ts'
import { parseCertificates } from '../pki/certificate.ts'
import type { Signer } from '../pki/issue.ts'
import { verifyChain } from '../pki/validity.ts'
import { formatCidr, parseCidr } from '../types/address.ts'
import { canonicalJson } from './canonical.ts'
import { JoinError } from './errors.ts'

/** The only format there is; a file of a later one is refused, not guessed at. */
const FORMAT = 'weft.join/1'
const CLOCK_TOLERANCE_MS = 60_000

const date = z.iso.datetime()
/** IPv4 prefixes without host bits: `10.0.0.0/16`. */
const prefixes = z.array(z.string().refine(isPrefix))
const pem = z.string().min(1).max(65_536)

function isPrefix(text: string): boolean {
  const cidr = parseCidr(text)
  return cidr !== undefined && formatCidr(cidr) === text
}

/** What a cluster tells the ones that shall connect to it. Fields of later versions are kept by the signature and not read. */
const joinFacts = z.object({
  createdAt: date,
  expiresAt: date,
  cluster: z.object({
    name: z.string().regex(/^([a-z0-9][-a-z0-9]{0,30})?[a-z0-9]$/),
    id: z.int().min(1).max(511),
  }),
  /** The one cluster this file is for; without it, any. */
  audience: z.string().optional(),
  /** `https://host:port`, all of one scheme. */
  endpoints: z.array(z.string().regex(/^https?:\/\/[^\s/:]+:\d{1,5}$/)).min(1),
  podCidrs: prefixes,
  serviceCidrs: prefixes,
  maxConnectedClusters: z.int().min(1).max(511),
  /** Of the devices between nodes. */
  mtu: z.int().min(576).max(65_535).optional(),
  version: z.string().regex(/^\d+\.\d+\.\d+/),
  /** PEM, one certificate or (while one CA follows another) more. */
  caCertificates: z.array(pem).min(1).max(8),
  /** What the reader shows to this cluster's etcd. The key makes the file a secret. */
  client: z.object({ certificate: pem, key: pem }).optional(),
})

export type JoinFacts = z.infer<typeof joinFacts>

const envelope = z.object({
  format: z.string(),
  facts: z.record(z.string(), z.unknown()),
  /** `signer` is the SHA-256 fingerprint of the certificate among `caCertificates` whose key signed the canonical facts. */
  signature: z.object({ signer: z.string(), value: z.base64() }),
})

/** A file whose signature is good. Whether its signer is trusted is for the reader to say. */
export interface JoinFile {
  readonly facts: JoinFacts
  readonly signer: Certificate
}

/**
 * The text of a join file: canonical JSON `{facts, format, signature}` and a newline. Signed are the canonical bytes of the
 * facts, with SHA-256 and the key of the CA: ECDSA for an EC key, PKCS #1 v1.5 for an RSA one.
 *
 * @throws JoinError `join-facts` when the facts are not complete
 */
export function writeJoinFile(facts: JoinFacts, ca: Signer): string {
  const checked = joinFacts.safeParse(facts)
  if (!checked.success) throw refusal('join-facts', 'the facts are not complete', checked.error)
  const text = canonicalJson(checked.data)
  const signature = {
    signer: ca.certificate.fingerprint,
    value: sign('sha256', Buffer.from(text), ca.key).toString('base64'),
  }
  return `${canonicalJson({ format: FORMAT, facts: checked.data, signature })}\n`
}

/**
 * Reads and verifies a join file.
 *
 * @throws JoinError
 *   `join-malformed`: not a join file, or one of a format this version does not know;
 *   `join-signature`: changed since it was signed, or signed by a key whose certificate is not in it;
 *   `join-ca`: the signing certificate is not a CA's, or is not valid now;
 *   `join-expired`, `join-from-the-future`: by the clock of this machine
 */
export function readJoinFile(text: string, now: Date): JoinFile {
  const file = parseJoinFile(text)
  const { facts, signer } = file
  const { state, text: life } = verifyChain([signer], [signer], now)
  if (state !== 'ok' && state !== 'expires-soon') {
    throw new JoinError('join-ca', `the CA certificate "${signer.subject}" of the join file: ${life}`, {
      hint: REISSUE,
    })
  }
  if (Date.parse(facts.expiresAt) <= now.getTime()) {
    throw new JoinError('join-expired', `the join file expired at ${facts.expiresAt}`, { hint: REISSUE })
  }
  if (Date.parse(facts.createdAt) > now.getTime() + CLOCK_TOLERANCE_MS) {
    throw new JoinError(
      'join-from-the-future',
      `the join file was made at ${facts.createdAt}; here it is ${now.toISOString()}`,
      {
        hint: 'set the clocks of both machines (NTP), then export again if it was the other one',
      },
    )
  }
  return file
}

/** The same without a look at the clock: for files that were accepted when they were fresh. */
export function parseJoinFile(text: string): JoinFile {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw new JoinError('join-malformed', 'not a join file: it is not JSON', { cause, hint: REISSUE })
  }
  const outer = envelope.safeParse(parsed)
  if (!outer.success) throw refusal('join-malformed', 'not a join file', outer.error)
  const { format, facts: signed, signature } = outer.data
  if (format !== FORMAT) {
    throw new JoinError('join-malformed', `the join file is of format "${format}"; known is ${FORMAT}`, {
      hint: 'use the same version of weft on both sides',
    })
  }
  const inner = joinFacts.safeParse(signed)
  if (!inner.success) throw refusal('join-malformed', 'facts in the join file cannot be true', inner.error)
  const facts = inner.data
  const authorities = facts.caCertificates.flatMap((each) => parseCertificates(each, 'the join file'))
  const signer = authorities.find((each) => each.fingerprint === signature.signer)
  if (signer === undefined) {
    throw new JoinError('join-signature', 'the join file is signed by a CA that is not in it', { hint: REISSUE })
  }
  if (!signer.ca) {
    throw new JoinError('join-ca', 'the join file is signed with a certificate that is not a CA', { hint: REISSUE })
  }
  if (!signatureHolds(signed, signature.value, signer)) {
    throw new JoinError('join-signature', 'the join file was changed after it was signed', { hint: REISSUE })
  }
  return { facts, signer }
}

const REISSUE = 'write it anew with "weft clustermesh export-join" in the other cluster'

/** Over what was parsed, not over what was understood: fields this version does not know are signed, too. */
function signatureHolds(signed: unknown, value: string, signer: Certificate): boolean {
  try {
    const bytes = Buffer.from(value, 'base64')
    // One spelling: the last character has bits that decoders pass over.
    if (bytes.toString('base64') !== value) return false
    return verify('sha256', Buffer.from(canonicalJson(signed)), signer.x509.publicKey, bytes)
  } catch (error) {
    // A number with a fraction, or a signature that is none: not what export-join writes.
    if (error instanceof Error) return false
    throw error
  }
}

function refusal(code: string, what: string, error: z.ZodError): JoinError {
  const [issue] = error.issues
  const where = issue === undefined ? '' : `${issue.path.join('.')}: ${issue.message}`
  return new JoinError(code, `${what}: ${where === '' ? describeError(error) : where}`, { hint: REISSUE })
}
