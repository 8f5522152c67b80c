import { readFileSync } from 'node:fs'
import { z } from 'zod'
import type { LogLevel } from '../lib/log.ts'
import { LOG_LEVELS } from '../lib/log.ts'
import * as form from '../lib/schemas.ts'
import type { SettingSpec, SettingsInput, SettingTable } from '../lib/settings.ts'

/** For https: whom to believe, and how to be believed. */
export interface EtcdFiles {
  readonly etcdCaFile: string | undefined
  readonly etcdCertFile: string | undefined
  readonly etcdKeyFile: string | undefined
}

export const BOOLEAN = { schema: form.boolean, allowed: 'true, false', value: '[bool]' }
export const DIRECTORY = { schema: form.path, allowed: 'a directory', value: '<directory>', path: true }
export const FILE = {
  schema: form.path.optional(),
  default: undefined,
  allowed: 'a file in PEM form',
  value: '<file>',
  path: true,
}
export const SOCKET = {
  schema: form.socketPath,
  allowed: 'a path of at most 107 bytes',
  value: '<path>',
  path: true,
  flagName: 'socket',
}

export const CLUSTER_NAME: SettingSpec<string> = {
  schema: z.string().regex(/^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/),
  default: 'default',
  allowed: 'at most 32 lower-case letters, digits and "-", with a letter or digit first and last',
  description: 'name of this cluster in the mesh',
  value: '<name>',
}

export const PROMETHEUS: SettingSpec<string | undefined> = {
  schema: form.listenAddress.optional(),
  default: undefined,
  allowed: 'a port with an address or without, like :9962 or 127.0.0.1:9962',
  description: 'where Prometheus is answered (GET /metrics), like :9962; nowhere otherwise',
  value: '<address>',
}

export const LOG_LEVEL: SettingSpec<LogLevel> = {
  schema: z.enum(LOG_LEVELS),
  default: 'info',
  allowed: LOG_LEVELS.join(', '),
  description: 'least severe messages to log',
  value: '<level>',
}

export const MANIFESTS: SettingSpec<string> = {
  ...DIRECTORY,
  default: '/etc/weft/manifests',
  description: 'directory of Kubernetes manifests that describe this cluster',
}

export const ETCD_FILES: SettingTable<EtcdFiles> = {
  etcdCaFile: { ...FILE, description: 'CAs that sign the certificate of that etcd, for https' },
  etcdCertFile: { ...FILE, description: 'certificate to show to that etcd: that of admin-<cluster>' },
  etcdKeyFile: { ...FILE, description: 'private key of that certificate' },
}

export type ConfigInput = Omit<SettingsInput, 'readFile'> & Partial<Pick<SettingsInput, 'readFile'>>

/** Files are read from disk unless the caller brings its own. */
export function withFiles(input: ConfigInput): SettingsInput {
  return { readFile: (path) => readFileSync(path, 'utf8'), ...input }
}
