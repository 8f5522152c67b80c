import type { EtcdEndpoint } from '../../lib/etcd.ts'
import { ConfigError } from '../../lib/errors.ts'
import { parseDocument } from 'yaml'

const HINT = 'the file must look like: endpoints: [https://HOST:PORT], and for TLS trusted-ca-file, cert-file, key-file'

/** Whether a file in the configuration directory describes a cluster; certificates and keys lie beside them. */
export function isClusterFile(content: string): boolean {
  return content.includes('endpoints:')
}

/**
 * Reads an etcd client configuration (YAML).
 * @throws ConfigError `cluster-config-file` naming the file and, where YAML knows it, the line
 */
export function parseClusterFile(path: string, content: string): EtcdEndpoint {
  const document = parseDocument(content)
  const [error] = document.errors
  if (error !== undefined) {
    const line = error.linePos?.[0].line
    const [what = ''] = error.message.split(/ at line |\n/)
    throw refusal(line === undefined ? path : `${path}:${line}`, what)
  }
  const value: unknown = document.toJS()
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refusal(path, 'is not a YAML mapping')
  const fields = value as Record<string, unknown>
  const endpoints = fields['endpoints']
  if (!Array.isArray(endpoints) || endpoints.length === 0) throw refusal(path, 'endpoints is not a list of addresses')
  const schemes = new Set<string>()
  for (const endpoint of endpoints as unknown[]) {
    const match = typeof endpoint === 'string' ? /^(?:(https?):\/\/)?[^\s/:]+:\d{1,5}\/?$/.exec(endpoint) : null
    if (match === null) throw refusal(path, `"${String(endpoint)}" is not http://HOST:PORT or https://HOST:PORT`)
    schemes.add(match[1] ?? 'http')
  }
  if (schemes.size > 1) throw refusal(path, 'mixes http and https endpoints')
  return {
    endpoints: (endpoints as string[]).map((endpoint) => endpoint.replace(/\/$/, '')),
    caFile: fileField(path, fields, 'trusted-ca-file'),
    certFile: fileField(path, fields, 'cert-file'),
    keyFile: fileField(path, fields, 'key-file'),
  }
}

function fileField(path: string, fields: Record<string, unknown>, name: string): string | undefined {
  const value = fields[name]
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw refusal(path, `${name} is not a file name`)
  return value
}

function refusal(where: string, what: string): ConfigError {
  return new ConfigError('cluster-config-file', `${where}: ${what}`, { hint: HINT })
}
