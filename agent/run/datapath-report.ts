import type { StatusReport } from '../api/types.ts'
import type { Config } from '../config.ts'
import type { BpfMap } from '../../native/index.ts'
import type { PacketCount } from '../api/metrics/agent.ts'
import { DROP_REASONS, REASON_NAMES } from '../maps/drop-reasons.ts'
import { readCounters } from '../maps/metrics.ts'
import type { DeviceKeeper } from './devices.ts'
import type { Pipelines } from './pipelines.ts'
import type { LbTarget } from '../targets/lb/target.ts'
import type { Datapath } from '../targets/programs.ts'

export function datapathReport(
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

function masqueradeReport(config: Config, keeper: DeviceKeeper): StatusReport['datapath']['masquerading'] {
  const exclusion = config.ipv4NativeRoutingCIDR ?? ''
  return { ipMasqAgent: config.ipMasqAgent.enabled, devices: keeper.reports().map(({ name }) => name), exclusion }
}

/** What the programs count, with those that have counted nothing yet: a rate needs the zero before the first. */
export function packetCounts(map: BpfMap): PacketCount[] {
  return [...readCounters(map.dump(), map.valueStride)]
    .filter(({ reason }) => REASON_NAMES.has(reason) && reason !== DROP_REASONS.REASON_EVENT_LOST)
    .map(({ name, direction, packets, bytes }) => ({
      ...{ reason: name, direction },
      packets: Number(packets),
      bytes: Number(bytes),
    }))
}
