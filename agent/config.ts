import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { LogLevel } from './lib/log.ts'
import * as form from './lib/schemas.ts'
import type { DefaultContext, Loaded, SettingTable } from './lib/settings.ts'
import type { EgressConfig } from './config/egress.ts'
import type { LoadBalancerConfig } from './config/load-balancer.ts'
import type { ConfigInput } from './config/shared.ts'
import { EGRESS } from './config/egress.ts'
import { LOAD_BALANCER } from './config/load-balancer.ts'
import {
  BOOLEAN,
  CLUSTER_NAME,
  DIRECTORY,
  LOG_LEVEL,
  MANIFESTS,
  PROMETHEUS,
  SOCKET,
  withFiles,
} from './config/shared.ts'
import { describeSettings, loadSettings } from './lib/settings.ts'

/** The agent's configuration: validated as a whole, frozen. Durations are milliseconds. */
export interface Config extends EgressConfig, LoadBalancerConfig {
  readonly clusterName: string
  /** 1-255; 0 is a cluster that is in no mesh. */
  readonly clusterId: number
  readonly nodeName: string
  /** Undefined: the first one of the uplink. */
  readonly nodeIp: string | undefined
  /** Device towards other nodes and clients; undefined: the one that has `nodeIp`, else that of the default route. */
  readonly uplink: string | undefined
  /** Beside the uplink: names, or beginnings of names that end in `+`. Undefined: those of default routes. */
  readonly devices: readonly string[] | undefined
  readonly manifests: string
  /** Undefined: no mesh. */
  readonly clustermeshConfig: string | undefined
  readonly bpfRoot: string
  readonly cgroupRoot: string
  readonly bpfObjects: string
  readonly stateDir: string
  readonly apiSocket: string
  /** Undefined: no metrics. */
  readonly prometheusServeAddr: string | undefined
  /** Where balancers ask for the node itself; `none`: nowhere. */
  readonly healthzServeAddr: string
  readonly logLevel: LogLevel
  /** First and last port. */
  readonly nodePortRange: readonly [number, number]
  readonly serviceNoBackendResponse: 'reject' | 'drop'
  readonly autoDirectNodeRoutes: boolean
  readonly monitorTrace: boolean
  readonly unreachableAfter: number
  readonly cacheTTL: number
  readonly auditInterval: number
  /** Connections to backends of other clusters, which show whether they are there. */
  readonly probes: {
    readonly enabled: boolean
    readonly intervalMs: number
    readonly timeoutMs: number
    readonly holdDownMs: number
    readonly maxPerSecond: number
  }
  readonly mapSizes: {
    readonly services: number
    readonly slots: number
    readonly backends: number
    readonly flowsTcp: number
    readonly flowsSyn: number
    readonly flowsAny: number
    readonly ipcache: number
  }
}

const SECOND = 1_000
const HOUR = 3_600_000
const SIZE = { schema: form.integer(256, 1 << 26), allowed: `a number from 256 to ${1 << 26}`, value: '<entries>' }

