import { isClusterName } from '../types/wire/keys.ts'
import { PkiError } from './errors.ts'

/** Name of the certificate every exporter's etcd shows, whatever its cluster is called. */
export const SERVER_NAME = 'clustermesh-apiserver.cilium.io'
export const DEFAULT_CA_NAME = 'weft CA'
export const DEFAULT_NAMESPACE = 'kube-system'

export const CERTIFICATE_KINDS = ['server', 'remote', 'admin', 'local'] as const
/**
 * `server`: an exporter's etcd. Clients, named as the etcd user they are: `remote` reads what is exported, `admin` writes it,
 * `local` reads what was mirrored into the own etcd.
 */
export type CertificateKind = (typeof CERTIFICATE_KINDS)[number]

export interface CertificateRequest {
  readonly kind: CertificateKind
  /** The exporting cluster; admin and local need it. */
  readonly cluster?: string | undefined
  /** For remote: the one cluster that is to use it. */
  readonly peer?: string | undefined
  /** More names and addresses of a server. */
  readonly dns?: readonly string[] | undefined
  readonly ips?: readonly string[] | undefined
  /** Kubernetes namespace of a server's Service; default kube-system. */
  readonly namespace?: string | undefined
}

/** What goes into a certificate besides key, dates and signature. */
export interface Profile {
  readonly commonName: string
  /** Name of its files, without `.crt` and `.key`. */
  readonly file: string
  readonly dns: readonly string[]
  readonly ips: readonly string[]
  readonly server: boolean
  readonly client: boolean
}

/**
 * The names Cilium's charts use, so that clusters of both kinds accept each other's certificates.
 * @throws PkiError `pki-request` when something is missing or has no meaning for the kind
 */
export function profileOf(request: CertificateRequest): Profile {
  const { kind, cluster, peer } = request
  for (const name of [cluster, peer]) {
    if (name !== undefined && !isClusterName(name)) throw refuse(`"${name}" is not a cluster name`)
  }
  if (peer !== undefined && kind !== 'remote') throw refuse(`a ${kind} certificate is for no peer`)
  if (kind === 'server') {
    const service = `clustermesh-apiserver.${request.namespace ?? DEFAULT_NAMESPACE}.svc`
    const dns = [SERVER_NAME, '*.mesh.cilium.io', service, ...(request.dns ?? [])]
    const ips = ['127.0.0.1', '::1', ...(request.ips ?? [])]
    // A client too: etcd's HTTP gateway shows this certificate to etcd itself.
    return { commonName: SERVER_NAME, file: 'server', dns: unique(dns), ips: unique(ips), server: true, client: true }
  }
  if ((request.dns ?? []).length > 0 || (request.ips ?? []).length > 0) {
    throw refuse(`a ${kind} certificate has no names of hosts: nobody connects to a client`)
  }
  const client = { dns: [], ips: [], server: false, client: true }
  if (kind === 'remote') {
    const name = peer === undefined ? 'remote' : `remote-${peer}`
    return { commonName: name, file: name, ...client }
  }
  if (cluster === undefined) throw refuse(`a ${kind} certificate is for one cluster: name it`)
  return { commonName: `${kind}-${cluster}`, file: `${kind}-${cluster}`, ...client }
}

function refuse(message: string): PkiError {
  return new PkiError('pki-request', message, {
    hint: 'server [dns, ips], remote [peer], admin and local with the name of their cluster',
  })
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)]
}
