import type { ClusterFindings } from '../../peering/troubleshoot.ts'
import type { Certificate } from '../../pki/certificate.ts'
import { span, validity } from '../../pki/validity.ts'

export type Mark = 'ok' | 'info' | 'warning' | 'error'

/** One finding in words. */
export interface Finding {
  readonly mark: Mark
  readonly text: string
  /** What to do about it. */
  readonly next?: string
  /** Certificates it is about. */
  readonly certificates?: readonly Certificate[]
}

/** Heartbeats come once a minute. */
const STALE_MS = 130_000
const SKEW_MS = 5000

type Probe = ClusterFindings['endpoints'][number]

const ok = (text: string): Finding => ({ mark: 'ok', text })
const info = (text: string): Finding => ({ mark: 'info', text })
const error = (text: string, next: string): Finding => ({ mark: 'error', text, next })
const warning = (text: string, next: string): Finding => ({ mark: 'warning', text, next })

/** DNS, TCP, TLS and the first answer of one endpoint, as far as it went. */
export function endpointFindings(probe: Probe): Finding[] {
  const found: Finding[] = []
  const { host, port, addresses, dnsError, tcp, tls, version } = probe
  if (dnsError !== undefined) {
    return [
      error(
        `Cannot resolve hostname: ${dnsError}`,
        `correct the name in the configuration, or let the DNS know ${host}`,
      ),
    ]
  }
  if (addresses !== undefined) found.push(ok(`Hostname resolved to: ${addresses.join(', ')}`))
  if (tcp === undefined) return found
  const at = `${tcp.address}:${port}`
  if (tcp.error !== undefined) {
    const closed = tcp.error.includes('ECONNREFUSED')
    const next = closed
      ? 'nothing listens there: start that etcd, or correct address and port (Service, node port)'
      : 'no packet comes back: look at firewalls and routes between the clusters'
    return [...found, error(`Cannot establish TCP connection to ${at}: ${tcp.error}`, next)]
  }
  found.push(ok(`TCP connection successfully established to ${at}`))
  if (tls?.error !== undefined) {
    return [...found, error(`Cannot establish TLS connection to ${at}: ${tls.error}`, tlsAdvice(tls.error, host))]
  }
  if (version?.error !== undefined && tls !== undefined) {
    return [
      ...found,
      error(
        `TLS client authentication failed at ${at}: ${version.error}`,
        'use a client certificate signed by the CA that etcd trusts',
      ),
    ]
  }
  if (tls !== undefined) {
    found.push(ok(`TLS connection successfully established to ${at}`))
    found.push(info(`Negotiated TLS version: ${tls.protocol}, ciphersuite ${tls.cipher}`))
  }
  if (version?.etcd !== undefined) found.push(info(`Etcd server version: ${version.etcd}`))
  else if (version?.error !== undefined)
    found.push(error(`No answer of an etcd at ${at}: ${version.error}`, 'correct the address'))
  return found
}

function tlsAdvice(text: string, host: string): string {
  if (/altname/i.test(text)) return `issue the server certificate for ${host}, or use a name it has`
  if (/EXPIRED|expired/.test(text)) return 'renew the server certificate there ("weft clustermesh ca renew")'
  if (/ISSUER|SELF_SIGNED|UNABLE_TO|issuer|self.signed|verify/.test(text)) {
    return 'trust the CA that signed the server certificate shown below: take the join file of that cluster again'
  }
  return 'look whether it is an etcd that serves TLS there'
}

/** CA, client and server certificates with names and expiry. */
export function certificateFindings({ certificates, endpoints, now }: ClusterFindings): Finding[] {
  if (certificates === undefined) return [warning('TLS is not used', 'let the etcd serve TLS, and connect by https://')]
  const { roots, client, clientWarning } = certificates
  const found: Finding[] = []
  if (roots === undefined) found.push(info('TLS Root CA certificates: none configured, those of the system are used'))
  else if ('error' in roots)
    found.push(
      error(`Cannot load the TLS Root CA certificates: ${roots.error}`, 'write the file again (trusted-ca-file)'),
    )
  else found.push({ mark: 'ok', text: 'TLS Root CA certificates:', certificates: roots })
  if (client !== undefined && 'error' in client) {
    found.push(error(`Cannot load the TLS client certificates: ${client.error}`, 'write the file again (cert-file)'))
  } else if (client !== undefined) found.push({ mark: 'ok', text: 'TLS client certificates:', certificates: client })
  if (clientWarning !== undefined) {
    found.push(warning(clientWarning, 'take a join file with a good client certificate, or renew it'))
  }
  for (const { host, port, tls } of endpoints) {
    if (tls?.server === undefined) continue
    const { state, text } = validity(tls.server, now)
    const about = { text: `TLS server certificate of ${host}:${port}:`, certificates: [tls.server] }
    if (state === 'ok') found.push({ mark: tls.error === undefined ? 'ok' : 'error', ...about })
    else found.push({ mark: state === 'expires-soon' ? 'warning' : 'error', ...about, next: `${text}: renew it there` })
  }
  return found
}

