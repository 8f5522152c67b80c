import type { ConfigValue } from '../api/types.ts'
import type { Config } from '../config.ts'
import type { Address } from '../types/address.ts'
import { join } from 'node:path'
import { DeviceMonitor } from '../../native/index.ts'
import { startApi } from '../api/server.ts'
import { probeTargets } from '../desired/probe-targets.ts'
import { systemClock } from '../lib/clock.ts'
import { createLog } from '../lib/log.ts'
import { MASQUERADE_MAP } from '../maps/masquerade.ts'
import { METRICS_MAP } from '../maps/metrics.ts'
import { chooseDevices } from '../desired/devices.ts'
import { DEVICE_MAP } from '../maps/device.ts'
import { RUNTIME_MAP } from '../maps/runtime.ts'
import { DeviceKeeper } from './devices.ts'
import { Masquerade } from './masquerade.ts'
import { findNodePlace } from './node-place.ts'
import { Pipelines } from './pipelines.ts'
import { openManifestSource, requireManifestDirectory } from '../sources/manifests/source.ts'
import { startProbes } from '../sources/probes/index.ts'
import { LOCAL_SOURCE, SyncGates } from '../state/sync.ts'
import { createTables } from '../state/tables.ts'
import { Writer } from '../state/writer.ts'
import { EndpointTarget } from '../targets/endpoints.ts'
import { IpcacheTarget } from '../targets/ipcache.ts'
import { MasqueradeTarget } from '../targets/masquerade.ts'
import { podDevices } from '../targets/pod-devices.ts'
import { writeDevices } from '../targets/device-map.ts'
import { readNetDevices } from '../targets/net-devices.ts'
import { PodHookTarget } from '../targets/pod-hooks.ts'
import { RouteTarget } from '../targets/routes.ts'
import { HealthChecks } from './health-checks.ts'
import { openStaleSockets } from './stale-sockets.ts'
import { agentView } from './view.ts'
import { openDatapath, sysctlProblems } from './open-datapath.ts'
import { openFlowPurge, openLoadBalancer } from './load-balancer.ts'
import { openMonitor } from './open-monitor.ts'
import { liveSnapshot } from './live-snapshot.ts'
import { datapathReport, packetCounts } from './datapath-report.ts'

const clock = systemClock
const random = Math.random

/**
 * `weft agent`: builds everything, in order, and stops it in the opposite one when `signal` is aborted.
 *
 * Order: datapath (adopts what is pinned), what the maps hold, the API, then the sources; only reading of the manifests begins
 * before all of it. Whatever happens here, programs and maps stay as they are: stopping is not detaching. What takes half of the
 * start to load, etcd's client and that of metrics, is loaded where it is used.
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
    const cluster = { name: config.clusterName, id: config.clusterId }
    const tables = createTables()
    const sync = new SyncGates()
    sync.register(LOCAL_SOURCE)
    const writer = new Writer(tables, sync)
    // Read while the kernel verifies the programs; written to the tables at the end.
    const manifests = openManifestSource({
      ...{ directory: config.manifests, cluster: cluster.name, writer, clock, log },
    })
    stops.push(() => manifests.stop())
    // Before devices are read: a change in between is heard of.
    const monitor = new DeviceMonitor()
    stops.push(() => monitor.close())
    const wish = { uplink: place.uplink, patterns: config.devices }
    const devices = chooseDevices(wish, await readNetDevices())
    const datapath = await openDatapath(config, place, devices)
    stops.push(() => datapath.close())
    const runtime = datapath.maps[RUNTIME_MAP.name]!.mmap()
    stops.push(() => runtime.close())

    let onAddresses = (_: readonly Address[]): void => undefined
    const keeper = new DeviceKeeper({
      ...{ wish, clock, log, address: place.address, read: readNetDevices, auditMs: config.auditInterval },
      acceleration: config.loadBalancer.acceleration,
      nodeIp: config.nodeIp === undefined ? undefined : place.address,
      changed: () => monitor.changed(),
      attach: (devices) => datapath.setUplinks(devices),
      write: (entries) => writeDevices(datapath.maps[DEVICE_MAP.name]!, runtime.u32, entries),
      onProblems: (problems) => {
        writer.setProblems('devices', problems)
        writer.setProblems('sysctls', sysctlProblems(datapath.sysctls))
      },
      onAddresses: (changed) => onAddresses(changed),
    })
    keeper.start(devices, datapath.uplinks)
    stops.push(() => keeper.stop())

    const purge = openFlowPurge(datapath, clock, log)
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

    const events = openMonitor(datapath, clock, config.monitorTrace)
    stops.push(() => events.close())
    const view = agentView({
      ...{ version, values, tables, snapshot, sync, pipelines, clock },
      idOf: (frontend) => lb.idOf(frontend),
      datapath: () => datapathReport(config, datapath, keeper, lb, pipelines),
    })
    const api = await startApi({ socket: config.apiSocket, view, log, monitor: events })
    stops.push(() => api.close())
    if (config.prometheusServeAddr !== undefined) {
      const [{ MetricsServer }, { agentSamples }] = await Promise.all([
        import('../api/metrics/server.ts'),
        import('../api/metrics/agent.ts'),
      ])
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

    // First, so that every gate is registered before the own cluster's opens: nothing of a remote cluster is pruned too early.
    if (config.clustermeshConfig !== undefined) {
      const { startMeshSource } = await import('../sources/mesh/index.ts')
      const mesh = await startMeshSource({
        ...{ configDir: config.clustermeshConfig, cluster, writer, sync, clock, random, log },
        unreachableAfterMs: config.unreachableAfter,
        cacheTtlMs: config.cacheTTL,
      })
      stops.push(() => mesh.stop())
      if (config.probes.enabled) {
        const probes = startProbes({
          ...{ ...config.probes, writer, clock, random, log },
          memoryFile: join(config.stateDir, 'probes'),
          targetsOf: (service) => probeTargets(snapshot, service),
          isSilent: (name) => {
            const row = tables.clusters.get(name)
            return row === undefined || row.unreachable || row.state !== 'ready'
          },
        })
        stops.push(() => probes.stop())
      }
    }
    await manifests.start()
    // Before all that follows the tables.
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
