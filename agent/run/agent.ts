import { randomInt } from 'node:crypto'
import type { ConfigValue, StatusReport } from '../api/types.ts'
import type { Config } from '../config.ts'
import type { NodePlace } from './node-place.ts'
import type { BpfMap } from '../../native/index.ts'
import { DeviceMonitor, ifName, RingBuffer } from '../../native/index.ts'
import type { Snapshot } from '../desired/snapshot.ts'
import type { Clock } from '../lib/clock.ts'
import type { Address } from '../types/address.ts'
import type { NetDevice } from '../types/device.ts'
import type { SlotBackend } from '../types/frontend.ts'
import type { Problem } from '../types/problem.ts'
import type { PacketCount } from '../api/metrics/agent.ts'
import { agentSamples } from '../api/metrics/agent.ts'
import { MetricsServer } from '../api/metrics/server.ts'
import { startApi } from '../api/server.ts'
import { probeTargets } from '../desired/probe-targets.ts'
import { maglevTable, parseMaglevSeed } from '../desired/maglev.ts'
import { DEFAULT_MAGLEV_SEED } from '../types/maglev.ts'
import { systemClock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { createLog } from '../lib/log.ts'
import { DROP_REASONS, REASON_NAMES } from '../maps/drop-reasons.ts'
import { encoded } from '../maps/codec.ts'
import { EVENT_RING } from '../maps/events.ts'
import { MASQUERADE_MAP } from '../maps/masquerade.ts'
import { decodeCounter, METRIC_DIRECTIONS, metricIndex, metricKey, METRICS_MAP, readCounters } from '../maps/metrics.ts'
import { RUNTIME_MAP } from '../maps/runtime.ts'
import { PURGE_MAP, PURGE_PROGRAM, purgeElements } from '../maps/purge.ts'
import { chooseDevices } from '../desired/devices.ts'
import { DEVICE_MAP } from '../maps/device.ts'
import { DeviceKeeper } from './devices.ts'
import { Masquerade } from './masquerade.ts'
import { findNodePlace } from './node-place.ts'
import { Pipelines } from './pipelines.ts'
import { requireManifestDirectory, startManifestSource } from '../sources/manifests/source.ts'
import { startMeshSource } from '../sources/mesh/index.ts'
import { startProbes } from '../sources/probes/index.ts'
import { GRACE_MS, IdPool } from '../state/ids.ts'
import { Regions } from '../state/regions.ts'
import { LOCAL_SOURCE, SyncGates } from '../state/sync.ts'
import { createTables } from '../state/tables.ts'
import { Writer } from '../state/writer.ts'
import { EndpointTarget } from '../targets/endpoints.ts'
import { FlowPurge } from '../targets/flow-purge.ts'
import { IpcacheTarget } from '../targets/ipcache.ts'
import { LbTarget } from '../targets/lb/target.ts'
import { MasqueradeTarget } from '../targets/masquerade.ts'
import { EventMonitor } from '../targets/monitor.ts'
import { podDevices } from '../targets/pod-devices.ts'
import { writeDevices } from '../targets/device-map.ts'
import { readNetDevices } from '../targets/net-devices.ts'
import { PodHookTarget } from '../targets/pod-hooks.ts'
import { Datapath } from '../targets/programs.ts'
import type { GoneBackend } from '../targets/stale-sockets.ts'
import { RouteTarget } from '../targets/routes.ts'
import { maskAddress, parseCidr } from '../types/address.ts'
import { HealthChecks } from './health-checks.ts'
import { openStaleSockets } from './stale-sockets.ts'
import { agentView } from './view.ts'

const clock = systemClock
const random = Math.random

/**
 * `weft agent`: builds everything, in order, and stops it in the opposite one when `signal` is aborted.
 *
 * Order: datapath (adopts what is pinned), what the maps hold, the API, then the sources. Whatever happens here, programs and
 * maps stay as they are: stopping is not detaching.
 */
export async function runAgent(
  config: Config,
  values: readonly ConfigValue[],
  version: string,
  signal: AbortSignal,
): Promise<void> {
  const log = createLog(config.logLevel, 'agent')
  const stops: (() => Promise<void> | void)[] = []
  try {
    const place = await findNodePlace(config)
    // Before anything is attached: a configuration that cannot be used changes nothing.
    await requireManifestDirectory(config.manifests)
    // Before devices are read: a change in between is heard of.
    const monitor = new DeviceMonitor()
    stops.push(() => monitor.close())
    const wish = { uplink: place.uplink, patterns: config.devices }
    const devices = chooseDevices(wish, await readNetDevices())
    const datapath = openDatapath(config, place, devices)
    stops.push(() => datapath.close())

    const tables = createTables()
    const sync = new SyncGates()
    sync.register(LOCAL_SOURCE)
    const writer = new Writer(tables, sync)
    let onAddresses = (_: readonly Address[]): void => undefined
    const keeper = new DeviceKeeper({
      ...{ wish, clock, log, address: place.address, read: readNetDevices, auditMs: config.auditInterval },
      acceleration: config.loadBalancer.acceleration,
      nodeIp: config.nodeIp === undefined ? undefined : place.address,
      changed: () => monitor.changed(),
      attach: (names) => datapath.setUplinks(names),
      write: (entries) => writeDevices(datapath.maps[DEVICE_MAP.name]!, entries),
      onProblems: (problems) => {
        writer.setProblems('devices', problems)
        writer.setProblems('sysctls', sysctlProblems(datapath.sysctls))
      },
      onAddresses: (changed) => onAddresses(changed),
    })
    keeper.start(devices, datapath.uplinks)
    stops.push(() => keeper.stop())

    const purge = openFlowPurge(datapath, log)
    const sockets = openStaleSockets({ maps: datapath.maps, cgroupRoot: config.cgroupRoot, tables, clock, log })
    const lb = openLoadBalancer(datapath.maps, clock, { purge, sockets })
    stops.push(() => purge.close())
    stops.push(() => sockets.close())
    stops.push(() => lb.close())
    const restored = await lb.load()
    const snapshot = liveSnapshot(
      config,
      () => keeper.addresses,
      tables,
      sync,
      (id) => restored.get(id)?.group.slots ?? [],
    )

    const pipelines = new Pipelines({
      targets: {
        lb,
        endpoints: new EndpointTarget(datapath.maps['w_ep_v1']!),
        ipcache: new IpcacheTarget(datapath.maps['w_ipc_v1']!),
        podHooks: new PodHookTarget(datapath, () => podDevices(datapath.uplinks.map(({ device }) => device))),
        routes: config.autoDirectNodeRoutes ? new RouteTarget(place.uplink) : undefined,
      },
      ...{ snapshot, writer, sync, clock, random, log },
      auditMs: config.auditInterval,
    })
    await pipelines.start()
    stops.push(() => pipelines.stop())
    onAddresses = (changed) => pipelines.onNodeAddresses(changed)
    const healthChecks = new HealthChecks({
      ...{ snapshot, writer, sync, clock, random, log },
      nodeAddress: config.healthzServeAddr === 'none' ? undefined : config.healthzServeAddr,
      stuckMs: () => pipelines.stuckMs,
    })
    await healthChecks.start()
    stops.push(() => healthChecks.stop())

    const events = openMonitor(datapath, config.monitorTrace)
    stops.push(() => events.close())
    const view = agentView({
      ...{ version, values, tables, snapshot, sync, pipelines, clock },
      idOf: (frontend) => lb.idOf(frontend),
      datapath: () => datapathReport(config, datapath, keeper, lb, pipelines),
    })
    const api = await startApi({ socket: config.apiSocket, view, log, monitor: events })
    stops.push(() => api.close())
    if (config.prometheusServeAddr !== undefined) {
      const metrics = await MetricsServer.start({
        ...{ address: config.prometheusServeAddr, clock, log },
        samples: () => agentSamples(view, packetCounts(datapath.maps[METRICS_MAP.name]!)),
        onProblems: (problems) => writer.setProblems('metrics', problems),
      })
      stops.push(() => metrics.close())
    }

    if (config.bpf.masquerade && config.ipMasqAgent.enabled) {
      const masquerade = await Masquerade.start({
        ...{ config: config.ipMasqAgent, clock, random, log, auditMs: config.auditInterval },
        target: new MasqueradeTarget(datapath.maps[MASQUERADE_MAP.name]!),
        onProblems: (problems) => writer.setProblems('ip-masq-agent', problems),
      })
      stops.push(() => masquerade.stop())
    }

    const cluster = { name: config.clusterName, id: config.clusterId }
    // First, so that every gate is registered before the own cluster's opens: nothing of a remote cluster is pruned too early.
    if (config.clustermeshConfig !== undefined) {
      const mesh = await startMeshSource({
        ...{ configDir: config.clustermeshConfig, cluster, writer, sync, clock, random, log },
        unreachableAfterMs: config.unreachableAfter,
        cacheTtlMs: config.cacheTTL,
      })
      stops.push(() => mesh.stop())
      if (config.probes.enabled) {
        const probes = startProbes({
          ...{ ...config.probes, writer, clock, random, log },
          targetsOf: (service) => probeTargets(snapshot, service),
          isSilent: (name) => {
            const row = tables.clusters.get(name)
            return row === undefined || row.unreachable || row.state !== 'ready'
          },
        })
        stops.push(() => probes.stop())
      }
    }
    const manifests = await startManifestSource({
      ...{ directory: config.manifests, cluster: cluster.name, writer, clock, log },
    })
    stops.push(() => manifests.stop())

    log.info({ node: config.nodeName, cluster: config.clusterName, uplink: place.uplink, version }, 'agent runs')
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    log.info({}, 'agent stops; programs and maps stay')
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

function openDatapath(config: Config, place: NodePlace, devices: readonly NetDevice[]): Datapath {
  const { services, slots, backends, flowsTcp, flowsAny, ipcache } = config.mapSizes
  const [first, last] = config.nodePortRange
  return Datapath.open({
    objectsDir: config.bpfObjects,
    bpfRoot: config.bpfRoot,
    cgroupRoot: config.cgroupRoot,
    uplink: place.uplink,
    devices: devices.map(({ name }) => name),
    acceleration: config.loadBalancer.acceleration,
    xdpTx: devices.every(({ kind }) => kind !== 'veth'),
    nodePorts: { first, last },
    sockets: config.socketLB.enabled,
    mapSizes: {
      w_svc4_v1: services,
      w_rnat4_v1: services,
      w_slot_v1: slots,
      w_be4_v1: backends,
      w_flow4t_v1: flowsTcp,
      w_flow4a_v1: flowsAny,
      w_ipc_v1: ipcache,
      [PURGE_MAP.name]: purgeElements(Math.max(services, backends)),
    },
    rodata: {
      cfg_snat_addr: networkOrder(place.address),
      // Where the search for a free port starts must not be guessable from outside (RFC 6056).
      cfg_snat_secret: randomInt(2 ** 32),
      cfg_snat_port_min: last + 1,
      cfg_no_backend_reject: config.serviceNoBackendResponse === 'reject',
      ...masqueradeVariables(config),
      cfg_sock_host_only: config.socketLB.hostNamespaceOnly,
      cfg_dsr_info_always: config.loadBalancer.dsrInfo === 'always',
      cfg_trace: config.monitorTrace,
      cfg_maglev_seed: parseMaglevSeed(DEFAULT_MAGLEV_SEED).packet4,
    },
  })
}

function masqueradeVariables(config: Config): Record<string, boolean | number> {
  const native = config.ipv4NativeRoutingCIDR === undefined ? undefined : parseCidr(config.ipv4NativeRoutingCIDR)
  return {
    cfg_masquerade: config.bpf.masquerade,
    cfg_masq_list: config.bpf.masquerade && config.ipMasqAgent.enabled,
    ...(native === undefined
      ? {}
      : {
          cfg_native_net: networkOrder(native.address),
          cfg_native_mask: networkOrder(maskAddress(0xffffffff as Address, native.bits)),
        }),
  }
}

/** Kernel settings that forwarding needs and that could not be made: forwarding goes on as far as it can. */
function sysctlProblems(reports: Datapath['sysctls']): Problem[] {
  return reports.flatMap(({ name, value, before, error }) => {
    if (error === undefined) return []
    if (value === '') {
      const hint = 'choose a nodePortRange that leaves room for it'
      return { code: 'sysctl-refused', message: `${name} is ${before ?? 'unknown'}: ${error}`, hint }
    }
    return {
      code: 'sysctl-refused',
      message: `${name} is ${before ?? 'unknown'} and cannot be set to ${value}: ${error}`,
      hint: `set it where /proc/sys may be written: sysctl -w ${name}=${value}`,
    }
  })
}

/** The value a little-endian program finds in a packet's address field. */
function networkOrder(address: number): number {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(address)
  return bytes.readUInt32LE()
}

function openMonitor(datapath: Datapath, trace: boolean): EventMonitor {
  const counters = datapath.maps[METRICS_MAP.name]!
  const directions: number[] = Object.values(METRIC_DIRECTIONS)
  const lostIn = (direction: number): number => {
    const value = counters.lookup(encoded(metricKey, metricIndex(direction, DROP_REASONS.REASON_EVENT_LOST)))
    return value === undefined ? 0 : Number(decodeCounter(value).packets)
  }
  return new EventMonitor({
    ring: new RingBuffer(datapath.maps[EVENT_RING.name]!),
    runtime: datapath.maps[RUNTIME_MAP.name]!.mmap(),
    lost: () => directions.reduce((sum, direction) => sum + lostIn(direction), 0),
    monotonic: () => process.hrtime.bigint(),
    ...{ ifName, clock, trace },
  })
}

function openFlowPurge(datapath: Datapath, log: Log): FlowPurge {
  return new FlowPurge({
    ids: datapath.maps[PURGE_MAP.name]!.mmap(),
    walk: (args) => datapath.call(PURGE_PROGRAM, args),
    clock,
    onPurged: ({ ids, flows, tookMs }) => log.debug({ ids, ...flows, tookMs: Math.round(tookMs) }, 'flows purged'),
    onError: (error) => log.warn({ err: describeError(error) }, 'flows of removed backends could not be purged yet'),
  })
}

/** Who clears up behind the load balancer. */
interface Cleaners {
  /** Ids are used again only when no flow has them. */
  readonly purge?: FlowPurge
  readonly sockets?: { gone(backend: GoneBackend): void }
}

/** The load balancer's target over its four maps, by C name. */
export function openLoadBalancer(
  maps: Readonly<Record<string, BpfMap>>,
  clock: Clock,
  { purge, sockets }: Cleaners = {},
): LbTarget {
  const services = maps['w_svc4_v1']!
  const slots = maps['w_slot_v1']!.mmap()
  const backends = maps['w_be4_v1']!.mmap()
  const reverse = maps['w_rnat4_v1']!.mmap()
  const seed = parseMaglevSeed(DEFAULT_MAGLEV_SEED).table
  // Element 0 of both arrays is never used: id 0 means none.
  const serviceIds = new IdPool({ capacity: reverse.count - 1, what: 'service id', clock })
  const backendIds = new IdPool({ capacity: backends.count - 1, what: 'backend id', clock })
  return new LbTarget({
    maps: { services, slots, backends, reverse, ranges: maps['w_srcr4_v1']! },
    serviceIds: purge?.guard('services', serviceIds) ?? serviceIds,
    backendIds: purge?.guard('backends', backendIds) ?? backendIds,
    regions: new Regions({ size: slots.count, what: 'slots', clock }),
    maglev: (members, size) => maglevTable(members, size, seed),
    clock,
    graceMs: GRACE_MS,
    onRangesChanged: (id) => purge?.purge({ services: [id] }),
    onBackendGone: (backend) => sockets?.gone(backend),
  })
}

/** The tables as `desired/` sees them, now and later. `addresses` are the node's own, now. */
export function liveSnapshot(
  config: Pick<Config, 'clusterName' | 'clusterId' | 'nodeName' | 'nodePortRange' | 'loadBalancer'>,
  addresses: () => readonly Address[],
  tables: Snapshot['tables'],
  sync: SyncGates,
  restored: (frontendId: string) => readonly SlotBackend[],
): Snapshot {
  const { clusterName, clusterId, nodeName } = config
  const [first, last] = config.nodePortRange
  return {
    tables,
    local: {
      ...{ clusterName, clusterId, nodeName },
      get nodeAddresses() {
        const node = tables.nodes.get(`${clusterName}/${nodeName}`)
        return [...new Set([...addresses(), ...(node?.addresses ?? []).map((each) => each.address)])]
      },
    },
    lb: {
      algorithm: config.loadBalancer.algorithm,
      mode: config.loadBalancer.mode,
      dsrRemoteClusters: config.loadBalancer.dsrRemoteClusters,
      maglevSize: config.loadBalancer.maglevTableSize,
      nodePortRange: { first, last },
    },
    isSynced: (source) => sync.isOpen(source),
    restored,
  }
}

/** What the programs count, with those that have counted nothing yet: a rate needs the zero before the first. */
function packetCounts(map: BpfMap): PacketCount[] {
  return [...readCounters(map.dump(), map.valueStride)]
    .filter(({ reason }) => REASON_NAMES.has(reason) && reason !== DROP_REASONS.REASON_EVENT_LOST)
    .map(({ name, direction, packets, bytes }) => ({
      ...{ reason: name, direction },
      packets: Number(packets),
      bytes: Number(bytes),
    }))
}

function masqueradeReport(config: Config, keeper: DeviceKeeper): StatusReport['datapath']['masquerading'] {
  const exclusion = config.ipv4NativeRoutingCIDR ?? ''
  return { ipMasqAgent: config.ipMasqAgent.enabled, devices: keeper.reports().map(({ name }) => name), exclusion }
}

function datapathReport(
  config: Config,
  datapath: Datapath,
  keeper: DeviceKeeper,
  lb: LbTarget,
  pipelines: Pipelines,
): StatusReport['datapath'] {
  const { services, slots, backends } = lb.stats()
  const { mode, dsrDispatch, algorithm, maglevTableSize } = config.loadBalancer
  return {
    programs: datapath.programs,
    devices: keeper.reports(),
    maps: [
      { name: 'w_svc4_v1', entries: services.used, maxEntries: services.max },
      { name: 'w_slot_v1', entries: slots.used, maxEntries: slots.max },
      { name: 'w_be4_v1', entries: backends.used, maxEntries: backends.max },
      {
        name: 'w_ep_v1',
        entries: pipelines.endpoints.stats().actual,
        maxEntries: datapath.maps['w_ep_v1']!.info().maxEntries,
      },
      { name: 'w_ipc_v1', entries: pipelines.ipcache.stats().actual, maxEntries: config.mapSizes.ipcache },
    ],
    ...(config.bpf.masquerade ? { masquerading: masqueradeReport(config, keeper) } : {}),
    loadBalancer: {
      mode,
      dsrDispatch,
      algorithm,
      maglevTableSize,
      sessionAffinity: true,
      acceleration: config.loadBalancer.acceleration,
    },
  }
}
