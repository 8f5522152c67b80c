import type { Config } from '../config.ts'
import type { ConfigValue } from '../api/types.ts'
import type { SettingTable } from '../lib/settings.ts'
import { MAX_CLUSTER_ID } from '../types/wire/keys.ts'
import { scalar } from './table.ts'

/** A key of the ConfigMap and, where it is written otherwise there, how. */
type Entry = string | readonly [key: string, write: (value: unknown) => string]

/**
 * Under which keys of Cilium's ConfigMap operators look for our settings. What it has no key for keeps our own name, in the
 * spelling of its flag. Two settings never share a key.
 */
export const CONFIG_MAP: { readonly [K in keyof SettingTable<Config>]: readonly Entry[] } = {
  clusterName: ['cluster-name'],
  clusterId: ['cluster-id'],
  nodeName: ['node-name'],
  nodeIp: ['ipv4-node'],
  uplink: ['direct-routing-device'],
  devices: ['devices'],
  manifests: ['manifests'],
  clustermeshConfig: ['clustermesh-config'],
  bpfRoot: ['bpf-root'],
  cgroupRoot: ['cgroup-root'],
  bpfObjects: ['bpf-objects'],
  stateDir: ['state-dir'],
  apiSocket: ['socket-path'],
  prometheusServeAddr: ['prometheus-serve-addr'],
  healthzServeAddr: ['kube-proxy-replacement-healthz-bind-address'],
  logLevel: ['log-level', ['debug', (value) => String(value === 'debug')]],
  'loadBalancer.algorithm': ['bpf-lb-algorithm'],
  'loadBalancer.mode': ['bpf-lb-mode'],
  // The one encapsulation there is: between nodes, packets go as they are.
  'loadBalancer.dsrDispatch': ['bpf-lb-dsr-dispatch', 'tunnel-protocol'],
  'loadBalancer.dsrInfo': ['load-balancer-dsr-info'],
  'loadBalancer.dsrRemoteClusters': ['load-balancer-dsr-remote-clusters'],
  'loadBalancer.maglevTableSize': ['bpf-lb-maglev-table-size'],
  'loadBalancer.acceleration': ['bpf-lb-acceleration'],
  nodePortRange: [['node-port-range', (value) => asText(value).replace('-', ',')]],
  serviceNoBackendResponse: ['service-no-backend-response'],
  autoDirectNodeRoutes: ['auto-direct-node-routes'],
  monitorTrace: ['bpf-events-trace-enabled'],
  // Nothing else masquerades here, so one setting answers both.
  'bpf.masquerade': ['enable-bpf-masquerade', 'enable-ipv4-masquerade'],
  ipv4NativeRoutingCIDR: ['ipv4-native-routing-cidr'],
  'ipMasqAgent.enabled': ['enable-ip-masq-agent'],
  'ipMasqAgent.configFile': ['ip-masq-agent-config-path'],
  'ipMasqAgent.config.nonMasqueradeCIDRs': ['ip-masq-agent-config-non-masquerade-cidrs'],
  'ipMasqAgent.config.masqLinkLocal': ['ip-masq-agent-config-masq-link-local'],
  'socketLB.enabled': ['bpf-lb-sock'],
  'socketLB.hostNamespaceOnly': ['bpf-lb-sock-hostns-only'],
  unreachableAfter: ['unreachable-after'],
  cacheTTL: ['clustermesh-cache-ttl'],
  auditInterval: ['audit-interval'],
  'probes.enabled': ['probes-enabled'],
  'probes.intervalMs': ['probes-interval-ms'],
  'probes.timeoutMs': ['probes-timeout-ms'],
  'probes.holdDownMs': ['probes-hold-down-ms'],
  'probes.maxPerSecond': ['probes-max-per-second'],
  'mapSizes.services': ['bpf-lb-service-map-max'],
  'mapSizes.slots': ['map-sizes-slots'],
  'mapSizes.backends': ['bpf-lb-service-backend-map-max'],
  'mapSizes.flowsTcp': ['bpf-ct-global-tcp-max'],
  'mapSizes.flowsSyn': ['map-sizes-flows-syn'],
  'mapSizes.flowsAny': ['bpf-ct-global-any-max'],
  'mapSizes.ipcache': ['map-sizes-ipcache'],
}

/** What operators look for, and nobody can set here. */
export const FIXED: Readonly<Record<string, string>> = {
  'enable-bgp-control-plane': 'false',
  'enable-ipv4': 'true',
  'enable-ipv6': 'false',
  'enable-ipv6-masquerade': 'false',
  'kube-proxy-replacement': 'true',
  'max-connected-clusters': String(MAX_CLUSTER_ID),
  'routing-mode': 'native',
}

/** Of a ConfigMap, sorted by key; what has no value is empty. */
export function configMapData(values: readonly ConfigValue[]): readonly (readonly [key: string, value: string])[] {
  const data = new Map(Object.entries(FIXED))
  for (const { key, value } of values) {
    for (const entry of entriesOf(key)) {
      if (typeof entry === 'string') data.set(entry, asText(value))
      else data.set(entry[0], entry[1](value))
    }
  }
  return [...data].sort(([a], [b]) => (a < b ? -1 : 1))
}

/** An agent of another version may have settings that are not in the table. */
function entriesOf(key: string): readonly Entry[] {
  return (CONFIG_MAP as Readonly<Record<string, readonly Entry[]>>)[key] ?? [key]
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return Array.isArray(value) ? value.map(asText).join(',') : scalar(value)
}
