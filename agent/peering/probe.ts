import type { TLSSocket } from 'node:tls'
import type { Socket } from 'node:net'
import { lookup } from 'node:dns/promises'
import { request } from 'node:http'
import { connect as connectTcp, isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describeError } from '../lib/errors.ts'
import type { Certificate } from '../pki/certificate.ts'
import { parseCertificates } from '../pki/certificate.ts'

/** What trying one endpoint showed, step by step; a step that was not come to is undefined. */
export interface EndpointProbe {
  /** As it was given. */
  readonly endpoint: string
  readonly host: string
  readonly port: number
  /** Undefined for a host that is an address. */
  readonly addresses: readonly string[] | undefined
  readonly dnsError: string | undefined
  readonly tcp: { readonly address: string; readonly error?: string } | undefined
  readonly tls: TlsProbe | undefined
  /** `GET /version`: the first answer that needs the client's certificate to be accepted. */
  readonly version: { readonly etcd?: string; readonly error?: string } | undefined
  /** The other clock minus ours, as far as a time in whole seconds shows it. */
  readonly skewMs: number | undefined
}

export interface TlsProbe {
  /** Why it was refused: chain, name or validity of the server, or its refusal of us. */
  readonly error?: string
  readonly protocol?: string
  readonly cipher?: string
  /** What the server showed, wanted or not. */
  readonly server?: Certificate
}

export interface TlsMaterial {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

/** Tries name, port, TLS and one request, in this order, and stops at the first that fails. Never rejects. */
export async function probeEndpoint(
  endpoint: string,
  material: TlsMaterial,
  timeoutMs: number,
  wallClock: () => Date,
): Promise<EndpointProbe> {
  const url = new URL(/^https?:/.test(endpoint) ? endpoint : `http://${endpoint}`)
  const host = url.hostname
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
  const found = { endpoint, host, port, ...NOTHING }
  const addresses = isIP(host) === 0 ? await resolved(host, timeoutMs) : undefined
  if (addresses instanceof Error) return { ...found, dnsError: describeError(addresses) }
  const known = { ...found, addresses }
  const address = addresses?.[0] ?? host
  const tcp = await open(() => connectTcp({ host: address, port }), 'connect', timeoutMs)
  if (tcp instanceof Error) return { ...known, tcp: { address, error: describeError(tcp) } }
  const reached = { ...known, tcp: { address } }
  if (url.protocol === 'http:') return { ...reached, ...(await askVersion(tcp, url.host, timeoutMs, wallClock)) }
  const secured = await handshake(tcp, host, material, timeoutMs)
  if (secured.socket === undefined) return { ...reached, tls: secured.tls }
  return { ...reached, tls: secured.tls, ...(await askVersion(secured.socket, url.host, timeoutMs, wallClock)) }
}

const NOTHING = {
  addresses: undefined,
  dnsError: undefined,
  tcp: undefined,
  tls: undefined,
  version: undefined,
  skewMs: undefined,
}

async function resolved(host: string, timeoutMs: number): Promise<string[] | Error> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Error>((resolve) => {
    timer = setTimeout(() => resolve(new Error(`no answer for ${host} within ${timeoutMs} ms`)), timeoutMs)
  })
  const asked = lookup(host, { all: true }).then(
    (all) => all.map(({ address }) => address),
    (error: Error) => error,
  )
  try {
    return await Promise.race([asked, late])
  } finally {
    clearTimeout(timer)
  }
}

function open<T extends Socket>(
  start: () => T,
  event: 'connect' | 'secureConnect',
  timeoutMs: number,
): Promise<T | Error> {
  return new Promise((resolve) => {
    let socket: T
    try {
      socket = start()
    } catch (error) {
      // A key that does not belong to its certificate is noticed before the first byte.
      return resolve(error as Error)
    }
    const timer = setTimeout(() => fail(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    const fail = (error: Error): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(error)
    }
    socket.once('error', fail)
    socket.once(event, () => {
      clearTimeout(timer)
      socket.off('error', fail)
      // Until the next step listens, an error is noted by the socket itself (`destroyed`).
      socket.on('error', () => undefined)
      resolve(socket)
    })
  })
}

async function handshake(
  tcp: Socket,
  host: string,
  { ca, cert, key }: TlsMaterial,
  timeoutMs: number,
): Promise<{ tls: TlsProbe; socket?: TLSSocket }> {
  const options = {
    socket: tcp,
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    // Judged below: a chain that is refused is shown, too. Nothing is ever sent over it.
    rejectUnauthorized: false,
  }
  const socket = await open(() => connectTls(options), 'secureConnect', timeoutMs)
  if (socket instanceof Error) {
    tcp.destroy()
    return { tls: { error: describeError(socket) } }
  }
  const shown = socket.getPeerX509Certificate()
  const tls: TlsProbe = {
    protocol: (socket.getProtocol() ?? '').replace(/^TLSv/, 'TLS '),
    cipher: socket.getCipher().standardName,
    ...(shown === undefined ? {} : { server: parseCertificates(shown.toString(), host)[0] }),
  }
  if (socket.authorized) return { tls: withMinor(tls), socket }
  const why = socket.authorizationError as Error | string
  socket.destroy()
  return { tls: { ...withMinor(tls), error: typeof why === 'string' ? why : describeError(why) } }
}

function withMinor(tls: TlsProbe): TlsProbe {
  return tls.protocol === 'TLS 1' ? { ...tls, protocol: 'TLS 1.0' } : tls
}

function askVersion(
  socket: Socket,
  host: string,
  timeoutMs: number,
  wallClock: () => Date,
): Promise<Pick<EndpointProbe, 'version' | 'skewMs'>> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => fail(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    const fail = (error: Error): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ version: { error: describeError(error) }, skewMs: undefined })
    }
    socket.once('close', () => fail(new Error('the server closed the connection')))
    socket.once('error', fail)
    const outgoing = request(
      { createConnection: () => socket, path: '/version', headers: { host, connection: 'close' } },
      (response) => {
        const now = wallClock().getTime()
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', fail)
        response.once('end', () => {
          clearTimeout(timer)
          socket.destroy()
          // The header has whole seconds, cut off: half of one is the best guess.
          const date = Date.parse(response.headers.date ?? '') + 500
          resolve({
            version: versionOf(Buffer.concat(chunks).toString()),
            skewMs: Number.isNaN(date) ? undefined : date - now,
          })
        })
      },
    )
    outgoing.once('error', fail)
    outgoing.end()
  })
}

function versionOf(body: string): { etcd?: string; error?: string } {
  try {
    const { etcdserver } = JSON.parse(body) as { etcdserver?: unknown }
    if (typeof etcdserver === 'string') return { etcd: etcdserver }
  } catch {
    // Said below: whatever answers there is no etcd.
  }
  return { error: 'what answers there is not an etcd' }
}
