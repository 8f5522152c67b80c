import { z } from 'zod'
import type { SettingTable } from '../lib/settings.ts'
import * as form from '../lib/schemas.ts'
import { parseCidr } from '../types/address.ts'
import { BOOLEAN } from './shared.ts'

/** What packets of pods and processes of this node meet on their way out. */
export interface EgressConfig {
  readonly bpf: {
    /** Pods go to the world with the node's address. */
    readonly masquerade: boolean
  }
  /** A network in which pods have routes of their own: never masqueraded. */
  readonly ipv4NativeRoutingCIDR: string | undefined
  readonly ipMasqAgent: {
    readonly enabled: boolean
    /** Read where `config` says nothing. */
    readonly configFile: string
    readonly config: {
      readonly nonMasqueradeCIDRs: readonly string[] | undefined
      readonly masqLinkLocal: boolean | undefined
    }
  }
  readonly socketLB: {
    readonly enabled: boolean
    /** Pods' calls are left alone; their packets are translated. */
    readonly hostNamespaceOnly: boolean
  }
}

/** `10.0.0.0/16`, as it is written. */
const cidr: z.ZodType<string> = z.string().refine((text) => text.includes('/') && parseCidr(text) !== undefined)

/** A list in a file, or text with commas. */
const cidrs: z.ZodType<readonly string[]> = z.preprocess(
  (value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value),
  z.array(cidr),
)

export const EGRESS: SettingTable<EgressConfig> = {
  'bpf.masquerade': {
    ...BOOLEAN,
    default: false,
    description: 'pods go to the world with the address of the node',
  },
  ipv4NativeRoutingCIDR: {
    schema: cidr.optional(),
    default: undefined,
    allowed: 'an IPv4 prefix, like 10.0.0.0/16',
    description: 'network in which pods are routed by their own addresses, and never masqueraded',
    value: '<prefix>',
  },
  'ipMasqAgent.enabled': {
    ...BOOLEAN,
    default: false,
    description: 'read from a file which destinations pods go to with their own addresses',
  },
  'ipMasqAgent.configFile': {
    schema: form.path,
    default: '/etc/config/ip-masq-agent',
    allowed: 'a file',
    description: 'that file, YAML or JSON, watched for changes',
    value: '<file>',
    path: true,
  },
  'ipMasqAgent.config.nonMasqueradeCIDRs': {
    schema: cidrs.optional(),
    default: undefined,
    allowed: 'IPv4 prefixes with commas between them, like 10.1.0.0/16,192.168.0.0/16',
    description: 'those destinations themselves, in place of the file',
    value: '<prefixes>',
  },
  'ipMasqAgent.config.masqLinkLocal': {
    ...BOOLEAN,
    schema: form.boolean.optional(),
    default: undefined,
    description: 'masquerade towards 169.254.0.0/16 too; only where the destinations are given here',
  },
  'socketLB.enabled': {
    ...BOOLEAN,
    default: true,
    description: 'translate services in the calls of processes; otherwise in their packets',
  },
  'socketLB.hostNamespaceOnly': {
    ...BOOLEAN,
    default: false,
    description: 'leave the calls of processes in pods alone; their packets are translated',
  },
}
