import { address } from '../packet.ts'
import { type Config, NODE } from '../world.ts'
import type { Settings } from './model/state.ts'

/** One configuration of the programs, which are loaded once for each. */
export interface Profile {
  readonly name: string
  /** So few ports that they run out: every one is tried. */
  readonly tight: boolean
  readonly masquerade: boolean
  readonly tellAlways: boolean
}

const WIDE = { tight: false, masquerade: false, tellAlways: false } as const

export const PROFILES: readonly Profile[] = [
  { name: 'wide', ...WIDE },
  { name: 'masquerading, tells always', ...WIDE, masquerade: true, tellAlways: true },
  { name: 'tight, masquerading', ...WIDE, tight: true, masquerade: true },
]

export function settingsOf({ tight, masquerade, tellAlways }: Profile): Settings {
  const [portMin, portMax] = tight ? [40000, 40001] : [32768, 65535]
  return { snat: address(NODE), portMin, portMax, masquerade, tellAlways }
}

export function configOf(profile: Profile, hook: string): Config {
  const { portMin, portMax, masquerade, tellAlways } = settingsOf(profile)
  return {
    cfg_snat_port_min: portMin,
    cfg_snat_port_max: portMax,
    // No limit to the errors that are sent: it counts by the second.
    cfg_icmp_per_s: 0x7fffffff,
    cfg_dsr_info_always: tellAlways,
    ...(masquerade ? { cfg_masquerade: true, cfg_masq_list: true } : {}),
    ...(hook === 'xdp' ? { cfg_xdp_tx: true } : {}),
  }
}
