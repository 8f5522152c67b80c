import * as form from '../lib/schemas.ts'
import type { LogLevel } from '../lib/log.ts'
import type { Loaded, SettingTable } from '../lib/settings.ts'
import { describeSettings, loadSettings } from '../lib/settings.ts'
import type { ConfigInput, EtcdFiles } from './shared.ts'
import {
  CLUSTER_NAME,
  DIRECTORY,
  ETCD_FILES,
  FILE,
  LOG_LEVEL,
  MANIFESTS,
  PROMETHEUS,
  SOCKET,
  withFiles,
} from './shared.ts'

/** Configuration of the program that exports a cluster to its etcd. */
export interface ApiserverConfig extends EtcdFiles {
  readonly clusterName: string
  /** 1-255. */
  readonly clusterId: number
  readonly manifests: string
  readonly etcdEndpoints: readonly string[]
  /** File with the users that other clusters have of their own. */
  readonly meshUsers: string | undefined
  readonly apiSocket: string
  readonly healthPort: number
  /** Undefined: no metrics. */
  readonly prometheusServeAddr: string | undefined
  readonly logLevel: LogLevel
}

/** Configuration of the program that copies remote clusters into the own cluster's etcd. */
export interface KvstoremeshConfig extends EtcdFiles {
  readonly clusterName: string
  /** 1-255. */
  readonly clusterId: number
  readonly clustermeshConfig: string
  readonly etcdEndpoints: readonly string[]
  readonly apiSocket: string
  readonly healthPort: number
  /** Undefined: no metrics. */
  readonly prometheusServeAddr: string | undefined
  /** Milliseconds. */
  readonly silentAfter: number
  readonly logLevel: LogLevel
}

const APISERVER: SettingTable<ApiserverConfig> = {
  clusterName: CLUSTER_NAME,
  clusterId: {
    schema: form.integer(1, 255),
    default: undefined,
    allowed: 'a number from 1 to 255, unlike that of any other cluster of the mesh',
    description: 'number of this cluster in the mesh, 1-255',
    value: '<id>',
  },
  manifests: MANIFESTS,
  etcdEndpoints: {
    schema: form.endpoints,
    default: ['http://127.0.0.1:2379'],
    allowed: 'URLs of etcd servers, like http://127.0.0.1:2379, with commas between them',
    description: 'etcd the cluster is exported to',
    value: '<urls>',
  },
  ...ETCD_FILES,
  etcdCertFile: {
    ...FILE,
    description: 'certificate of admin-<cluster>; with it, the users and roles of the etcd are set, too',
  },
  meshUsers: {
    ...FILE,
    allowed: 'a file in YAML',
    description: 'file with the users of etcd that other clusters have of their own (users: name, role); read again',
  },
  apiSocket: {
    ...SOCKET,
    default: '/run/weft/clustermesh-apiserver.sock',
    description: 'unix socket the program answers commands on',
  },
  healthPort: {
    schema: form.integer(0, 65535),
    default: 9880,
    allowed: 'a port from 1 to 65535; 0 for none',
    description: 'port of the readiness check (GET /readyz); 0 for none',
    value: '<port>',
  },
  prometheusServeAddr: PROMETHEUS,
  logLevel: LOG_LEVEL,
}

const KVSTOREMESH: SettingTable<KvstoremeshConfig> = {
  clusterName: CLUSTER_NAME,
  clusterId: APISERVER.clusterId,
  clustermeshConfig: {
    ...DIRECTORY,
    default: undefined,
    description: 'directory with one etcd client configuration for each remote cluster',
  },
  etcdEndpoints: { ...APISERVER.etcdEndpoints, description: 'etcd of this cluster, which remote ones are copied into' },
  ...ETCD_FILES,
  apiSocket: {
    ...SOCKET,
    default: '/run/weft/kvstoremesh.sock',
    description: 'unix socket the program answers commands on',
  },
  healthPort: { ...APISERVER.healthPort, default: 9881 },
  prometheusServeAddr: PROMETHEUS,
  silentAfter: {
    schema: form.duration(500, 3_600_000),
    default: '6s',
    allowed: 'a duration from 500ms to 1h, like 6s, and shorter than unreachableAfter of the agents',
    description: 'how long a remote cluster may be silent before agents are told',
    value: '<duration>',
  },
  logLevel: LOG_LEVEL,
}

/** Flags, variables and keys of the programs, `--config` first. */
export const APISERVER_SETTINGS = describeSettings(APISERVER)
export const KVSTOREMESH_SETTINGS = describeSettings(KVSTOREMESH)

/** @throws InvalidConfig with every problem there is. */
export function loadApiserverConfig(input: ConfigInput): Loaded<ApiserverConfig> {
  return loadSettings(APISERVER, withFiles(input), (config, complain) => {
    if (config.clusterName === 'default') {
      complain('clusterName', 'a cluster that is exported needs a name of its own')
    }
    const secure = config.etcdEndpoints?.some((url) => url.startsWith('https:')) === true
    if ((config.etcdCertFile === undefined) !== (config.etcdKeyFile === undefined)) {
      complain('etcdCertFile', 'certificate and key (etcdKeyFile) go together')
    }
    if (!secure && config.etcdCertFile !== undefined) {
      complain('etcdEndpoints', 'a certificate is shown to https endpoints only')
    }
    if (config.meshUsers !== undefined && config.etcdCertFile === undefined) {
      complain('meshUsers', 'users are told apart by certificates: etcdCertFile and etcdKeyFile are needed')
    }
  })
}

/** @throws InvalidConfig with every problem there is. */
export function loadKvstoremeshConfig(input: ConfigInput): Loaded<KvstoremeshConfig> {
  return loadSettings(KVSTOREMESH, withFiles(input), (config, complain) => {
    if (config.clusterName === 'default') {
      complain('clusterName', 'a cluster that is in a mesh needs a name of its own')
    }
    if ((config.etcdCertFile === undefined) !== (config.etcdKeyFile === undefined)) {
      complain('etcdKeyFile', 'a certificate and its key (etcdCertFile, etcdKeyFile) are given together')
    }
  })
}