/** One line of thought per setting: what may be written, what is taken otherwise, what it is for. */
const AGENT: SettingTable<Config> = {
  clusterName: CLUSTER_NAME,
  clusterId: {
    schema: form.integer(0, 255),
    default: 0,
    allowed: 'a number from 1 to 255, unlike that of any other cluster of the mesh; 0 for no mesh',
    description: 'number of this cluster in the mesh, 1-255; 0 for no mesh',
    value: '<id>',
  },
  nodeName: {
    schema: form.nodeName,
    default: () => hostname().toLowerCase(),
    defaultText: 'host name',
    allowed: 'lower-case letters, digits, "-" and ".", as Kubernetes names nodes',
    description: 'name of the Node object of this machine',
    value: '<name>',
  },
  nodeIp: {
    schema: form.ipv4.optional(),
    default: undefined,
    allowed: 'an IPv4 address',
    description: 'address other nodes reach this one at; otherwise the first one of the uplink',
    value: '<address>',
  },
  uplink: {
    schema: form.device.optional(),
    default: undefined,
    allowed: 'the name of a network device',
    description:
      'device towards other nodes and clients; otherwise the one with the node address, or of the default route',
    value: '<device>',
  },
  devices: {
    schema: form.devices.optional(),
    default: undefined,
    allowed: 'a list of device names, or of beginnings that end in "+", like eth0,bond+',
    description:
      'devices that clients and other nodes come in by, beside the uplink; otherwise those of default routes',
    value: '<list>',
  },
  manifests: MANIFESTS,
  clustermeshConfig: {
    ...DIRECTORY,
    schema: form.path.optional(),
    default: undefined,
    description: 'directory with one etcd client configuration for each remote cluster',
  },
  bpfRoot: { ...DIRECTORY, default: '/sys/fs/bpf', description: 'where the BPF file system is mounted' },
  cgroupRoot: {
    ...DIRECTORY,
    default: ({ readFile }: DefaultContext) => findCgroup2(readFile),
    defaultText: 'the mounted cgroup2',
    description: 'cgroup whose sockets are balanced; a cgroup2 directory',
  },
  bpfObjects: {
    ...DIRECTORY,
    default: () => builtObjects(),
    defaultText: 'build/bpf beside the program',
    description: 'directory of the compiled BPF objects',
  },
  stateDir: {
    ...DIRECTORY,
    default: '/run/weft',
    description: 'directory for locks, sockets, and what a restarted agent recalls',
  },
  apiSocket: {
    ...SOCKET,
    default: ({ get }: DefaultContext) => join((get('stateDir') as string | undefined) ?? '/run/weft', 'weft.sock'),
    defaultText: 'weft.sock in the state directory',
    description: 'unix socket the agent answers commands on',
  },
  prometheusServeAddr: PROMETHEUS,
  healthzServeAddr: {
    schema: z.union([z.literal('none'), form.listenAddress]),
    default: ':10256',
    allowed: 'a port with an address or without, like :10256 or 127.0.0.1:10256, or none',
    description: 'where load balancers ask whether this node serves (GET /healthz), as kube-proxy answers; or none',
    value: '<address>',
  },
  logLevel: LOG_LEVEL,
  ...LOAD_BALANCER,
  nodePortRange: {
    schema: form.portRange,
    default: '30000-32767',
    allowed: 'first and last port, like 30000-32767',
    description: 'ports that node port services may have',
    value: '<range>',
  },
  serviceNoBackendResponse: {
    schema: z.enum(['reject', 'drop']),
    default: 'reject',
    allowed: 'reject, drop',
    description: 'whether clients of a service without backends are told so at once, or left to wait',
    value: '<how>',
  },
  autoDirectNodeRoutes: {
    ...BOOLEAN,
    default: true,
    description: 'install a route to the pods of each node on the same network',
  },
  monitorTrace: {
    ...BOOLEAN,
    default: false,
    description: 'load programs that can tell `weft monitor --type trace` of each packet of a service',
  },
  ...EGRESS,
  unreachableAfter: {
    schema: form.duration(SECOND, HOUR),
    default: '10s',
    allowed: 'a duration from 1s to 1h, like 10s',
    description: 'how long a remote cluster may be silent before its backends are avoided',
    value: '<duration>',
  },
  cacheTTL: {
    schema: form.duration(SECOND, 24 * HOUR),
    default: '5m',
    allowed: 'a duration from 1s to 24h, like 5m, and longer than unreachableAfter',
    description: 'how long the backends of a silent remote cluster are kept at all',
    value: '<duration>',
  },
  auditInterval: {
    schema: form.duration(SECOND, 24 * HOUR),
    default: '60s',
    allowed: 'a duration from 1s to 24h, like 60s',
    description: 'how often the kernel is compared with what it should hold',
    value: '<duration>',
  },
  'probes.enabled': {
    ...BOOLEAN,
    default: true,
    description: 'ask backends of other clusters by TCP connections whether they are there',
  },
  'probes.intervalMs': {
    schema: form.integer(100, 60_000),
    default: 2000,
    allowed: 'milliseconds from 100 to 60000',
    description: 'time between two questions to a backend in doubt, or to samples of a cluster, in ms',
    value: '<ms>',
  },
  'probes.timeoutMs': {
    schema: form.integer(50, 10_000),
    default: 1000,
    allowed: 'milliseconds from 50 to 10000',
    description: 'how long a backend may take to accept a connection, in ms',
    value: '<ms>',
  },
  'probes.holdDownMs': {
    schema: form.integer(0, 600_000),
    default: 2000,
    allowed: 'milliseconds from 0 to 600000',
    description: 'how long a backend that was found dead must answer before it is used again, in ms',
    value: '<ms>',
  },
  'probes.maxPerSecond': {
    schema: form.integer(1, 10_000),
    default: 50,
    allowed: 'a number from 1 to 10000',
    description: 'most connections this node makes per second to ask backends',
    value: '<number>',
  },
  'mapSizes.services': { ...SIZE, default: 65_536, description: 'frontends the service map has room for' },
  'mapSizes.slots': {
    ...SIZE,
    default: 4_194_304,
    description: 'backend slots and Maglev entries of all services together',
  },
  'mapSizes.backends': { ...SIZE, default: 262_144, description: 'backends there is room for' },
  'mapSizes.flowsTcp': {
    ...SIZE,
    default: 524_288,
    description: 'entries for established TCP flows, two for each flow',
  },
  'mapSizes.flowsSyn': {
    ...SIZE,
    default: 262_144,
    description: 'entries for TCP flows of which only SYNs were seen, two for each flow',
  },
  'mapSizes.flowsAny': {
    ...SIZE,
    default: 262_144,
    description: 'entries for other flows, two for each flow',
  },
  'mapSizes.ipcache': { ...SIZE, default: 512_000, description: 'prefixes with a known identity' },
}

