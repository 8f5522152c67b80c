import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { connect } from 'node:tls'
import type { Certificate } from './certificate.ts'
import { parseCertificates } from './certificate.ts'
import { PkiError } from './errors.ts'

export interface ServerAsked {
  /** `https://host:port`. */
  readonly endpoint: string
  /** Shown to a server that wants one: a server that is kept waiting for it writes a line into its log. */
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  readonly timeoutMs: number
}

/**
 * The certificate that a server shows now, whether it is any good or not: one that has expired is the one to know about. A
 * standing connection cannot tell, as it knows only the one that was shown when it was made.
 *
 * @throws PkiError `pki-server-silent` when no handshake comes about
 */
export async function shownCertificate(asked: ServerAsked): Promise<Certificate> {
  const { hostname, port } = new URL(asked.endpoint)
  const host = hostname.replace(/^\[|\]$/g, '')
  const refuse = (cause: unknown): PkiError =>
    new PkiError('pki-server-silent', `${asked.endpoint} shows no certificate`, { cause })
  const [cert, key] = await Promise.all(
    [asked.certFile, asked.keyFile].map(async (file) => (file === undefined ? undefined : readFile(file))),
  ).catch((cause: unknown) => {
    throw refuse(cause)
  })
  const pem = await new Promise<string>((resolve, reject) => {
    const socket = connect({
      ...{ host, port: Number(port === '' ? 443 : port), ALPNProtocols: ['h2'] },
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
      // Nothing is sent over it, and whether to trust it is for the connections that carry something.
      rejectUnauthorized: false,
    })
    socket.setTimeout(asked.timeoutMs, () => socket.destroy(new Error(`no answer within ${asked.timeoutMs} ms`)))
    socket.once('error', (error) => reject(refuse(error)))
    socket.once('secureConnect', () => {
      const shown = socket.getPeerX509Certificate()
      if (shown === undefined) reject(refuse(new Error('none was sent')))
      else resolve(shown.toString())
      socket.end()
    })
    socket.once('close', () => reject(refuse(new Error('the connection was closed'))))
  })
  return parseCertificates(pem, asked.endpoint)[0]
}
