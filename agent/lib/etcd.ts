import type { Client, Metadata } from '@grpc/grpc-js'
import { noop } from 'cockatiel'
import { Etcd3 } from 'etcd3'
import { readFileSync } from 'node:fs'
import { WeftError } from './errors.ts'
import { EtcdChannels } from './etcd-channel.ts'

/** How an etcd is reached; file names are read anew for every client, so a renewed certificate needs no restart. */
export interface EtcdEndpoint {
  /** `http://host:port` or `https://host:port`. */
  readonly endpoints: readonly string[]
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
}

/** etcd could not be asked, or did not answer as it must. */
export class EtcdError extends WeftError {}

/** A client whose connections can be used without its conversion of messages. */
export class EtcdClient extends Etcd3 {
  /** The stub of a service, on a connection that all calls of this client share. */
  stub<T>(service: 'KV' | 'Watch', use: (client: Client, metadata: Metadata) => Promise<T> | T): Promise<T> {
    return this.pool.withConnection(service, ({ client, metadata }) => use(client, metadata))
  }
}

/** Every call ends by then, so that no caller waits on a server that stopped answering. */
export const CALL_TIMEOUT_MS = 5000

/**
 * A client that fails instead of hiding a failure: no retries of its own (the callers have theirs, and know what may be
 * repeated), a deadline on each call. Dead peers are noticed by the deadline and by the session's own requests; HTTP/2 pings
 * only back them: etcd takes pings without a call under way, or many of them, for abuse and ends the connection.
 *
 * The subchannel pool is local because a connection that was accepted but never answered stays in the global pool and is
 * handed to every later client: a new client would hang as the old one did.
 *
 * @param channels shared with other clients; otherwise the client has a connection of its own
 * @throws EtcdError when a TLS file cannot be read
 */
export function createEtcdClient(endpoint: EtcdEndpoint, channels = new EtcdChannels()): EtcdClient {
  const secure = endpoint.endpoints.some((host) => host.startsWith('https://'))
  const ca = secure ? readTlsFile(endpoint.caFile) : undefined
  const key = readTlsFile(secure ? endpoint.keyFile : undefined)
  const cert = readTlsFile(secure ? endpoint.certFile : undefined)
  return new EtcdClient({
    hosts: [...endpoint.endpoints],
    ...(ca === undefined
      ? {}
      : {
          credentials: {
            rootCertificate: ca,
            ...(key === undefined || cert === undefined ? {} : { privateKey: key, certChain: cert }),
          },
        }),
    grpcOptions: {
      'grpc.keepalive_time_ms': 20_000,
      'grpc.keepalive_timeout_ms': 5000,
      'grpc.keepalive_permit_without_calls': 0,
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 500,
      'grpc.max_reconnect_backoff_ms': 3000,
      'grpc.enable_http_proxy': 0,
      channelFactoryOverride: channels.factory([ca, cert, key]),
    },
    defaultCallOptions: (call) => (call.isStream ? {} : { deadline: Date.now() + CALL_TIMEOUT_MS }),
    faultHandling: { host: () => noop, global: noop },
  })
}

function readTlsFile(path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new EtcdError('etcd-tls-file', `cannot read ${path}`, {
      hint: 'check the path and its permissions; the file is read again at the next attempt',
      cause,
    })
  }
}

/** End of the range of all keys that start with `prefix`. */
export function prefixEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix)
  for (let i = end.length - 1; i >= 0; i--) {
    const byte = end[i]!
    if (byte < 0xff) {
      end[i] = byte + 1
      return end.subarray(0, i + 1)
    }
  }
  return Buffer.from([0])
}

/** Hex form of an etcd cluster id, which gRPC hands over as a decimal string. */
export function formatEtcdClusterId(id: string): string {
  return BigInt(id).toString(16)
}
