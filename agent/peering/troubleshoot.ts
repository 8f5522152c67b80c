import { readFile } from 'node:fs/promises'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { EtcdEndpoint } from '../lib/etcd.ts'
import type { Certificate } from '../pki/certificate.ts'
import { ownsKey, parseCertificates } from '../pki/certificate.ts'
import { verifyChain } from '../pki/validity.ts'
import { isClusterName } from '../types/wire/keys.ts'
import type { Member } from './directory.ts'
import type { EndpointProbe } from './probe.ts'
import { probeEndpoint } from './probe.ts'
import type { EtcdProbe } from './probe-etcd.ts'
import { probeEtcd } from './probe-etcd.ts'

/** What was found out about one cluster of the directory. */
export interface ClusterFindings {
  readonly name: string
  /** False: not a name a cluster may have, and nothing else was looked at. */
  readonly validName: boolean
  readonly local: boolean
  /** Undefined: the directory has no such cluster, and nothing else was looked at. */
  readonly path: string | undefined
  /** Why the configuration cannot be used. */
  readonly configError: string | undefined
  readonly endpoints: readonly EndpointProbe[]
  /** Undefined: not encrypted. */
  readonly certificates: CertificateFindings | undefined
  readonly etcd: EtcdProbe | undefined
  /** By the clock of this machine, when all was asked. */
  readonly now: Date
}

export interface CertificateFindings {
  readonly roots: readonly Certificate[] | { readonly error: string } | undefined
  /** Leaf first. Undefined: none is configured. */
  readonly client: readonly Certificate[] | { readonly error: string } | undefined
  /** Why somebody who trusts `roots` would not accept the client certificate, or that it ends soon. */
  readonly clientWarning: string | undefined
}

export interface TroubleshootOptions {
  readonly timeoutMs: number
  readonly clock: Clock
  /** Name of the own cluster, if it is known. */
  readonly ownCluster: string | undefined
}

/** Looks at one cluster from below: name, port, TLS, etcd, what the exporter says about itself. Never rejects. */
export async function investigate(
  name: string,
  member: Member | undefined,
  options: TroubleshootOptions,
): Promise<ClusterFindings> {
  const { clock, timeoutMs } = options
  const nothing = {
    name,
    validName: isClusterName(name),
    local: name === options.ownCluster,
    path: member?.path,
    configError: undefined,
    endpoints: [],
    certificates: undefined,
    etcd: undefined,
    now: clock.date(),
  }
  if (!nothing.validName || nothing.local || member === undefined) return nothing
  const { endpoint } = member
  if (endpoint instanceof Error) return { ...nothing, configError: describeError(endpoint) }
  const files = {
    ca: await textOf(endpoint.caFile),
    cert: await textOf(endpoint.certFile),
    key: await textOf(endpoint.keyFile),
  }
  const secure = endpoint.endpoints.some((each) => each.startsWith('https:'))
  const material = { ca: usable(files.ca), cert: usable(files.cert), key: usable(files.key) }
  const endpoints = await Promise.all(
    endpoint.endpoints.map((each) => probeEndpoint(each, material, timeoutMs, () => clock.date())),
  )
  return {
    ...nothing,
    endpoints,
    certificates: secure ? certificateFindings(endpoint, files, clock.date()) : undefined,
    etcd: await probeEtcd(name, endpoint, timeoutMs, clock),
    now: clock.date(),
  }
}

type FileText = string | Error | undefined

async function textOf(path: string | undefined): Promise<FileText> {
  return path === undefined ? undefined : readFile(path, 'utf8').catch((error: Error) => error)
}

function usable(text: FileText): string | undefined {
  return text instanceof Error ? undefined : text
}

function certificateFindings(
  endpoint: EtcdEndpoint,
  files: { readonly ca: FileText; readonly cert: FileText; readonly key: FileText },
  now: Date,
): CertificateFindings {
  const roots = read(files.ca, endpoint.caFile)
  const client = read(files.cert, endpoint.certFile)
  return { roots, client, clientWarning: clientWarning(endpoint, roots, client, files.key, now) }
}

function read(text: FileText, path: string | undefined): CertificateFindings['roots'] {
  if (text === undefined || path === undefined) return undefined
  if (text instanceof Error) return { error: describeError(text) }
  try {
    return parseCertificates(text, path)
  } catch (error) {
    return { error: describeError(error) }
  }
}

function clientWarning(
  endpoint: EtcdEndpoint,
  roots: CertificateFindings['roots'],
  client: CertificateFindings['client'],
  key: FileText,
  now: Date,
): string | undefined {
  if (client === undefined) return 'No client certificate is configured; a server that wants one refuses us'
  if ('error' in client) return undefined
  const [leaf, ...more] = client
  if (leaf === undefined) return undefined
  if (endpoint.keyFile === undefined || key === undefined) return 'The client certificate is configured without its key'
  if (key instanceof Error) return `The client key cannot be read: ${describeError(key)}`
  try {
    if (!ownsKey(leaf, key, endpoint.keyFile)) return 'The client key is not that of the client certificate'
  } catch (error) {
    return describeError(error)
  }
  if (roots === undefined || 'error' in roots) return undefined
  const { state, text } = verifyChain([leaf, ...more], roots, now)
  if (state === 'ok') return undefined
  return state === 'not-signed'
    ? 'Cannot verify the client certificate with the configured root CAs'
    : `The client certificate ${text}`
}
