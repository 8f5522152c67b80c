import type { BpfMap } from '../../native/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { GoneBackend } from '../targets/stale-sockets.ts'
import { maglevTable, parseMaglevSeed } from '../desired/maglev.ts'
import { DEFAULT_MAGLEV_SEED } from '../types/maglev.ts'
import { describeError } from '../lib/errors.ts'
import { PURGE_MAP, PURGE_PROGRAM, PURGE_RANGES_MAP } from '../maps/purge.ts'
import { GRACE_MS, IdPool } from '../state/ids.ts'
import { Regions } from '../state/regions.ts'
import { FlowPurge } from '../targets/flow-purge.ts'
import { LbTarget } from '../targets/lb/target.ts'
import type { Datapath } from '../targets/programs.ts'

/** The load balancer's target over its four maps, by C name. */
export function openLoadBalancer(
  maps: Readonly<Record<string, BpfMap>>,
  clock: Clock,
  { purge, sockets }: Cleaners = {},
): LbTarget {
  const services = maps['w_svc4_v1']!
  const slots = maps['w_slot_v1']!.mmap(0)
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
    onRangesChanged: (clients) => purge?.purge({ clients }),
    onBackendGone: (backend) => sockets?.gone(backend),
  })
}

/** Ends flows by service and backend, in the kernel. */
export function openFlowPurge(datapath: Datapath, clock: Clock, log: Log): FlowPurge {
  return new FlowPurge({
    ids: datapath.maps[PURGE_MAP.name]!.mmap(),
    ranges: datapath.maps[PURGE_RANGES_MAP.name]!.mmap(),
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