/** Flags, variables and keys, `--config` first. */
export const AGENT_SETTINGS = describeSettings(AGENT)

/** @throws InvalidConfig with every problem there is. */
export function loadConfig(input: ConfigInput): Loaded<Config> {
  return loadSettings(AGENT, withFiles(input), (config, complain) => {
    if (config.clusterName === 'default' && config.clusterId > 0) {
      complain('clusterName', 'a cluster with an id is in a mesh and needs a name of its own')
    }
    if (config.clustermeshConfig !== undefined && config.clusterId === 0) {
      complain('clusterId', 'a cluster that connects to others (clustermeshConfig) needs an id from 1 to 255')
    }
    if (config.nodePortRange?.[1] === 65535) {
      complain('nodePortRange', 'must end below 65535: source ports of forwarded flows come behind it')
    }
    if (config.cacheTTL <= config.unreachableAfter) {
      complain('cacheTTL', 'must be longer than unreachableAfter')
    }
  })
}

/** The first cgroup2 mount. Machines with both versions have it beside the old hierarchies. */
function findCgroup2(readFile: (path: string) => string): string {
  const usual = '/sys/fs/cgroup'
  let mounts: string
  try {
    mounts = readFile('/proc/self/mounts')
  } catch {
    // No proc: the start checks whether the usual place is a cgroup2, and says what to do.
    return usual
  }
  const fields = mounts.split('\n').map((line) => line.split(' '))
  const path = fields.find((field) => field[2] === 'cgroup2')?.[1]
  return path?.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))) ?? usual
}

/** Sources run from `agent/`, the command from `build/weft/`, the build's single modules from `build/js/agent/`. */
function builtObjects(): string {
  const here = dirname(fileURLToPath(import.meta.url))
  if (here.endsWith('/build/weft')) return resolve(here, '../bpf')
  return here.endsWith('/build/js/agent') ? resolve(here, '../../bpf') : resolve(here, '../build/bpf')
}
