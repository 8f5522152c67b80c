import { z } from 'zod'
import * as form from '../lib/schemas.ts'
import type { SettingTable } from '../lib/settings.ts'
import type { Acceleration } from '../types/device.ts'
import { MAGLEV_SIZES } from '../types/maglev.ts'

/** How a node chooses backends, and how packets from outside get to them. */
export interface LoadBalancerConfig {
  readonly loadBalancer: {
    readonly algorithm: 'random' | 'maglev'
    /** `hybrid`: DSR for TCP, SNAT for the rest. */
    readonly mode: 'snat' | 'dsr' | 'hybrid'
    readonly dsrDispatch: 'geneve'
    readonly dsrInfo: 'syn' | 'always'
    readonly dsrRemoteClusters: 'advertised' | 'always' | 'never'
    readonly maglevTableSize: number | 'auto'
    readonly acceleration: Acceleration
  }
}

export const LOAD_BALANCER: SettingTable<LoadBalancerConfig> = {
  'loadBalancer.algorithm': {
    schema: z.enum(['random', 'maglev']),
    default: 'random',
    allowed: 'random, maglev',
    description: 'how a backend is chosen for a new flow',
    value: '<name>',
  },
  'loadBalancer.mode': {
    schema: z.enum(['snat', 'dsr', 'hybrid']),
    default: 'snat',
    allowed: 'snat, dsr, hybrid',
    description:
      'how flows from outside reach backends on other nodes: from this node, or as they came, answered directly; hybrid is dsr for TCP',
    value: '<name>',
  },
  'loadBalancer.dsrDispatch': {
    schema: z.enum(['geneve']),
    default: 'geneve',
    allowed: 'geneve',
    description: 'how DSR tells the node of the backend which service was asked',
    value: '<name>',
  },
  'loadBalancer.dsrInfo': {
    schema: z.enum(['syn', 'always']),
    default: 'syn',
    allowed: 'syn, always',
    description: 'TCP packets that tell it: those that open a connection, or each, which survives a lost flow table',
    value: '<when>',
  },
  'loadBalancer.dsrRemoteClusters': {
    schema: z.enum(['advertised', 'always', 'never']),
    default: 'advertised',
    allowed: 'advertised, always, never',
    description: 'DSR to nodes of other clusters: of those that say they take it, of all, of none',
    value: '<which>',
  },
  'loadBalancer.maglevTableSize': {
    schema: z.union([
      z.literal('auto'),
      form.integer(1, 131071).refine((size) => (MAGLEV_SIZES as readonly number[]).includes(size)),
    ]),
    default: 16381,
    allowed: `${MAGLEV_SIZES.join(', ')}, or auto`,
    description: 'entries of a Maglev table, equal on all nodes of the mesh',
    value: '<entries>',
  },
  'loadBalancer.acceleration': {
    schema: z.enum(['disabled', 'best-effort', 'native', 'generic']),
    default: 'disabled',
    allowed: 'disabled, best-effort, native, generic',
    description: 'XDP: native in the driver of every device, best-effort where the driver can, generic for tests',
    value: '<name>',
  },
}
