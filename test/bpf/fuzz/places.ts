import { formatAddress } from '../../../agent/types/address.ts'
import type { PacketSpec } from '../packet.ts'
import { NODE, NODE2, NODE2_MAC, NODE_MAC, PEER2_MAC, POD, POD_GATEWAY_MAC, POD_MAC, ROUTER_MAC } from '../world.ts'
import type { Hook } from './model/outcome.ts'
import type { DeviceName, Flow } from './model/state.ts'
import type { Rng } from './rng.ts'

/** A frame before it is damaged, and where it enters. */
export interface Draft {
  readonly spec: PacketSpec
  readonly hook: Hook
  readonly device: DeviceName
}

const HOOKS: readonly Hook[] = ['ingress', 'xdp', 'egress', 'pod', 'to-pod']
const MACS: Readonly<Record<DeviceName, readonly [ours: string, theirs: string]>> = {
  up0: [NODE_MAC, ROUTER_MAC],
  up2: [NODE2_MAC, PEER2_MAC],
  pod0: [POD_GATEWAY_MAC, POD_MAC],
}

/** Where packets like this one go through, and now and then elsewhere. */
export function placed(rng: Rng, spec: PacketSpec, known: Flow | undefined): Draft {
  return at(rng, rng.chance(0.08) ? rng.pick(HOOKS) : usual(rng, spec, known), spec)
}

export function at(rng: Rng, hook: Hook, spec: PacketSpec): Draft {
  const device = hook === 'pod' || hook === 'to-pod' ? 'pod0' : rng.chance(0.75) ? 'up0' : 'up2'
  const [ours, theirs] = MACS[device]
  const leaves = hook === 'egress' || hook === 'to-pod'
  return { spec: { ...spec, smac: leaves ? ours : theirs, dmac: leaves ? theirs : ours }, hook, device }
}

function usual(rng: Rng, spec: PacketSpec, known: Flow | undefined): Hook {
  const outside: Hook = rng.chance(0.5) ? 'ingress' : 'xdp'
  const out: Hook = rng.chance(0.5) ? 'egress' : 'pod'
  if (known === undefined) return spec.src === POD ? out : spec.src === NODE || spec.src === NODE2 ? 'egress' : outside
  const { kind, reverse, key } = known
  switch (kind) {
    case 'snat':
    case 'dsr':
      return outside
    case 'local':
    case 'direct':
      return reverse ? out : outside
    case 'masquerade':
      return reverse ? outside : 'egress'
    case 'hairpin':
      return 'pod'
    case 'inside':
      if (reverse) return rng.pick(['to-pod', 'to-pod', outside, 'pod'])
      return formatAddress(key.source) === POD ? 'pod' : 'egress'
  }
}