/** Connection, authentication and authorization: the read of the heartbeat. */
export function etcdFindings({ etcd }: ClusterFindings): Finding[] {
  if (etcd === undefined) return []
  const id = etcd.clusterId === undefined ? [] : [info(`Etcd cluster ID: ${etcd.clusterId}`)]
  if (etcd.error === undefined) return [ok('Etcd connection successfully established'), ...id]
  if (/permission denied/i.test(etcd.error)) {
    return [
      error(
        `Failed to retrieve key from etcd: ${etcd.error}`,
        'the user (common name of the client certificate) lacks the role "remote" in that etcd',
      ),
      ...id,
    ]
  }
  if (/invalid auth|user name is empty|authentication|PERMISSION|UNAUTHENTICATED/i.test(etcd.error)) {
    return [
      error(
        `Etcd authentication failed: ${etcd.error}`,
        'use a client certificate whose common name is a user of that etcd',
      ),
      ...id,
    ]
  }
  return [error(`Cannot establish etcd connection: ${etcd.error}`, 'what failed first is above'), ...id]
}

/** What the exporter says about itself, and whether it lives. */
export function exporterFindings({ name, etcd, endpoints, now }: ClusterFindings): Finding[] {
  if (etcd === undefined || etcd.error !== undefined) return []
  const found: Finding[] = []
  const { config, canaries, heartbeat } = etcd
  if (config !== undefined && 'error' in config) {
    found.push(
      error(
        `Cluster configuration not retrieved: ${config.error}`,
        `is this the etcd of ${name}, and does its exporter run?`,
      ),
    )
  } else if (config !== undefined) {
    found.push(
      ok(
        `Cluster configuration retrieved: cluster-id=${config.id}, kvstoremesh=${config.cached}, ` +
          `sync-canaries=${config.syncedCanaries}, max-connected-clusters=${config.maxConnectedClusters || 'unknown'}`,
      ),
    )
  }
  if (canaries !== undefined && 'error' in canaries) {
    found.push(
      error(
        `Canaries cannot be read: ${canaries.error}`,
        `the user may not read cilium/synced/${name}/: correct its role`,
      ),
    )
  } else if (canaries !== undefined && canaries.length > 0) {
    const missing = canaries.filter(({ seen }) => !seen)
    const text = canaries.map(({ resource, seen }) => `${resource}=${seen}`).join(', ')
    found.push(
      missing.length === 0
        ? ok(`Synchronization canaries: ${text}`)
        : error(
            `Synchronization canaries: ${text}`,
            `the exporter of ${name} has not finished its first list: look at its log`,
          ),
    )
  }
  found.push(heartbeatFinding(name, heartbeat, now))
  const skews = endpoints.map(({ skewMs }) => skewMs).filter((skew) => skew !== undefined)
  const worst = skews.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0)
  if (skews.length > 0) {
    found.push(
      Math.abs(worst) <= SKEW_MS
        ? ok(`Clocks are less than ${SKEW_MS / 1000}s apart`)
        : error(
            `The clock there is ${Math.round(Math.abs(worst) / 1000)}s ${worst > 0 ? 'ahead' : 'behind'}`,
            'set both clocks by NTP: certificates and heartbeats are judged by them',
          ),
    )
  }
  return found
}

function heartbeatFinding(name: string, heartbeat: string | undefined, now: Date): Finding {
  const next = `the exporter of ${name} (clustermesh-apiserver) is not running, or cannot write: look at it there`
  if (heartbeat === undefined) return error('No heartbeat was ever written', next)
  const age = now.getTime() - Date.parse(heartbeat)
  // Some exporters write no time; that the key is there and leased is then all there is to know.
  if (Number.isNaN(age)) return info(`Heartbeat: ${heartbeat}`)
  if (age > STALE_MS) return error(`The last heartbeat was written ${span(age)} ago`, next)
  return ok(`The last heartbeat was written ${span(age)} ago`)
}
