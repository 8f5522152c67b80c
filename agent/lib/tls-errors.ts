import { EtcdError } from './etcd.ts'

interface Explanation {
  readonly pattern: RegExp
  readonly code: string
  readonly message: (match: RegExpExecArray) => string
  readonly hint: string
}

/** OpenSSL's, Node's and etcd's words for the ways in which a connection with certificates fails, the most telling first. */
const EXPLANATIONS: readonly Explanation[] = [
  {
    pattern: /(?:Host|IP): (\S+?)\.? is not in the cert's (?:altnames|list): ?(.*?)(?:\. Resolution|$)/,
    code: 'etcd-tls-name',
    message: ([, host, names]) => `its certificate is not for ${host}, but for ${names}`,
    hint: 'use one of those names in endpoints, or issue a server certificate with that one (weft clustermesh ca issue server --dns/--ip)',
  },
  {
    pattern:
      /unable to verify the first certificate|self.signed certificate|unable to get (?:local )?issuer certificate/,
    code: 'etcd-tls-untrusted',
    message: () => 'its certificate is not signed by any CA in trusted-ca-file',
    hint: 'put the CA of the other cluster into trusted-ca-file; several may stand in it',
  },
  {
    pattern: /certificate has expired/,
    code: 'etcd-tls-expired',
    message: () => 'its certificate, or the CA in trusted-ca-file, has expired',
    hint: 'renew it in the other cluster (weft clustermesh ca renew); compare the clocks, too',
  },
  {
    pattern: /certificate is not yet valid/,
    code: 'etcd-tls-not-yet-valid',
    message: () => 'its certificate is not valid yet',
    hint: 'compare the clocks of both machines',
  },
  {
    pattern:
      /alert (bad certificate|certificate required|unknown ca|certificate unknown|certificate expired|access denied)/,
    code: 'etcd-tls-refused',
    message: ([, alert]) => `it refuses our client certificate (${alert})`,
    hint: 'cert-file and key-file must hold a certificate that is valid and signed by a CA which that etcd trusts',
  },
  {
    pattern: /permission denied|user name not found|user name is empty/,
    code: 'etcd-denied',
    message: ([what]) => `etcd lets the user of our certificate not read what it must (${what})`,
    hint: 'the common name must be a user of that etcd: remote, or remote-<cluster> in its file of users',
  },
]

/** The same error in words that name the certificate to look at; any other error as it is. OpenSSL's own line adds nothing to them. */
export function explainTls(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  for (const { pattern, code, message, hint } of EXPLANATIONS) {
    const match = pattern.exec(error.message.replaceAll('\n', ' '))
    if (match !== null) return new EtcdError(code, message(match), { hint })
  }
  return error
}
